"""What a running study amounts to, kept up event by event: each costs the same with ten trials or ten thousand."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.core import events as ev
from sweep.core.ending import Ending
from sweep.core.objectives import objectives
from sweep.core.plan import make, survival
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial, TrialState
from sweep.watch.text import last_line
from sweep.watch.words import News

CURVE = 16
"""Values of a running trial that are kept for its sparkline."""

RECENT = 12
"""Decisions and failures that are kept to be shown."""

ENOUGH_ENDED = 5
"""Trials that must have ended before their pace is taken for the pace of those to come."""


@dataclass(frozen=True)
class Best:
    """The best value so far, where it was reached, and what was reported with it."""

    value: float
    trial: int
    t: int
    metrics: Mapping[str, float]


@dataclass
class Running:
    """A trial at work.

    Attributes:
        first_t: the fidelity that its attempt began from.
        t: the last one reported.
        value: the last report of the objective.
        curve: the last finite ones.
        metrics: the last report whole.
        reported: when it came.
    """

    number: int
    attempt: int
    config: dict[str, Any]
    started: float
    node: str
    device: str
    gpu: float
    first_t: int
    t: int
    value: float | None = None
    curve: deque[float] = field(default_factory=lambda: deque(maxlen=CURVE))
    metrics: dict[str, float] = field(default_factory=dict)
    reported: float = 0.0

    @property
    def step_s(self) -> float | None:
        """Seconds a step of fidelity; None before the first."""
        return (self.reported - self.started) / (self.t - self.first_t) if self.t > self.first_t else None


@dataclass(frozen=True)
class Failure:
    """An attempt that failed or was lost; `final` when its trial gets no other."""

    trial: int
    attempt: int
    reason: str
    final: bool


@dataclass
class RungCount:
    """A rung: how many trials have reached it, and the best value reported there."""

    t: int
    reached: int
    best: float | None


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the end: a guess from the pace so far, or the most that it can be."""

    seconds: float
    guessed: bool


