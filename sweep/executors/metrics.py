"""A study's numbers as Ray's own metrics: what Prometheus scrapes beside those of the machines, and boards show."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from sweep.core import events as ev
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial

EVERY_S = 1.0
"""How often counts of trials are told at most; nobody scrapes more often."""

WAITS_S = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0]


class RayMetrics:
    """A watcher that tells Ray what happens to a study.

    Every metric has the tag `study`, and at most one more with few values: a trial's number is none, for each value
    of a tag is a series that Prometheus keeps. Exported as `ray_sweep_...`:

    sweep_trials{state}              trials in each state
    sweep_best                       the best value so far of the first objective
    sweep_places                     trials that fit at once
    sweep_reports_total              reports of trials
    sweep_decisions_total{action}    what was answered to them, where it wasn't to go on between rungs
    sweep_place_seconds_total{outcome}  seconds that ended attempts took, by how they ended
    sweep_gpu_seconds_total{outcome} the same times their share of a GPU
    sweep_lost_seconds_total         seconds of failed and lost attempts since their last checkpoint
    sweep_wait_seconds               from a trial's creation, or its last attempt's end, to its attempt's start

    Args:
        study: its name.
        clock: seconds, for how often counts are told.
    """

    def __init__(self, study: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tags = {"study": study}
        self._clock = clock
        self._told = float("-inf")
        self._top: float | None = None
        self._states = Gauge("sweep_trials", "Trials in each state.", ("study", "state"))
        self._best = Gauge("sweep_best", "The best value so far.", ("study",))
        self._places = Gauge("sweep_places", "Trials that fit at once.", ("study",))
        self._reports = Counter("sweep_reports", "Reports of trials.", ("study",))
        self._decisions = Counter("sweep_decisions", "Decisions on trials.", ("study", "action"))
        self._seconds = Counter("sweep_place_seconds", "Seconds of ended attempts.", ("study", "outcome"))
        self._gpu = Counter("sweep_gpu_seconds", "GPU-seconds of ended attempts.", ("study", "outcome"))
        self._lost = Counter("sweep_lost_seconds", "Seconds of work that has to be done anew.", ("study",))
        self._waits = Histogram("sweep_wait_seconds", "From waiting to work.", WAITS_S, ("study",))

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Count what happened."""
        match event:
            case ev.RunStarted() | ev.ShareChosen() | ev.NodeChanged():
                self._places.set(event.slots, self._tags)
            case ev.Reported():
                self._reports.inc(1, self._tags)
                self._contend(study, event)
            case ev.Decided() if event.rung is not None or event.action not in ("advance", "pause"):
                self._decisions.inc(1, {**self._tags, "action": event.action})
            case ev.AttemptStarted():
                trial = study.trials[event.trial]
                since = trial.attempts[-2].ended if len(trial.attempts) > 1 else trial.created
                self._waits.observe(max(0.0, event.time - (since or trial.created)), self._tags)
            case ev.AttemptEnded():
                self._ended(study.trials[event.trial], event)
            case _:
                pass
        edge = isinstance(event, ev.RunStarted | ev.RunEnded)
        if edge:
            self._take_stock(study)
        if edge or self._clock() - self._told >= EVERY_S:
            self._tell(study)

    def close(self) -> None:
        """Nothing is held."""

    def _ended(self, trial: Trial, event: ev.AttemptEnded) -> None:
        attempt = trial.attempts[event.attempt - 1]
        # A trial that pauses isn't interrupted, whatever its process was told.
        outcome = "paused" if attempt.paused and event.outcome == "interrupted" else event.outcome
        seconds, tags = max(0.0, event.time - attempt.started), {**self._tags, "outcome": outcome}
        _add(self._seconds, seconds, tags)
        _add(self._gpu, seconds * (attempt.gpu or 0.0), tags)
        if event.outcome in ("failed", "lost"):
            saved = [report.time for report in trial.reports if report.attempt == event.attempt and report.checkpoint]
            _add(self._lost, event.time - max([attempt.started, *saved]), self._tags)

    def _tell(self, study: StudyMachine) -> None:
        self._told = self._clock()
        for state, count in study.counts().items():
            self._states.set(count, {**self._tags, "state": state.value})

    def _take_stock(self, study: StudyMachine) -> None:
        """The best of the whole study; as dear as the study is long, so only where a run begins or ends."""
        best = study.best
        self._top = best.value(study.metric) if best else None
        if self._top is not None:
            self._best.set(self._top, self._tags)

    def _contend(self, study: StudyMachine, event: ev.Reported) -> None:
        value = event.metrics.get(study.metric.name, math.nan)
        within = not any(excess > 0 for excess in study.metric.excess(event.metrics))
        if not math.isfinite(value) or not within or study.trials[event.trial].repeat_of is not None:
            return
        if self._top is None or study.metric.better(value, self._top):
            self._top = value
            self._best.set(value, self._tags)


def _add(counter: Any, amount: float, tags: dict[str, str]) -> None:
    # Ray refuses to count nothing.
    if amount > 0:
        counter.inc(amount, tags)
