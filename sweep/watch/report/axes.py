"""A parameter as an axis: where its values lie, and how they are written there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.core.parameters import Choice, Constant, FloatRange, IntRange, Parameter
from sweep.core.space import Space
from sweep.core.values import place_in
from sweep.watch.text import shown

ABSENT = "not used"
"""How the place of trials is called that don't have the parameter."""

_MARKS = 6
"""Steps between the marks of an axis of whole numbers, at most."""

_DECADES = 6
"""Of a log axis that each have a tick."""


@dataclass(frozen=True)
class Axis:
    """A parameter that varies.

    Places are numbers: the value, its decimal logarithm on a log axis, or the place in the list of a choice.

    Attributes:
        name: of the parameter.
        parameter: its range or list.
        low, high: the places of its ends.
    """

    name: str
    parameter: FloatRange | IntRange | Choice
    low: float
    high: float

    @property
    def log(self) -> bool:
        """Whether places are decimal logarithms."""
        return not isinstance(self.parameter, Choice) and self.parameter.log

    @property
    def listed(self) -> bool:
        """Whether it is one of a list of values."""
        return isinstance(self.parameter, Choice)

    def place(self, config: Mapping[str, Any]) -> float | None:
        """Where a config lies; None when it doesn't have the parameter."""
        if self.name not in config:
            return None
        value = config[self.name]
        if isinstance(self.parameter, Choice):
            return float(place_in(self.parameter.values, value))
        return math.log10(value) if self.log else float(value)

    def value(self, place: float) -> Any:
        """What lies at a place."""
        if isinstance(self.parameter, Choice):
            return self.parameter.values[round(place)]
        found = 10**place if self.log else place
        return round(found) if isinstance(self.parameter, IntRange) else found

    def ticks(self) -> tuple[list[float], list[str]] | None:
        """Places that are marked, and with what; None where an axis of plain numbers does it."""
        if isinstance(self.parameter, Choice):
            return [float(place) for place in range(len(self.parameter.values))], list(
                map(shown, self.parameter.values)
            )
        if not self.log:
            return self._whole()
        first, last = math.ceil(self.low), math.floor(self.high)
        places = [float(place) for place in range(first, last + 1, max(1, (last - first) // _DECADES))]
        if len(places) < 3:  # noqa: PLR2004 - a decade or two
            values = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
            places = [place for value in values if self.low <= (place := math.log10(value)) <= self.high]
        if len(places) < 2:  # noqa: PLR2004 - a part of a decade
            places = [self.low + (self.high - self.low) * part / 4 for part in range(5)]
        return places, [shown(self.value(place)) for place in places]

    def _whole(self) -> tuple[list[float], list[str]] | None:
        """Marks of an even axis of whole numbers; others have those that its drawing puts there."""
        if not isinstance(self.parameter, IntRange):
            return None
        step = max(1, math.ceil((self.high - self.low) / _MARKS))
        values = list(range(round(self.low), round(self.high) + 1, step))
        return [float(value) for value in values], [str(value) for value in values]


def axes(space: Space, configs: Sequence[Mapping[str, Any]]) -> list[Axis]:
    """The parameters that a sampler chooses and that differ between these configs, in the file's order."""
    found = []
    for name in space.parameters:
        parameter = space.proposed.get(name)
        if parameter is None:
            continue
        held = {shown(config[name]) if name in config else ABSENT for config in configs}
        if len(held) > 1:
            found.append(Axis(name, parameter, *_ends(parameter)))
    return found


def _ends(parameter: Parameter) -> tuple[float, float]:
    if isinstance(parameter, Choice):
        return 0.0, float(len(parameter.values) - 1)
    if isinstance(parameter, Constant):
        return 0.0, 0.0
    if parameter.log:
        return math.log10(parameter.min), math.log10(parameter.max)
    return float(parameter.min), float(parameter.max)