class Tally:
    """The study as its watchers see it.

    Limits are those of the study, which a person may have extended. Its numbers are copies, so that one thread can draw
    them while another takes in events (under the caller's lock).

    Args:
        spec: of the study.
        rungs: fidelities where trials are counted, ascending.

    Attributes:
        delay: why those that are starting can't begin, where that is known.
    """

    def __init__(self, spec: StudySpec, rungs: list[int]) -> None:
        self.spec = spec
        self.metric = objectives(spec)
        self.counts = dict.fromkeys(TrialState, 0)
        self.running: dict[int, Running] = {}
        self.rungs = [RungCount(t, 0, None) for t in rungs]
        self.best: Best | None = None
        self.decisions: deque[ev.Decided] = deque(maxlen=RECENT)
        self.failures: deque[Failure] = deque(maxlen=RECENT)
        self.slots = 0
        self.dashboard: str | None = None
        self.ending: Ending | None = None
        self.ended: ev.RunEnded | None = None
        self.paused = False
        self.delay = ""
        self.trial_limit, self.time_limit_s = spec.budget.trials, spec.budget.time_s
        self.proposed = 0
        self._states: dict[int, TrialState] = {}
        self._reached: dict[int, int] = {}
        self._elapsed_s = self._time = self._run_time = 0.0
        self._ended_before = 0
        self._fresh = True
        self._news = News()

    @property
    def created(self) -> int:
        """Trials there are."""
        return len(self._states)

    @property
    def final(self) -> int:
        """Trials whose story is over."""
        return sum(count for state, count in self.counts.items() if state.final)

    @property
    def starting(self) -> int:
        """Trials that have a free slot and whose training hasn't begun."""
        goes_on = self.ended is None and not self.paused and (self.ending is None or self.ending.kind == "drain")
        started = self.slots and goes_on
        return min(self.counts[TrialState.WAITING], max(0, self.slots - len(self.running))) if started else 0

    def elapsed_s(self, now: float) -> float:
        """Seconds that drivers have worked on the study."""
        return self._elapsed_s if self.ended else self._elapsed_s + max(0.0, now - self._time)

    def time_left(self, now: float) -> TimeLeft | None:
        """When the study will end, where that can be said at all."""
        pace = self._by_the_last(now) if self.ending else self._at_this_pace(now)
        found = [left for left in (pace, self._by_budget(now)) if left is not None]
        return None if self.ended else min(found, key=lambda left: left.seconds, default=None)

    def _at_this_pace(self, now: float) -> TimeLeft | None:
        ended = self.final - self._ended_before
        if self.trial_limit is None or ended < max(ENOUGH_ENDED, 2 * self.slots):
            return None
        return TimeLeft((now - self._run_time) / ended * (self.trial_limit - self.final), guessed=True)

    def _by_the_last(self, now: float) -> TimeLeft | None:
        """When no trial is to come: what the slowest needs to max_t; less, if it is stopped before."""
        rows = list(self.running.values())
        stays = self.ending is not None and (self.ending.kind != "drain" or self.ending.cause == "stop")
        to_come = self.counts[TrialState.WAITING] + (0 if stays else self.counts[TrialState.PAUSED])
        if not rows or to_come or any(row.t == row.first_t for row in rows):
            return None
        max_t = self.spec.scheduler.max_t
        steps = [(now - row.started) / (row.t - row.first_t) * (max_t - row.t) for row in rows]
        return TimeLeft(max(steps), guessed=False)

    def _by_budget(self, now: float) -> TimeLeft | None:
        if self.time_limit_s is None or self.paused:
            return None
        return TimeLeft(max(0.0, self.time_limit_s - self.elapsed_s(now)), guessed=False)

    # Events

    def take(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Take in an event; `study` is the state after it."""
        self._time, self._elapsed_s = event.time, study.elapsed_s
        self.ending, self.ended, self.paused = study.ending, study.ended, study.paused
        self.trial_limit, self.time_limit_s = study.limits.trials, study.limits.time_s
        self.proposed = study.books.proposed
        if self._fresh or isinstance(event, ev.RunStarted | ev.RunEnded | ev.Controlled):
            self._recount(study)
        if self._fresh and study.run is not None:
            self._join(study, study.run)
        elif isinstance(event, ev.RunStarted):
            self._run_time, self._ended_before, self.delay = event.time, self.final, ""
            self.slots, self.dashboard = event.slots, event.dashboard
        if not self._fresh:
            self._follow(study, event)
        if isinstance(event, ev.Delayed):
            self.delay = event.reason
        elif not self.starting:
            self.delay = ""
        self._fresh = False

    def _join(self, study: StudyMachine, run: ev.RunStarted) -> None:
        """Come to a run that has begun before."""
        self.slots, self.dashboard, self._run_time = run.slots, run.dashboard, run.time
        ended = [trial for trial in study.trials.values() if trial.state.final]
        self._ended_before = sum(1 for trial in ended if not trial.attempt or (trial.attempt.ended or 0) < run.time)

    def _follow(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        match event:
            case ev.ShareChosen() | ev.NodeChanged():
                self.slots = event.slots
            case ev.TrialCreated():
                self._see(study.trials[event.trial])
            case ev.AttemptStarted():
                self._see(study.trials[event.trial])
                self._start(study.trials[event.trial])
            case ev.Reported():
                self._report(study.trials[event.trial], event)
            case ev.Decided() if self._news.tells(event):
                self.decisions.append(event)
                # A paused one may go on.
                self._see(study.trials[event.trial])
            case ev.Exploited():
                trial = study.trials[event.trial]
                self._see(trial)
                self._reached[trial.number] = trial.t
            case ev.AttemptEnded():
                self._end(study, study.trials[event.trial], event)
            case _:
                pass

    def _recount(self, study: StudyMachine) -> None:
        """Take stock of the whole study: at a run's start and end, when trials change that no event names."""
        self.counts, self._states = dict.fromkeys(TrialState, 0), {}
        self._reached = {trial.number: trial.t for trial in study.trials.values()}
        searched = [trial for trial in study.trials.values() if trial.repeat_of is None]
        table = survival(searched, [rung.t for rung in self.rungs], self.metric)
        self.rungs = [RungCount(*row) for row in table]
        self.running = {}
        for trial in study.trials.values():
            self._see(trial)
            if trial.state is TrialState.RUNNING:
                self._start(trial)
        self._find_best(study)
        if self._fresh:
            self.decisions.extend([each for each in study.decisions if self._news.tells(each)][-RECENT:])
            failed = [trial for trial in study.trials.values() if trial.state is TrialState.FAILED]
            self.failures.extend(Failure(each.number, len(each.attempts), each.reason, final=True) for each in failed)

    def _see(self, trial: Trial) -> None:
        """Count the trial under the state it is in now."""
        before = self._states.get(trial.number)
        if before is not None:
            self.counts[before] -= 1
        self.counts[trial.state] += 1
        self._states[trial.number] = trial.state

    def _start(self, trial: Trial) -> None:
        attempt = trial.attempts[-1]
        row = Running(
            trial.number,
            attempt.number,
            dict(trial.config),
            attempt.started,
            attempt.node,
            attempt.device,
            attempt.gpu or 0.0,
            trial.t,
            trial.t,
        )
        values = [report.metrics.get(self.metric.name) for report in trial.reports[-CURVE:]]
        row.curve.extend(value for value in values if value is not None and math.isfinite(value))
        row.value = values[-1] if values else None
        self.running[trial.number] = row

    def _report(self, trial: Trial, event: ev.Reported) -> None:
        before = self._reached.get(trial.number, 0)
        t, value = trial.t, event.metrics.get(self.metric.name)
        if t <= before:
            # Ground that an earlier attempt has covered, or a report after the verdict.
            return
        self._reached[trial.number] = t
        row = self.running[trial.number]
        row.t, row.value, row.metrics, row.reported = t, value, event.metrics, event.time
        if value is not None and math.isfinite(value):
            row.curve.append(value)
        if trial.repeat_of is not None:
            # It tells what its finalist is worth, in the end; it is at no rung, and never the best itself.
            return
        within = not any(excess > 0 for excess in self.metric.excess(event.metrics))
        if value is not None and math.isfinite(value) and within:
            self._contend(Best(value, trial.number, t, event.metrics))
        self._pass_rungs(before, t, value)

    def _pass_rungs(self, before: int, t: int, value: float | None) -> None:
        """Count a report at the rungs that it is the first to reach; its value belongs to the last of them."""
        passed = [rung for rung in self.rungs if before < rung.t <= t]
        for rung in passed:
            rung.reached += 1
        if not passed or value is None or not math.isfinite(value):
            return
        rung = passed[-1]
        if rung.best is None or self.metric.better(value, rung.best):
            rung.best = value

    def _contend(self, new: Best) -> None:
        old = self.best
        equal = old is not None and new.value == old.value and new.trial < old.trial
        if old is None or equal or self.metric.better(new.value, old.value):
            self.best = new

    def _find_best(self, study: StudyMachine) -> None:
        trial = study.best
        report = trial.best(self.metric) if trial else None
        found = trial and report and Best(report.metrics[self.metric.name], trial.number, report.t, report.metrics)
        self.best = found or None

    def _end(self, study: StudyMachine, trial: Trial, event: ev.AttemptEnded) -> None:
        self._see(trial)
        self.running.pop(trial.number, None)
        failed = trial.state is TrialState.FAILED
        if failed and self.best and self.best.trial == trial.number:
            # A failed trial's value doesn't count.
            self._find_best(study)
        if failed or event.outcome in ("failed", "lost"):
            reason = trial.reason if failed else last_line(event.error or "") or f"the attempt was {event.outcome}"
            self.failures.append(Failure(trial.number, event.attempt, reason, final=trial.state.final))


def tally_for(study: StudyMachine) -> Tally:
    """An empty tally with the rungs of the study's lowest bracket."""
    return Tally(study.spec, [rung.t for rung in make(study.spec, slots=1).rungs])
