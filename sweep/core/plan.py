"""What a study will do, before it does: rungs, how many trials each is expected to see, epochs in total."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sweep.core.limits import trial_limit
from sweep.core.schedulers.asha import ladder
from sweep.core.spec import Metric, StudySpec
from sweep.core.trial import Trial


@dataclass(frozen=True)
class Rung:
    """A fidelity where trials are compared, and how many are expected there; the last is max_t."""

    t: int
    expected_trials: float


@dataclass(frozen=True)
class Plan:
    """A study before its start.

    Attributes:
        trials: how many will be created, or None when only time ends the study.
        rungs: of the lowest bracket, ascending; the last is max_t.
        slots: trials at once.
        repeats: trainings of finalists with other seeds, to max_t, after the search.
        expected_t: fidelity steps over all trials, if 1 in reduction_factor advances at each rung; repeats included.
        longest_t: fidelity steps if nobody were stopped; an upper bound.
        gpu: share of a GPU that a trial occupies.
    """

    trials: int | None
    rungs: tuple[Rung, ...]
    slots: int
    expected_t: float | None
    longest_t: int | None
    gpu: float
    time_s: float | None
    gpu_hours: float | None = None
    repeats: int = 0

    def most_gpu_hours(self, seconds_per_t: float) -> float | None:
        """Upper bound of GPU-hours at this many seconds for a fidelity step."""
        return None if self.longest_t is None else self.longest_t * seconds_per_t * self.gpu / 3600


def make(spec: StudySpec, *, slots: int, gpu: float | None = None) -> Plan:
    """The plan of a search file.

    Args:
        spec: the search file.
        slots: trials at once.
        gpu: the share that a trial gets, where that isn't what the file asks for.
    """
    asked = spec.resources.gpu if isinstance(spec.resources.gpu, int | float) else 0
    share = float(asked if gpu is None else gpu)
    scheduler, trials = spec.scheduler, trial_limit(spec.budget, share)
    repeats = spec.search.repeats * min(spec.search.finalists, trials or spec.search.finalists)
    steps = [] if scheduler.type == "none" else ladder(scheduler)
    counts = _expected(spec, trials or 1, steps)
    rungs = tuple(Rung(t, count) for t, count in zip([*steps, scheduler.max_t], counts, strict=True))
    spent, before = 0.0, 0
    for rung in rungs:
        spent += rung.expected_trials * (rung.t - before)
        before = rung.t
    again = repeats * scheduler.max_t
    return Plan(
        trials=trials,
        rungs=rungs,
        slots=slots,
        expected_t=spent + again if trials else None,
        longest_t=trials * scheduler.max_t + again if trials else None,
        gpu=share,
        time_s=spec.budget.time_s,
        gpu_hours=spec.budget.gpu_hours,
        repeats=repeats,
    )


def _expected(spec: StudySpec, trials: int, steps: list[int]) -> list[float]:
    """How many trials reach each rung of the lowest bracket, and max_t."""
    # The k-th arrival of a rung is in its best max(1, k // rf) with that many chances in k.
    reached: list[float] = [float(trials)]
    for _ in steps:
        arrived = round(reached[-1])
        advanced = sum(max(1, k // spec.scheduler.reduction_factor) / k for k in range(1, arrived + 1))
        reached.append(advanced)
    return reached


def survival(trials: list[Trial], rungs: list[int], metric: Metric) -> list[tuple[int, int, float | None]]:
    """For each rung: its fidelity, how many trials have reached it, and the best finite value reported there.

    A trial's value at a rung is that of its first report at or past it, if that comes before the next rung.

    Args:
        trials: of the study.
        rungs: fidelities, ascending.
        metric: which value, and which way is better.
    """
    table: list[tuple[int, int, float | None]] = []
    for rung, following in zip(rungs, [*rungs[1:], math.inf], strict=True):
        there = [next(report for report in trial.reports if report.t >= rung) for trial in trials if trial.t >= rung]
        best: float | None = None
        for report in there:
            value = report.metrics.get(metric.name, math.nan)
            if report.t < following and math.isfinite(value) and (best is None or metric.better(value, best)):
                best = value
        table.append((rung, len(there), best))
    return table
