"""What has become of the trials that are over, for samplers that don't go by Optuna's records of them.

CMA-ES and genetic algorithms go forward by generations: so many trials that are over make one, in the order of their
numbers. So a generation can be found again from the trials alone, after a resume or from another process, and nothing
has to be kept with the trials as Optuna's samplers do. A trial that ends later than its neighbours changes the
generations from its own on; those are then worked out anew.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from sweep.core.objectives import Objectives, Result


@dataclass(frozen=True, eq=False)
class Ended:
    """A trial that is over, or waits at a rung: what it has come to so far.

    Attributes:
        number: Optuna's.
        params: Optuna's.
        t: where it was stopped; infinite for a complete one, which no stopped one comes up to.
        result: of a complete trial its best, of a stopped one the last.
        rank: of one objective; the smaller the better: within the bounds, further on, the value.
    """

    number: int
    params: dict[str, Any]
    t: float
    result: Result
    rank: tuple[float, ...]


class History:
    """The trials that are over and have a value, by number; trials that failed aren't among them."""

    def __init__(self, metric: Objectives) -> None:
        self._signs = tuple(1.0 if goal.goal == "minimize" else -1.0 for goal in metric.goals)
        self._numbers: list[int] = []
        self._ended: list[Ended] = []
        self._ranks: list[tuple[tuple[float, ...], int]] = []
        self._front: list[Ended] = []
        # Those for which the front hasn't been looked through.
        self._new: list[Ended] = []

    def __len__(self) -> int:
        return len(self._ended)

    def all(self) -> list[Ended]:
        """By number."""
        return self._ended

    def generation(self, size: int, number: int) -> list[Ended]:
        """The trials of a full generation, counted from 0; fewer than `size` where it isn't full."""
        return self._ended[number * size : (number + 1) * size]

    def best(self, count: int) -> list[int]:
        """Numbers of the best: by rank, or of several objectives those that no other one beats."""
        if len(self._signs) > 1:
            return [one.number for one in self._found_front()[-count:]]
        return [number for _, number in self._ranks[:count]]

    def add(self, trial: FrozenTrial, t: float, result: Result) -> None:
        """A trial is over, or waits."""
        self.remove(trial.number)
        values = tuple(sign * value for sign, value in zip(self._signs, result.values, strict=True))
        excess = sum(max(0.0, each) for each in result.excess)
        ended = Ended(trial.number, trial.params, t, result, (excess, -t, *values))
        place = bisect.bisect(self._numbers, trial.number)
        self._numbers.insert(place, trial.number)
        self._ended.insert(place, ended)
        bisect.insort(self._ranks, (ended.rank, trial.number))
        self._new.append(ended)

    def remove(self, number: int) -> None:
        """A trial goes on; harmless when it isn't here."""
        place = bisect.bisect_left(self._numbers, number)
        if place == len(self._numbers) or self._numbers[place] != number:
            return
        gone = self._ended.pop(place)
        self._numbers.pop(place)
        self._ranks.pop(bisect.bisect_left(self._ranks, (gone.rank, number)))
        # What it alone has beaten may come back.
        self._front, self._new = [], list(self._ended)

    def _found_front(self) -> list[Ended]:
        """Those that no other one beats in all that counts, worked out for what is new since it was last asked for."""
        for new in self._new:
            # (front, bounds and values), each the lower the better.
            ranks = np.array([one.rank for one in self._front]).reshape(len(self._front), len(new.rank))
            rank = np.array(new.rank)
            at_most, at_least = (ranks <= rank).all(axis=1), (ranks >= rank).all(axis=1)
            if not (at_most & ~at_least).any():
                beaten = np.asarray(at_least & ~at_most)
                self._front = [one for one, gone in zip(self._front, beaten, strict=True) if not gone]
                self._front.append(new)
        self._new = []
        return self._front


WHOLE = math.inf
"""`Ended.t` of a complete trial."""
