"""A config near another: how population based training looks further from a trial that does well."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any

from sweep.core.drawing import draw_value
from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.core.space import Space
from sweep.core.values import steps_in

RESAMPLED = 0.25
"""How often a value is drawn anew rather than moved."""

FACTORS = (0.8, 1.2)
"""What a number is moved by (Jaderberg et al. 2017, arXiv 1711.09846)."""

TRIES = 100
"""Neighbours drawn before a config that the constraints hem in is left as it is."""

Varying = FloatRange | IntRange | Choice


def explored_names(space: Space, named: Collection[str] | None) -> list[str]:
    """The parameters that may change in the midst of a training: those that the file names, else the real ranges.

    Whole numbers and lists mostly say what a model is made of, which its checkpoint can't follow.
    """
    if named is not None:
        return [name for name in space.proposed if name in named]
    return [name for name, parameter in space.proposed.items() if isinstance(parameter, FloatRange)]


def neighbour(
    space: Space, config: Mapping[str, Any], names: Collection[str], generator: random.Random
) -> dict[str, Any]:
    """A config near `config`, of the same space and within its constraints; `config` itself when none was found.

    Args:
        space: of the file.
        config: of a trial.
        names: which parameters may change; what a change brings into use is drawn.
        generator: draws.
    """
    start = space.chosen(config)
    for _ in range(TRIES):
        found = space.walk(lambda name: _value(space, start, names, name, generator))
        if found != config and not space.broken(found):
            return found
    return dict(config)


def _value(space: Space, start: Mapping[str, Any], names: Collection[str], name: str, generator: random.Random) -> Any:
    parameter = space.proposed[name]
    if name not in start:
        return draw_value(parameter, generator)
    return moved(parameter, start[name], generator) if name in names else start[name]


def moved(parameter: Varying, value: Any, generator: random.Random) -> Any:
    """A value beside `value`, or now and then any other: numbers by a factor, lists with an order to a neighbour."""
    if generator.random() < RESAMPLED:
        return draw_value(parameter, generator)
    up = generator.random() < 1 / 2
    if isinstance(parameter, Choice):
        if not parameter.ordered:
            return value
        return _beside_in(parameter.values, value, up=up)
    # At an end of its range it turns round; zero has no factor.
    for direction in (up, not up):
        found = _scaled(parameter, value, up=direction)
        if found != value:
            return found
    return draw_value(parameter, generator)


def _beside_in(values: list[Any], value: Any, *, up: bool) -> Any:
    place = values.index(value)
    following = place + (1 if up else -1)
    if not 0 <= following < len(values):
        following = place - (1 if up else -1)
    return values[min(max(following, 0), len(values) - 1)]


def _scaled(parameter: FloatRange | IntRange, value: float, *, up: bool) -> float:
    target = value * FACTORS[up]
    if value < 0:
        up = not up
    if parameter.step is not None:
        place = round((value - parameter.min) / parameter.step)
        following = round((target - parameter.min) / parameter.step)
        if following == place and value:
            following += 1 if up else -1
        return _step(parameter, min(max(following, 0), steps_in(parameter)))
    if isinstance(parameter, IntRange):
        whole = round(target)
        if whole == value and value:
            whole += 1 if up else -1
        return _within(parameter, whole)
    return _within(parameter, target)


def _step(parameter: FloatRange | IntRange, place: int) -> float:
    step = parameter.step or 1
    return _within(parameter, parameter.min + place * step)


def _within(parameter: FloatRange | IntRange, value: float) -> float:
    return min(max(value, parameter.min), parameter.max)
