"""Trials that wait at a rung: what each is worth going on with, and which one has to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sweep.samplers.curves.encoding import Array
from sweep.samplers.curves.model import CurveModel
from sweep.samplers.curves.table import Curve, Ladder

if TYPE_CHECKING:
    from sweep.samplers.curves.search import Search

MOST_PAUSED = 80
"""Waiting trials that are reckoned with at a time."""

HOPE = 0.1
"""Chance to become the best with which a waiting trial goes on when no new one will come."""


@dataclass(frozen=True)
class Continue:
    """Let a waiting trial go on to the rung `until`; `reason` says why it, and why now."""

    trial: int
    until: int
    reason: str


@dataclass(frozen=True)
class Waiting:
    """The trials that wait at rungs, and what it is worth to go on with each."""

    curves: list[Curve]
    rates: Array
    rungs: NDArray[np.int64]
    chances: Array

    @classmethod
    def reckoned(
        cls, search: Search, model: CurveModel, best: float, curves: Sequence[Curve], random: np.random.Generator
    ) -> Waiting | None:
        """None when none waits."""
        waiting = [curve for curve in curves if curve.status == "paused" and curve.values]
        if not waiting:
            return None
        if len(waiting) > MOST_PAUSED:
            waiting.sort(key=lambda curve: curve.best)
            good = MOST_PAUSED * 3 // 4
            others = random.choice(len(waiting) - good, MOST_PAUSED - good, replace=False) + good
            waiting = waiting[:good] + [waiting[place] for place in sorted(others)]
        points = search.points(waiting, [curve.t for curve in waiting])
        rates, rungs, chances = search.rates(model, best, points, np.array([float(curve.t) for curve in waiting]))
        return cls(waiting, rates, rungs, chances)

    @property
    def rate(self) -> float:
        """The best one."""
        return float(self.rates.max())

    def best(self) -> Continue:
        """Go on with the most promising one."""
        place = int(np.argmax(self.rates))
        return self._go_on(place, int(self.rungs[place]), "it promises most for its cost")

    def due(self, curves: Sequence[Curve], ladder: Ladder, factor: int) -> Continue | None:
        """Go on with one because too few have gone beyond a rung, the highest such rung first."""
        for rung, above in reversed(list(zip(ladder.rungs, ladder.rungs[1:], strict=False))):
            reached = sum(curve.t >= rung for curve in curves)
            beyond = sum(
                curve.t > rung or (curve.status == "running" and curve.t >= rung and (curve.until or 0) > rung)
                for curve in curves
            )
            here = [place for place, curve in enumerate(self.curves) if rung <= curve.t < above]
            if beyond < reached // factor and here:
                place = max(here, key=lambda place: self.rates[place])
                told = f"{beyond} of {reached} went beyond rung {rung}; it promises most of those that wait there"
                return self._go_on(place, max(int(self.rungs[place]), above), told)
        return None

    def hopeful(self, curves: Sequence[Curve], ladder: Ladder) -> Continue | None:
        """Go on with the one that likeliest becomes the best, if that is likely or else nobody would be at the end."""
        place = int(np.argmax(self.chances))
        if self.chances[place] >= HOPE:
            told = f"with a chance of {self.chances[place]:.0%} it becomes the best"
            return self._go_on(place, int(self.rungs[place]), told)
        if not any(curve.t >= ladder.max_t or curve.status == "running" for curve in curves):
            return self._go_on(place, ladder.max_t, "it promises most, and no trial was trained to the end")
        return None

    def _go_on(self, place: int, rung: int, reason: str) -> Continue:
        return Continue(self.curves[place].number, rung, reason)
