"""ASHA in its stopping form: a trial that reaches a rung goes on only among the best 1/reduction_factor there.

Losers stop at once and nobody waits. (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning",
arXiv 1810.05934, describes the form that pauses and promotes; the stopping form is the one of Ray Tune and Syne Tune.)
Where we differ from theirs: each rung judges a trial once, by the first report at or past it; a report that passes
several rungs is judged at the highest alone, as its value would be unfair to the peers of the lower ones; NaN and
missing values never go on; the bracket comes from the study's seed.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence

from sweep.core.protocols import Decision
from sweep.core.seeds import derive
from sweep.core.spec import Metric, Scheduler


def judge(value: float, peers: Sequence[float], *, reduction_factor: int, rung: int) -> Decision:
    """Decide whether a trial that has reached a rung advances or stops.

    It advances when its value is in the best 1/reduction_factor of all recorded here so far, its own included.

    Args:
        value: the objective, lower is better; NaN always stops.
        peers: (n,) finite values recorded at this rung before, ascending; n may be 0.
        reduction_factor: at least 2.
        rung: the fidelity of the rung, for the reason.

    Raises:
        ValueError: reduction_factor below 2, which would stop nobody.
    """
    if reduction_factor < 2:  # noqa: PLR2004 - the rule itself
        raise ValueError(f"reduction_factor is {reduction_factor}; below 2 nobody would be stopped")
    if math.isnan(value):
        return Decision("stop", f"no number to judge at rung {rung}", rung)
    seen = len(peers) + 1
    # At least one place, or the first arrivals would all stop.
    places = max(1, seen // reduction_factor)
    rank = 1 + bisect.bisect_left(peers, value)
    if rank <= places:
        return Decision("advance", f"{rank} of {seen} at rung {rung}: within the best {places}", rung)
    return Decision("stop", f"{rank} of {seen} at rung {rung}: not within the best {places}", rung)


def ladder(scheduler: Scheduler, bracket: int = 0) -> list[int]:
    """The rungs of a bracket below max_t, ascending; bracket b starts at grace_period * reduction_factor**b."""
    rungs = []
    rung = scheduler.grace_period * scheduler.reduction_factor**bracket
    while rung < scheduler.max_t:
        rungs.append(rung)
        rung *= scheduler.reduction_factor
    return rungs


def draw_bracket(scheduler: Scheduler, seed: int, trial: int) -> int:
    """The bracket of a trial, in 0 .. brackets-1, from the study's seed and the trial's number.

    Brackets are as likely as Hyperband's shares of trials (Li et al. 2018, algorithm 1): most start at the lowest rung.
    """
    top = scheduler.brackets - 1
    weights = [
        math.ceil(scheduler.brackets / (top - b + 1)) * scheduler.reduction_factor ** (top - b)
        for b in range(scheduler.brackets)
    ]
    return random.Random(derive(seed, "bracket", trial)).choices(range(scheduler.brackets), weights)[0]  # noqa: S311


class Asha:
    """The rungs of a study and what was recorded at each."""

    def __init__(self, scheduler: Scheduler, metric: Metric) -> None:
        self._scheduler = scheduler
        self._sign = 1 if metric.goal == "minimize" else -1
        self._metric = metric
        self._ladders = [ladder(scheduler, bracket) for bracket in range(scheduler.brackets)]
        self._recorded: dict[tuple[int, int], list[float]] = {}
        self._settled: dict[int, int] = {}

    def recorded(self, bracket: int = 0) -> dict[int, int]:
        """How many values each rung of a bracket has seen."""
        return {rung: len(self._recorded.get((bracket, rung), ())) for rung in self._ladders[bracket]}

    def report(self, trial: int, bracket: int, t: int, value: float | None) -> Decision:
        """Judge a report, if it is the first at or past a rung that hasn't judged the trial.

        Args:
            trial: its number.
            bracket: its bracket.
            t: the fidelity of the report, above that of the trial's earlier ones.
            value: the objective in the user's own direction; None when the report lacks it.
        """
        reached = [rung for rung in self._ladders[bracket] if rung <= t and rung > self._settled.get(trial, 0)]
        if not reached:
            return Decision("advance", f"no rung to pass at {self._scheduler.time_attr} {t}")
        rung = reached[-1]
        self._settled[trial] = rung
        if value is None or math.isnan(value):
            what = "missing" if value is None else "nan"
            return Decision("stop", f"{self._metric.name} is {what} at rung {rung}: it can't advance", rung)
        peers = self._recorded.setdefault((bracket, rung), [])
        signed = self._sign * value
        decision = judge(signed, peers, reduction_factor=self._scheduler.reduction_factor, rung=rung)
        bisect.insort(peers, signed)
        return decision
