"""Expressions of a search file: arithmetic, comparisons, a few functions; never eval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sweep.core.grammar import LONGEST, AbsentError, Compute, ExpressionError, Parser, Values

__all__ = ["AbsentError", "Expression", "ExpressionError", "compares", "names_in", "parse"]


@dataclass(frozen=True, eq=False)
class Expression:
    """One expression, parsed.

    Attributes:
        text: as it was written.
        names: what it reads, in order of appearance.
        compares: whether it is true or false, as a constraint has to be.
    """

    text: str
    names: tuple[str, ...]
    compares: bool
    _compute: Compute

    def value(self, values: Values) -> Any:
        """What it comes to, with these values for its names.

        Raises:
            AbsentError: a name that it comes to has no value.
            ExpressionError: it has no value, as when it divides by zero.
        """
        try:
            return self._compute(values)
        except ValueError as error:
            raise ExpressionError(str(error)) from error


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """The expression that a text is.

    Raises:
        ExpressionError: it is none; the message names the column.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"is longer than {LONGEST} characters")
    parser = Parser(text)
    part = parser.whole()
    return Expression(text, tuple(parser.names), part.compares, part.compute)


def names_in(expression: str) -> list[str]:
    """The parameters that an expression reads, in order of appearance.

    Raises:
        ExpressionError: it isn't an expression of the grammar; the text says where.
    """
    return list(parse(expression).names)


def compares(expression: str) -> bool:
    """Whether an expression that `names_in` accepts is true or false, as a constraint has to be."""
    return parse(expression).compares
