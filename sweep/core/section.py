"""What all parts of the search file share: strict, frozen, and able to name every rule they break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

Scalar = bool | int | float | str | None
"""What a parameter can be: everything that YAML and JSON write as one word."""

BROKEN_RULES = "broken_rules"
"""Type of the pydantic error that carries `Fault`s in its context."""


class Fault(NamedTuple):
    """A value that has the right type and still can't be.

    Attributes:
        path: keys from the section down to the value, e.g. ("min",).
        message: what came, the rule, the next step.
        needs: fields of the section whose values the rule has read.
    """

    path: tuple[str | int, ...]
    message: str
    needs: tuple[str, ...]


class Section(BaseModel):
    """A part of the file: unknown keys are errors, values never change, nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
    )

    def faults(self) -> Iterator[Fault]:
        """The rules between this section's fields that are broken."""
        return iter(())

    @model_validator(mode="after")
    def _rules(self) -> Self:
        faults = list(self.faults())
        if faults:
            text = "; ".join(f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in faults)
            raise PydanticCustomError(BROKEN_RULES, "{text}", {"text": text, "faults": faults})
        return self


def refuse(message: str) -> PydanticCustomError:
    """An error for a field's own validator; braces in the message stay as they are."""
    return PydanticCustomError("refused", "{text}", {"text": message})


def described(value: Any) -> str:
    """A value in the words of our messages: "the text 'abc'", "2.5", "a list"."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."  # noqa: PLR2004  # one line of a terminal
        return f"the text {shown!r}"
    if isinstance(value, int | float):
        return repr(value)
    return "a list" if isinstance(value, list | tuple) else "a map"
