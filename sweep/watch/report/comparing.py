"""Which values of trials can be compared: those at one fidelity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.core.plan import make
from sweep.core.study import StudyMachine
from sweep.core.trial import Report, Trial

ENOUGH = 12
"""Trials that a rung must have been reached by, so that something can be learned from their values."""


@dataclass(frozen=True)
class Compared:
    """Trials that came as far as a fidelity, with what they were worth there.

    Attributes:
        t: the fidelity.
        trials: those with a finite value there, by number; repeats aren't among them.
        values: of the first objective, in the user's direction.
    """

    t: int
    trials: list[Trial]
    values: list[float]


def rungs(study: StudyMachine) -> list[int]:
    """The fidelities at which trials are judged, max_t the last."""
    found = [rung.t for rung in make(study.spec, slots=1).rungs]
    return found if found[-1:] == [study.spec.scheduler.max_t] else [*found, study.spec.scheduler.max_t]


def at(trial: Trial, t: int) -> Report | None:
    """A trial's first report at or past a fidelity."""
    return next((report for report in trial.reports if report.t >= t), None)


def compared(study: StudyMachine) -> Compared:
    """The trials at the fidelity that says most: the furthest that half of them have come to, and enough.

    Where a model of all curves decides how far trials go, few come to their end; then it is the one that most reached.
    """
    searched = [trial for trial in study.trials.values() if trial.repeat_of is None]
    found = [_at(study, searched, t) for t in rungs(study)]
    begun = sum(1 for trial in searched if trial.reports)
    deep = [each for each in found if len(each.trials) >= max(ENOUGH, begun / 2)]
    return deep[-1] if deep else max(found, key=lambda each: len(each.trials))


def _at(study: StudyMachine, trials: Sequence[Trial], t: int) -> Compared:
    kept, values = [], []
    for trial in trials:
        report = at(trial, t)
        value = report.metrics.get(study.metric.name, math.nan) if report else math.nan
        if math.isfinite(value):
            kept.append(trial)
            values.append(value)
    return Compared(t, kept, values)


def place_among(value: float, values: Sequence[float], study: StudyMachine) -> int:
    """The place of a value, from 1: how many others are strictly better, and one."""
    return 1 + sum(1 for other in values if study.metric.better(other, value))
