"""Hyperband: several brackets, each with its own first rung, so that a metric that shows late isn't judged early alone.

Trials are given to the brackets in Hyperband's own proportions (Li et al. 2018, "Hyperband", algorithm 1), one after
the other rather than by lot: after any number of trials each bracket has its share, to within one trial. Each bracket
halves asynchronously, as ASHA does, in the stopping or the pausing form: nobody waits for a round to be full.
"""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core import spec
from sweep.core.objectives import Objectives
from sweep.core.schedulers.asha import Asha
from sweep.core.schedulers.pausing import PausingAsha
from sweep.core.schedulers.rungs import weights
from sweep.core.trial import Trial


class Shares:
    """Gives trials to brackets, so that each prefix of them is shared out as nearly as can be."""

    def __init__(self, scheduler: spec.Scheduler) -> None:
        self._weights = weights(scheduler)
        self._given = [0] * len(self._weights)
        self._brackets: list[int] = []

    def bracket(self, trial: int) -> int:
        """The bracket of the trial of this number."""
        total = sum(self._weights)
        while len(self._brackets) <= trial:
            # Who is furthest behind its share of the trials so far, this one included.
            due = len(self._brackets) + 1
            behind = [due * weight - total * given for weight, given in zip(self._weights, self._given, strict=True)]
            chosen = behind.index(max(behind))
            self._given[chosen] += 1
            self._brackets.append(chosen)
        return self._brackets[trial]


class Hyperband(Asha):
    """Brackets that stop weak trials."""

    def __init__(self, scheduler: spec.Scheduler, metric: Objectives, *, seed: int) -> None:
        super().__init__(scheduler, metric, seed=seed)
        self._shares = Shares(scheduler)

    def bracket(self, trial: int) -> int:
        """In Hyperband's proportions."""
        return self._shares.bracket(trial)


class PausingHyperband(PausingAsha):
    """Brackets that pause trials, and let the best go on."""

    def __init__(
        self, scheduler: spec.Scheduler, metric: Objectives, trials: Mapping[int, Trial], *, seed: int
    ) -> None:
        super().__init__(scheduler, metric, trials, seed=seed)
        self._shares = Shares(scheduler)

    def bracket(self, trial: int) -> int:
        """In Hyperband's proportions."""
        return self._shares.bracket(trial)
