"""Configs of a space drawn at random, or all of them one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.core.space import Space, size
from sweep.core.values import place_in, steps_in

MOST_LISTED = 20_000
"""A space of at most so many configs is looked at as a whole, where that is asked for."""

_FINE = 2**53


def value_at(parameter: FloatRange | IntRange | Choice, place: float) -> Any:
    """The value that lies so far through a parameter, each with as much room as its scale gives it.

    Args:
        parameter: with values in order, of a list as they are written.
        place: from 0 up to, not including, 1.
    """
    if isinstance(parameter, Choice):
        return parameter.values[int(place * len(parameter.values))]
    if parameter.step is not None:
        return _step(parameter, int(place * (steps_in(parameter) + 1)))
    if isinstance(parameter, IntRange):
        if not parameter.log:
            # By whole numbers: as real ones, large ranges would lose their last digits.
            count = parameter.max - parameter.min + 1
            return parameter.min + (int(place * _FINE) * count) // _FINE
        # Each whole number has the room from half below it to half above.
        low, high = math.log(parameter.min - 0.5), math.log(parameter.max + 0.5)
        return min(max(round(math.exp(low + place * (high - low))), parameter.min), parameter.max)
    if parameter.log:
        low, high = math.log(parameter.min), math.log(parameter.max)
        value = math.exp(low + place * (high - low))
    else:
        # In two parts: the width itself could overflow.
        value = parameter.min * (1 - place) + parameter.max * place
    return min(max(value, parameter.min), parameter.max)


def place_of(parameter: FloatRange | IntRange | Choice, value: Any) -> float:
    """How far through a parameter a value lies, from 0 to 1; in the middle of its room where values have some."""
    if isinstance(parameter, Choice):
        return (place_in(parameter.values, value) + 0.5) / len(parameter.values)
    if parameter.step is not None:
        return float((round((value - parameter.min) / parameter.step) + 0.5) / (steps_in(parameter) + 1))
    if isinstance(parameter, IntRange):
        if not parameter.log:
            return float((value - parameter.min + 0.5) / (parameter.max - parameter.min + 1))
        low, high = math.log(parameter.min - 0.5), math.log(parameter.max + 0.5)
        return (math.log(value) - low) / (high - low)
    if parameter.log:
        low, high = math.log(parameter.min), math.log(parameter.max)
        return (math.log(value) - low) / (high - low) if high > low else 0.5
    # In halves: the width itself could overflow.
    width = parameter.max / 2 - parameter.min / 2
    return (value / 2 - parameter.min / 2) / width if width else 0.5


def draw_value(parameter: FloatRange | IntRange | Choice, random: Random) -> Any:
    """A value of a parameter, each as likely as its scale says."""
    return value_at(parameter, random.random())


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
    return None if count is None or count > MOST_LISTED else each(space)


def each(space: Space) -> Iterator[dict[str, Any]]:
    """All configs of a space without continuous ranges, constraints left aside, each once."""
    values = {name: values_of(parameter) for name, parameter in space.proposed.items()}
    return space.every(values.__getitem__)


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
