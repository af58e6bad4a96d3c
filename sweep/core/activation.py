"""Which parameters a trial has: those whose conditions (`when:`) hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.core.flow import flow
from sweep.core.parameters import Parameter
from sweep.core.values import same


def holds(wanted: Any, value: Any) -> bool:
    """Whether a value is the one that a condition wants, or among those."""
    return any(same(value, one) for one in (wanted if isinstance(wanted, list) else [wanted]))


def applies(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether a parameter's conditions hold for these values; a name without a value meets none."""
    return all(name in values and holds(wanted, values[name]) for name, wanted in (parameter.when or {}).items())


def activation_order(parameters: Mapping[str, Parameter]) -> tuple[str, ...]:
    """The names in an order in which each comes after those that its conditions name; else the file's.

    Raises:
        ValueError: conditions go in a circle, or name what is no parameter; a loaded file has neither.
    """
    order: dict[str, None] = {}
    left = list(parameters)
    while left:
        ready = [name for name in left if all(other in order for other in parameters[name].when or {})]
        if not ready:
            raise ValueError(f"the conditions of {', '.join(left)} can't be told")
        # One at a time, so that the file's order is kept where it can be.
        order[ready[0]] = None
        left.remove(ready[0])
    return tuple(order)


def told_condition(parameter: Parameter) -> str:
    """A parameter's conditions in a line: "optimizer is sgd or adam, layers is 2"."""
    return ", ".join(f"{name} is {_alternatives(wanted)}" for name, wanted in (parameter.when or {}).items())


def _alternatives(wanted: Any) -> str:
    return " or ".join(map(flow, wanted)) if isinstance(wanted, list) else flow(wanted)
