"""The median rule: a trial stops when its best so far is worse than the median of what others had on average by then.

That is Google Vizier's (Golovin et al. 2017, section 3.2.1): at step t a trial's best objective is compared with the
median of the other trials' running averages up to t. It names no rungs and no factor, so it suits curves of which one
knows little. We count trials that have reported at that very t, whatever became of them later, failed ones excepted;
Vizier counts completed ones. Values beyond a bound of the file count for nothing.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping

from sweep.core import spec
from sweep.core.objectives import Objectives
from sweep.core.protocols import Decision
from sweep.core.schedulers.scheduler import Scheduler
from sweep.core.trial import Trial, TrialState

MIN_PEERS = 3
"""With fewer others at a step there is no median worth the name."""


class _Curve:
    """What a trial has shown, lower is better."""

    def __init__(self) -> None:
        self.best = math.inf
        self.averages: dict[int, float] = {}
        self._sum = 0.0
        self._count = 0

    def add(self, t: int, value: float) -> float:
        """Take in a value, infinite for one that counts for nothing; returns the running average."""
        self.best = min(self.best, value)
        if math.isfinite(value):
            self._sum, self._count = self._sum + value, self._count + 1
        self.averages[t] = self._sum / self._count if self._count else math.inf
        return self.averages[t]


class Median(Scheduler):
    """The running averages of a study's trials, by step."""

    def __init__(self, scheduler: spec.Scheduler, metric: Objectives) -> None:
        self._rules = scheduler
        self._metric = metric
        self._curves: dict[int, _Curve] = {}
        self._at: dict[int, list[float]] = {}

    def judged(self, trial: Trial) -> None:
        """At each report: nobody knows beforehand at which steps a trial reports."""
        del trial

    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """Advance, or stop it when the others were better on average."""
        where = f"{self._rules.time_attr} {t}"
        problem = self._metric.problem(metrics)
        if problem is not None:
            return Decision("stop", f"{problem} at {where}: it can't advance", t)
        score = self._metric.score(metrics)
        curve = self._curves.setdefault(trial.number, _Curve())
        peers = self._at.setdefault(t, [])
        median, count = _median(peers), len(peers)
        bisect.insort(peers, curve.add(t, math.inf if score.excess else score.values[0]))
        if t < self._rules.grace_period:
            return Decision("advance", f"nobody is stopped before {self._rules.time_attr} {self._rules.grace_period}")
        if count < MIN_PEERS:
            return Decision("advance", f"{count} others at {where}: too few for a median", t)
        sign = 1 if self._metric.goal == "minimize" else -1
        told = f"best so far {sign * curve.best:.4g}, the median of {count} others' averages {sign * median:.4g}"
        if curve.best > median:
            return Decision("stop", f"{told} at {where}", t)
        return Decision("advance", f"{told} at {where}", t)

    def ended(self, trial: Trial) -> None:
        """What a failed one has shown is taken out."""
        if trial.state is TrialState.FAILED and (curve := self._curves.pop(trial.number, None)):
            for t, average in curve.averages.items():
                del self._at[t][bisect.bisect_left(self._at[t], average)]


def _median(ascending: list[float]) -> float:
    count = len(ascending)
    if not count:
        return math.nan
    middle = count // 2
    if count % 2 or ascending[middle - 1] == ascending[middle]:
        return ascending[middle]
    return (ascending[middle - 1] + ascending[middle]) / 2
