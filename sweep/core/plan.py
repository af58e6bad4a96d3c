"""What a study will do, before it does: rungs, how many trials each is expected to see, epochs in total."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sweep.core.algorithms import trial_count
from sweep.core.guidance import guided, pauses
from sweep.core.limits import trial_limit
from sweep.core.objectives import Objectives
from sweep.core.schedulers.rungs import ladder, weights
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial


@dataclass(frozen=True)
class Rung:
    """A fidelity where trials are compared, and how many are expected there; the last is max_t."""

    t: int
    expected_trials: float


@dataclass(frozen=True)
class Ladder:
    """The rungs of a bracket, ascending, the last being max_t; and how many trials begin there."""

    trials: float
    rungs: tuple[Rung, ...]

    @property
    def steps(self) -> float:
        """Fidelity steps over all its trials."""
        ends = [0, *(rung.t for rung in self.rungs)]
        return sum(rung.expected_trials * (rung.t - before) for before, rung in zip(ends[:-1], self.rungs, strict=True))


@dataclass(frozen=True)
class Plan:
    """A study before its start.

    Attributes:
        trials: how many will be created, or None when only time ends the study.
        ladders: of each bracket, the lowest first.
        judging: how the scheduler judges, in a line.
        slots: trials at once.
        repeats: trainings of finalists with other seeds, to max_t, after the search.
        expected_t: fidelity steps over all trials, as far as that can be said (see `make`); repeats included.
        longest_t: fidelity steps if nobody were stopped; an upper bound.
        gpu: share of a GPU that a trial occupies.
    """

    trials: int | None
    ladders: tuple[Ladder, ...]
    judging: str
    slots: int
    expected_t: float | None
    longest_t: int | None
    gpu: float
    time_s: float | None
    gpu_hours: float | None = None
    repeats: int = 0

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Of the lowest bracket."""
        return self.ladders[0].rungs

    def most_gpu_hours(self, seconds_per_t: float) -> float | None:
        """Upper bound of GPU-hours at this many seconds for a fidelity step."""
        return None if self.longest_t is None else self.longest_t * seconds_per_t * self.gpu / 3600


def make(spec: StudySpec, *, slots: int, gpu: float | None = None) -> Plan:
    """The plan of a search file.

    What is expected at a rung: with stopping, what random arrivals do; with pausing, 1 in reduction_factor. How many
    the median rule stops depends on the curves, so it expects nothing.

    Args:
        spec: the search file.
        slots: trials at once.
        gpu: the share that a trial gets, where that isn't what the file asks for.
    """
    asked = spec.resources.gpu if isinstance(spec.resources.gpu, int | float) else 0
    part = float(asked if gpu is None else gpu)
    scheduler, trials = spec.scheduler, trial_count(spec, trial_limit(spec, part))
    repeats = spec.search.repeats * min(spec.search.finalists, trials or spec.search.finalists)
    again = repeats * scheduler.max_t
    halving = scheduler.type in ("asha", "hyperband")
    shares = weights(scheduler) if halving else [1]
    ladders = []
    for bracket, share in enumerate(shares):
        begin = (trials or 1) * share / sum(shares)
        steps = [*(ladder(scheduler, bracket) if halving else []), scheduler.max_t]
        counts = _expected(spec, begin, len(steps))
        rungs = [Rung(t, count) for t, count in zip(steps, counts, strict=True)]
        ladders.append(Ladder(begin, tuple(rungs)))
    known = trials is not None and scheduler.type != "median"
    return Plan(
        trials=trials,
        ladders=tuple(ladders),
        judging=_judging(spec, len(ladders)),
        slots=slots,
        expected_t=sum(each.steps for each in ladders) + again if known else None,
        longest_t=trials * scheduler.max_t + again if trials else None,
        gpu=part,
        time_s=spec.budget.time_s,
        gpu_hours=spec.budget.gpu_hours,
        repeats=repeats,
    )


def _expected(spec: StudySpec, trials: float, rungs: int) -> list[float]:
    """How many trials come to each rung of a bracket, max_t being the last."""
    factor = spec.scheduler.reduction_factor
    reached = [trials]
    for _ in range(rungs - 1):
        if pauses(spec):
            # The best of a rung goes on at the latest when nothing else is left to run.
            reached.append(max(min(1.0, reached[-1]), reached[-1] // factor))
        else:
            # The k-th arrival of a rung is in its best max(1, k // rf) with that many chances in k.
            arrived = round(reached[-1])
            reached.append(sum(max(1, k // factor) / k for k in range(1, arrived + 1)))
    return reached


def _judging(spec: StudySpec, ladders: int) -> str:
    """How a scheduler judges, for people."""
    scheduler = spec.scheduler
    factor, unit = scheduler.reduction_factor, scheduler.time_attr
    rest = "the others pause until it is their turn" if pauses(spec) else "the others stop"
    match scheduler.type:
        case "asha" if guided(spec):
            return (
                f"asha: at least 1 in {factor} goes on from each rung, those that promise most by a model of all curves"
            )
        case "asha":
            several = f"{ladders} brackets; " if ladders > 1 else ""
            return f"asha: {several}1 in {factor} goes on from each rung, {rest}"
        case "hyperband":
            return f"hyperband: {ladders} brackets; 1 in {factor} goes on from each rung, {rest}"
        case "median":
            return f"median: from {unit} {scheduler.grace_period} on, whoever the others beat on average stops"
        case "pbt":
            every = scheduler.grace_period
            return f"pbt: each {every} {unit}s the worst 1 in {factor} goes on as a variant of one of the best"
        case "none":
            return "none: each trial runs to its end"


def survival(trials: list[Trial], rungs: list[int], metric: Objectives) -> list[tuple[int, int, float | None]]:
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
