"""Questions about the space that a file spans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweep.core.flow import flow
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange, Parameter
from sweep.core.spec import StudySpec
from sweep.core.values import steps_in, value_problem

__all__ = ["constants", "contains", "describe", "midpoint", "size", "value_problem", "varying"]


def varying(spec: StudySpec) -> dict[str, FloatRange | IntRange | Choice]:
    """The parameters that a sampler proposes, in the file's order."""
    return {name: one for name, one in spec.parameters.items() if not isinstance(one, Constant)}


def constants(spec: StudySpec) -> dict[str, Any]:
    """Name to value of the parameters that every trial shares."""
    return {name: one.value for name, one in spec.parameters.items() if isinstance(one, Constant)}


def contains(parameters: Mapping[str, Parameter], config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a config, a line each; empty when it lies in the space.

    A parameter with `when:` may be missing where its condition doesn't hold, and only there.
    """
    lines = [f"{name}: is no parameter." for name in config if name not in parameters]
    for name, parameter in parameters.items():
        if name in config:
            wrong = value_problem(parameter, config[name])
            if wrong:
                lines.append(f"{name}: {wrong}")
        elif _applies(parameter, config):
            lines.append(f"{name}: is missing.")
    return lines


def midpoint(spec: StudySpec) -> dict[str, Any]:
    """A config from the middle: geometric on log scale, else arithmetic, the middle one of a list."""
    return {name: _middle(parameter) for name, parameter in spec.parameters.items()}


def describe(parameter: Parameter) -> str:
    """A parameter in a table's cell: "1e-5 … 0.1, log"."""
    if isinstance(parameter, Constant):
        return flow(parameter.value)
    if isinstance(parameter, Choice):
        text = " | ".join(flow(value) for value in parameter.values)
        extras = ["ordered"] if parameter.ordered else []
    else:
        text = f"{_short(parameter.min)} … {_short(parameter.max)}"
        extras = ["log"] if parameter.log else []
        extras += [f"step {_short(parameter.step)}"] if parameter.step is not None else []
    if parameter.when:
        extras.append(
            "when " + ", ".join(f"{name} is {_alternatives(value)}" for name, value in parameter.when.items())
        )
    return ", ".join([text, *extras])


def size(parameters: Mapping[str, Parameter]) -> int | None:
    """How many different configs there are, conditions left aside; None when a range is continuous."""
    count = 1
    for parameter in parameters.values():
        if isinstance(parameter, Choice):
            count *= len(parameter.values)
        elif isinstance(parameter, FloatRange | IntRange):
            if parameter.step is not None:
                count *= steps_in(parameter) + 1
            elif isinstance(parameter, IntRange):
                count *= parameter.max - parameter.min + 1
            else:
                return None
    return count


def _applies(parameter: Parameter, config: Mapping[str, Any]) -> bool:
    condition = None if isinstance(parameter, Constant) else parameter.when
    return all(
        name in config and config[name] in (wanted if isinstance(wanted, list) else [wanted])
        for name, wanted in (condition or {}).items()
    )


def _middle(parameter: Parameter) -> Any:
    if isinstance(parameter, Constant):
        return parameter.value
    if isinstance(parameter, Choice):
        return parameter.values[len(parameter.values) // 2]
    if parameter.step is not None:
        value = parameter.min + (steps_in(parameter) // 2) * parameter.step
        return min(value, parameter.max)
    if parameter.log:
        # Halves of logarithms: the product of both ends could overflow.
        middle = math.exp(math.log(parameter.min) / 2 + math.log(parameter.max) / 2)
    else:
        middle = parameter.min / 2 + parameter.max / 2
    if isinstance(parameter, IntRange):
        whole = (parameter.min + parameter.max) // 2 if not parameter.log else round(middle)
        return min(max(whole, parameter.min), parameter.max)
    return min(max(middle, parameter.min), parameter.max)


def _short(value: float | None) -> str:
    """1e-5 for 1.0e-05, 0.1 for 0.1: for eyes, not for files."""
    if value is None:
        return ""
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if exponent else text.removesuffix(".0")


def _alternatives(wanted: Any) -> str:
    return " or ".join(map(flow, wanted)) if isinstance(wanted, list) else flow(wanted)
