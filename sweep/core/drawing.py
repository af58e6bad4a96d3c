"""Configs of a space drawn at random, or all of them one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.core.space import Space, size
from sweep.core.values import steps_in

MOST_LISTED = 20_000
"""A space of at most so many configs is looked at as a whole, where that is asked for."""


def draw_value(parameter: FloatRange | IntRange | Choice, random: Random) -> Any:
    """A value of a parameter, each as likely as its scale says."""
    if isinstance(parameter, Choice):
        return random.choice(parameter.values)
    if parameter.step is not None:
        return _step(parameter, random.randint(0, steps_in(parameter)))
    if isinstance(parameter, IntRange):
        if not parameter.log:
            return random.randint(parameter.min, parameter.max)
        # Each whole number has the room from half below it to half above.
        drawn = math.exp(random.uniform(math.log(parameter.min - 0.5), math.log(parameter.max + 0.5)))
        return min(max(round(drawn), parameter.min), parameter.max)
    if parameter.log:
        drawn = math.exp(random.uniform(math.log(parameter.min), math.log(parameter.max)))
    else:
        drawn = random.uniform(parameter.min, parameter.max)
    return min(max(drawn, parameter.min), parameter.max)


def draw(space: Space, random: Random, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A config at random, constraints left aside.

    Args:
        space: of the study.
        random: the generator to draw from.
        given: values that are kept, by proposed name; of a name that comes not into use nothing is kept.
    """
    kept = given or {}
    return space.walk(lambda name: kept[name] if name in kept else draw_value(space.proposed[name], random))


def listed(space: Space) -> Iterator[dict[str, Any]] | None:
    """All configs of a space, constraints left aside, each once; None where there are more than `MOST_LISTED`."""
    count = size(space.proposed)
    return None if count is None or count > MOST_LISTED else _each(space, {})


def values_of(parameter: FloatRange | IntRange | Choice) -> list[Any]:
    """All values of a parameter that has an end of them."""
    if isinstance(parameter, Choice):
        return list(parameter.values)
    if parameter.step is not None:
        return [_step(parameter, place) for place in range(steps_in(parameter) + 1)]
    if isinstance(parameter, IntRange):
        return list(range(parameter.min, parameter.max + 1))
    raise ValueError("a continuous range has no list of values")


def _step(parameter: FloatRange | IntRange, place: int) -> Any:
    return min(parameter.min + place * (parameter.step or 0), parameter.max)


def _each(space: Space, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configs that begin with the values given."""
    asked: list[str] = []

    def choose(name: str) -> Any:
        if name not in given and not asked:
            asked.append(name)
        return given.get(name, values_of(space.proposed[name])[0])

    config = space.walk(choose)
    if not asked:
        yield config
        return
    for value in values_of(space.proposed[asked[0]]):
        yield from _each(space, {**given, asked[0]: value})
