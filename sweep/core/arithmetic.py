"""Arithmetic whose cost and results are bounded: what an expression of a search file can do to its values.

Results are Python's own, or a `ValueError` that says why there is none. Whole numbers stay below 2**63, real ones
finite, and texts are only compared, so that no expression can take long or fill the memory.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from sweep.core.section import described

Operation = Callable[..., Any]

_INT64 = 2**63
_MOST_PLACES = 300
"""round() to more places than a float has says nothing, and to as many below zero costs a number of that length."""


def bounded(value: Any) -> Any:
    """The value, when it is none that an expression may not have.

    Raises:
        ValueError: a whole number beyond 64 bits, or one that isn't finite.
    """
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("a whole number gets beyond 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number gets too large")
    return value


def _number(value: Any, doing: str) -> Any:
    # true and false count as 1 and 0, as they do in Python.
    if isinstance(value, int | float):
        return value
    raise ValueError(f"{doing} needs numbers, got {described(value)}")


def _checked(doing: str, function: Operation) -> Operation:
    """An operation on numbers, with Python's errors in our words."""

    def operation(*values: Any) -> Any:
        numbers = [_number(value, doing) for value in values]
        try:
            return bounded(function(*numbers))
        except ZeroDivisionError as error:
            raise ValueError("division by zero") from error
        except OverflowError as error:
            raise ValueError("a number gets too large") from error

    return operation


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1 and exponent > 63:  # noqa: PLR2004
        raise OverflowError
    value = base**exponent
    if isinstance(value, complex):
        raise ValueError(f"{base!r} has no real power {exponent!r}")  # noqa: TRY004  # of the right type, and no number
    return value


def _round(value: Any, places: Any = None) -> Any:
    if places is None:
        return round(value)
    if isinstance(places, float) or abs(places) > _MOST_PLACES:
        raise ValueError(f"round() to {places!r} places: expected a whole number, at most {_MOST_PLACES}")
    return round(value, places)


def _positive(name: str, function: Operation, *, zero: bool = False) -> Operation:
    def operation(value: Any) -> Any:
        if value < 0 or (value == 0 and not zero):
            raise ValueError(f"{name}() of {value!r}, which isn't {'from' if zero else 'above'} 0")
        return function(value)

    return operation


BINARY: dict[str, Operation] = {
    sign: _checked(sign, function)
    for sign, function in {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
        "%": operator.mod,
        "**": _power,
    }.items()
}
"""Sign to the operation on two numbers."""

UNARY: dict[str, Operation] = {"-": _checked("-", operator.neg), "+": _checked("+", operator.pos)}
"""Sign to the operation on one number."""

_PLAIN: dict[str, tuple[Operation, int, int]] = {
    "abs": (abs, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "exp": (math.exp, 1, 1),
    "floor": (math.floor, 1, 1),
    "log": (_positive("log", math.log), 1, 1),
    "log10": (_positive("log10", math.log10), 1, 1),
    "log2": (_positive("log2", math.log2), 1, 1),
    "max": (max, 2, 20),
    "min": (min, 2, 20),
    "round": (_round, 1, 2),
    "sqrt": (_positive("sqrt", math.sqrt, zero=True), 1, 1),
}
FUNCTIONS = {name: (_checked(f"{name}()", function), fewest, most) for name, (function, fewest, most) in _PLAIN.items()}
"""Name to the function, and to the fewest and the most values that it takes."""


def _ordered(sign: str, function: Operation) -> Operation:
    def operation(a: Any, b: Any) -> bool:
        for kind in (int | float, str):
            if isinstance(a, kind) and isinstance(b, kind):
                return bool(function(a, b))
        raise ValueError(f"{sign} needs two numbers or two texts, got {described(a)} and {described(b)}")

    return operation


COMPARISONS: dict[str, Operation] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": _ordered("<", operator.lt),
    "<=": _ordered("<=", operator.le),
    ">": _ordered(">", operator.gt),
    ">=": _ordered(">=", operator.ge),
}
"""Sign to the comparison of two values."""
