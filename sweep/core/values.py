"""Which values a parameter can take."""

from __future__ import annotations

import math
from typing import Any

from sweep.core.flow import flow
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange, Parameter
from sweep.core.section import described

# Steps are added up in binary: 0.1 + 0.2 lies beside 0.3.
_TOLERANCE = 1e-9


def value_problem(parameter: Parameter, value: Any) -> str | None:
    """Why a parameter can't have this value, or None when it can."""
    if isinstance(parameter, Constant):
        if same(value, parameter.value):
            return None
        return f"got {described(value)}, but it is constant: {flow(parameter.value)}."
    if isinstance(parameter, Choice):
        if any(same(value, one) for one in parameter.values):
            return None
        return f"got {described(value)}, which is not among its values {flow(parameter.values)}."
    return _range_problem(parameter, value)


def same(a: Any, b: Any) -> bool:
    """Equal, and not true for 1 or false for 0."""
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def place_in(values: list[Any], value: Any) -> int:
    """Where a value stands in a list.

    Raises:
        ValueError: it isn't there.
    """
    for place, one in enumerate(values):
        if same(value, one):
            return place
    raise ValueError(f"{value!r} is not among {values!r}")


def steps_in(parameter: FloatRange | IntRange) -> int:
    """How many steps fit between min and max; the parameter has a step."""
    step = parameter.step
    if step is None:
        raise ValueError("the parameter has no step")
    if isinstance(parameter, IntRange):
        return (parameter.max - parameter.min) // int(step)
    return math.floor((parameter.max - parameter.min) / step + _TOLERANCE)


def _range_problem(parameter: FloatRange | IntRange, value: Any) -> str | None:
    whole = isinstance(parameter, IntRange)
    kind = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return f"expected {kind}, got {described(value)}."
    if not parameter.min <= value <= parameter.max:  # NaN fails too
        return f"got {value!r}, which is outside {parameter.min!r} to {parameter.max!r}."
    if parameter.step is not None:
        steps = (value - parameter.min) / parameter.step
        if abs(steps - round(steps)) > _TOLERANCE * max(1.0, abs(steps)):
            return f"got {value!r}, which is no step of {parameter.step!r} from {parameter.min!r}."
    return None
