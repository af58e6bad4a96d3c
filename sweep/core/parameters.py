"""The four kinds of parameter, and the short forms in which a file writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from sweep.core.flow import flow
from sweep.core.groups import PARAMETER_KEYS, clash, in_file_order, members
from sweep.core.section import Fault, Scalar, Section, described, refuse

__all__ = [
    "KINDS", "PARAMETER_KEYS", "Choice", "Constant", "FloatRange", "IntRange", "Parameter", "parameter_fields",
    "read_parameters", "under_conditions",
]  # fmt: skip

_INT64 = 2**63


def _finite(value: Any) -> Any:
    """Refuse infinities, NaN and objects anywhere inside a plain value."""
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse(f"got {value!r}. A value is a finite number.")
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if not isinstance(value, Scalar):
        raise refuse(f"got a {type(value).__name__}. A value is a number, a text, true, false or null.")
    return value


class _Conditional(Section):
    when: dict[str, Any] | None = None
    """Only for trials in which these other parameters have these values."""

    @field_validator("when")
    @classmethod
    def _when(cls, when: dict[str, Any] | None) -> dict[str, Any] | None:
        if when is not None and not when:
            raise refuse("is empty. Name a parameter and its value, or leave it out.")
        return None if when is None else _finite(when)


def _range_faults(low: float, high: float, step: float | None, *, log: bool) -> Iterator[Fault]:
    ends = ("min", "max")
    if low == high:
        yield Fault(("min",), f"min and max are both {flow(low)}. Write {flow(low)} alone for a constant.", ends)
    elif low > high:
        swapped = f"Swap them: {{min: {flow(high)}, max: {flow(low)}}}."
        yield Fault(("min",), f"min {flow(low)} is above max {flow(high)}. {swapped}", ends)
    elif not math.isfinite(high - low):
        yield Fault(("min",), f"the range from {low!r} to {high!r} is wider than a number can be.", ends)
    if log and min(low, high) <= 0:
        at = "min" if low <= 0 else "max"
        text = f"got {min(low, high)!r} with log: true. Log scale needs min above 0; there is no log of zero."
        yield Fault((at,), text, ("min", "max", "log"))
    if step is not None and log:
        yield Fault(("step",), "step and log: true exclude each other. Keep one of them.", ("step", "log"))
    elif step is not None and step <= 0:
        yield Fault(("step",), f"got {step!r}. A step is above 0.", ("step",))
    elif step is not None and low < high and step > high - low:
        text = f"got {step!r}, which is wider than the range from {low!r} to {high!r}."
        yield Fault(("step",), text, ("step", "min", "max"))


class FloatRange(_Conditional):
    """A real number between two ends, both included."""

    kind: Literal["float"] = "float"
    min: float
    """The lowest value."""
    max: float
    """The highest value."""
    log: bool = False
    """Spread evenly over orders of magnitude; the ends are real values, not exponents."""
    step: float | None = None
    """Only min, min + step, min + 2 step and so on."""

    def faults(self) -> Iterator[Fault]:
        """Ends in order, log above zero, a step that fits."""
        return _range_faults(self.min, self.max, self.step, log=self.log)


class IntRange(_Conditional):
    """A whole number between two ends, both included."""

    kind: Literal["int"] = "int"
    min: int = Field(ge=-_INT64, lt=_INT64)
    """The lowest value."""
    max: int = Field(ge=-_INT64, lt=_INT64)
    """The highest value."""
    log: bool = False
    """Spread evenly over orders of magnitude; the ends are real values, not exponents."""
    step: int | None = None
    """Only min, min + step, min + 2 step and so on."""

    def faults(self) -> Iterator[Fault]:
        """Ends in order, log above zero, a step that fits."""
        return _range_faults(self.min, self.max, self.step, log=self.log)


class Choice(_Conditional):
    """One of a list of values."""

    kind: Literal["choice"] = "choice"
    values: list[Any]
    """The values: numbers, texts, true, false or null."""
    ordered: bool = False
    """The list runs from small to large, so neighbours are alike."""

    @field_validator("values")
    @classmethod
    def _values(cls, values: list[Any]) -> list[Any]:
        return [_finite(value) for value in values]

    def faults(self) -> Iterator[Fault]:
        """At least one value, each of them a scalar, none of them twice."""
        if not self.values:
            yield Fault(("values",), "is empty. List the values to try.", ("values",))
        seen: list[Scalar] = []
        for place, value in enumerate(self.values):
            at = ("values", place)
            if isinstance(value, list | dict):
                text = f"got {described(value)}. A value is a number, a text, true, false or null."
                yield Fault(at, text, ("values",))
            elif value in seen:
                twin = seen[seen.index(value)]
                shown = "is listed twice" if flow(twin) == flow(value) else f"equals {flow(twin)}"
                yield Fault(at, f"{flow(value)} {shown}. Remove one of them.", ("values",))
            else:
                seen.append(value)


class Constant(_Conditional):
    """A value that every trial gets."""

    kind: Literal["constant"] = "constant"
    value: Any
    """The value."""

    @field_validator("value")
    @classmethod
    def _value(cls, value: Any) -> Any:
        return _finite(value)


Parameter = Annotated[FloatRange | IntRange | Choice | Constant, Field(discriminator="kind")]
KINDS: dict[str, type[FloatRange | IntRange | Choice | Constant]] = {
    "float": FloatRange,
    "int": IntRange,
    "choice": Choice,
    "constant": Constant,
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parameter_fields(raw: Any) -> dict[str, Any]:
    """A parameter in any of the file's forms as the fields of its model, `kind` included.

    `{min, max}` is an int range when both ends are ints and the step isn't a float; a bare list is
    the values of a choice; a bare scalar is a constant. Nothing is checked here.
    """
    if isinstance(raw, list):
        return {"kind": "choice", "values": raw}
    if not isinstance(raw, Mapping):
        return {"kind": "constant", "value": raw}
    if "kind" in raw:
        return dict(raw)
    if "values" in raw:
        kind = "choice"
    elif "value" in raw:
        kind = "constant"
    else:
        ends = [raw[key] for key in ("min", "max") if key in raw]
        whole = bool(ends) and all(map(_whole, ends)) and not isinstance(raw.get("step"), float)
        kind = "int" if whole else "float"
    return {"kind": kind, **raw}


def read_parameters(raw: Any) -> Any:
    """A map of parameters by their whole names, each one's `kind` filled in; anything else is returned as it is.

    A group's condition becomes that of its members.
    """
    if not isinstance(raw, Mapping):
        return raw
    read: dict[str, Any] = {}
    for member in members(raw):
        form = member.raw
        fields = form if isinstance(form, BaseModel) else under_conditions(parameter_fields(form), member.whens)
        read[member.name] = fields
    return read if clash(list(read)) else in_file_order(read)


def under_conditions(fields: dict[str, Any], whens: Sequence[Any]) -> dict[str, Any]:
    """A parameter's fields with the conditions of the groups around it; the inner stands where two name the same.

    Args:
        fields: of the parameter, `when` among them where it has its own.
        whens: the groups' conditions, the outermost first; None where one has none.
    """
    every = [when for when in (*whens, fields.get("when")) if when is not None]
    if not any(when is not None for when in whens):
        return fields
    wrong = [when for when in every if not isinstance(when, Mapping)]
    return {**fields, "when": wrong[0] if wrong else {key: value for when in every for key, value in when.items()}}
