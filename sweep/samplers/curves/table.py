"""What trials have reported, as the points that the model learns from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sweep.samplers.curves.encoding import Array
from sweep.samplers.curves.model import Points

Status = Literal["running", "paused", "ended", "failed"]

_CLIP = 2.0
"""Values further above the median than this times its distance to the best count as being there: how bad the bad ones
are says nothing of the good ones, and would set the scale of everything."""

_FOR_BEST, _FOR_FAR = 0.25, 0.7
"""Of the points that the model is given, the part for the best trials, and for those and the ones that got far."""


@dataclass(frozen=True)
class Curve:
    """A trial as the sampler sees it; lower values are better.

    Attributes:
        number: of the trial.
        units: (d,) its config in the unit cube.
        row: (D,) the same for the model.
        values: (fidelity, value) of each report, ascending; finite ones only.
        passed: those that the model is told of, see `Ladder.passed`.
        status: "paused" ones can go on.
        until: the fidelity that a running one is on its way to; None for max_t.
    """

    number: int
    units: Array
    row: Array
    values: tuple[tuple[int, float], ...] = ()
    passed: tuple[tuple[int, float], ...] = ()
    status: Status = "running"
    until: int | None = None

    @property
    def t(self) -> int:
        """The fidelity of its last report; 0 before the first."""
        return self.values[-1][0] if self.values else 0

    @property
    def best(self) -> float:
        """Its best value: the one whose checkpoint would be kept."""
        return self.passed[-1][1] if self.passed else min((value for _, value in self.values), default=math.inf)


class Ladder:
    """The rungs, and how much of the way is left at a fidelity.

    Attributes:
        rungs: ascending; the last one is max_t.
    """

    def __init__(self, rungs: Sequence[int]) -> None:
        self.rungs = tuple(rungs)

    @classmethod
    def geometric(cls, min_t: int, max_t: int, factor: int) -> Ladder:
        """Rungs at min_t times the powers of `factor`, and max_t."""
        rungs = []
        rung = min_t
        while rung < max_t:
            rungs.append(rung)
            rung *= factor
        return cls([*rungs, max_t])

    @property
    def max_t(self) -> int:
        """Where a trial is complete."""
        return self.rungs[-1]

    def left(self, t: float) -> float:
        """1 at the first rung, 0 at max_t, linear in the logarithm; above 1 before the first rung."""
        first = self.rungs[0]
        if first == self.max_t:
            return 0.0
        return max(0.0, math.log(self.max_t / max(t, 1)) / math.log(self.max_t / first))

    @property
    def knots(self) -> list[float]:
        """What is left at each rung."""
        return [self.left(rung) for rung in self.rungs]

    def passed(self, values: Mapping[int, float]) -> Iterator[tuple[int, float]]:
        """The fidelities that the model is told of, and the best value up to each: the rungs, and the last report.

        Reports needn't fall on rungs: at a rung counts what the trial had when it passed there.

        Args:
            values: fidelity to value, ascending.
        """
        best, at = math.inf, 0
        rungs = list(self.rungs)
        for t, value in values.items():
            while rungs and t > rungs[0]:
                if at:
                    yield rungs[0], best
                rungs.pop(0)
            best, at = min(best, value), t
            if rungs and t == rungs[0]:
                yield rungs.pop(0), best
                at = 0 if t == self.max_t else t
        if at > self.rungs[0] and at not in self.rungs:
            yield min(at, self.max_t), best


@dataclass(frozen=True)
class Table:
    """What was seen of all trials, scaled.

    Attributes:
        seen: n points.
        values: (n,) of mean 0 and deviation 1.
        best: the lowest of them.
    """

    seen: Points
    values: Array
    best: float


def gather(curves: Sequence[Curve], ladder: Ladder) -> Table | None:
    """All points that can be learned from; None as long as there is none.

    A failed trial counts where it failed as the worst that was seen, so that its neighbours are avoided.
    """
    rows, left, numbers, values = [], [], [], []
    for curve in curves:
        for t, value in curve.passed:
            rows.append(curve.row)
            left.append(ladder.left(t))
            numbers.append(curve.number)
            values.append(value)
    if not values:
        return None
    worst = max(values)
    for curve in curves:
        if curve.status == "failed":
            rows.append(curve.row)
            left.append(ladder.left(next((rung for rung in ladder.rungs if rung > curve.t), ladder.max_t)))
            numbers.append(curve.number)
            values.append(worst)
    scaled = scale(np.array(values))
    points = Points(np.array(rows), np.array(left), np.array(numbers, dtype=np.int64))
    return Table(points, scaled, float(scaled.min()))


def scale(values: Array) -> Array:
    """(n,) finite values to mean 0 and deviation 1, the bad ones clipped."""
    lowest, median = values.min(), np.median(values)
    clipped = np.minimum(values, median + _CLIP * max(median - lowest, 1e-12))
    return np.asarray((clipped - clipped.mean()) / (clipped.std() + 1e-12))


def thin(table: Table, most: int, random: np.random.Generator) -> tuple[Points, Array]:
    """At most so many points, whole trials: the best, then those that got far, then some by chance.

    What a proposal costs is bounded by this, however many trials there are.
    """
    seen, values = table.seen, table.values
    if len(values) <= most:
        return seen, values
    trials, index, counts = np.unique(seen.trials, return_inverse=True, return_counts=True)
    best = np.full(len(trials), np.inf)
    nearest = np.full(len(trials), np.inf)
    np.minimum.at(best, index, values)
    np.minimum.at(nearest, index, seen.left)
    chosen = np.zeros(len(trials), dtype=bool)
    orders = (
        (_FOR_BEST, np.argsort(best, kind="stable")),
        (_FOR_FAR, np.lexsort((best, nearest > 0.5))),  # noqa: PLR2004 - half of the way
        (1.0, random.permutation(len(trials))),
    )
    for share, order in orders:
        room = share * most - counts[chosen].sum()
        for trial in order:
            if chosen[trial]:
                continue
            if counts[trial] > room:
                break
            chosen[trial] = True
            room -= counts[trial]
    kept: NDArray[np.int64] = np.nonzero(chosen[index])[0]
    return seen[kept], values[kept]
