"""The study as a state machine: events in, commands out, no I/O.

`StudyMachine.handle` takes what happened and returns what to do. Replaying a study's events, with the commands thrown
away, gives its state: that is how it resumes. The same events give the same commands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sweep.core import events as ev
from sweep.core.commands import (
    Answer,
    AskConfig,
    ChooseShare,
    Command,
    EndRun,
    ReportToSampler,
    StartAttempt,
    TellSampler,
)
from sweep.core.fates import Fates
from sweep.core.pool import Pool
from sweep.core.protocols import Decision
from sweep.core.schedulers.asha import Asha, draw_bracket, ladder
from sweep.core.shares import Shares
from sweep.core.spec import StudySpec
from sweep.core.trial import ENDS, Attempt, IllegalTransitionError, Report, Trial, TrialState

__all__ = [
    "HOPELESS_AFTER", "Answer", "AskConfig", "ChooseShare", "Command", "EndRun", "Ending", "ReportToSampler",
    "StartAttempt", "StudyMachine", "TellSampler", "replay",
]  # fmt: skip

HOPELESS_AFTER = 3
"""When at least this many trials (and as many as run at once) have ended and all failed, the study ends."""


@dataclass(frozen=True)
class Ending:
    """Why no new trial is created, and what that means for those at work.

    drain: they run to their ends; halt: they stop at their next report; interrupt: so they do, and a resume goes on.
    """

    kind: Literal["drain", "halt", "interrupt"]
    reason: str


class StudyMachine:
    """One study: its trials, its scheduler, its budget.

    Attributes:
        trials: by number, without gaps.
        ending: why the study takes no new trials, once it doesn't.
        ended: the last RunEnded, until the next RunStarted.
        elapsed_s: seconds that drivers have worked on it.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.metric = spec.objective
        self.trials: dict[int, Trial] = {}
        self.asha = Asha(spec.scheduler, self.metric)
        self.ending: Ending | None = None
        self.ended: ev.RunEnded | None = None
        self.decisions: list[ev.Decided] = []
        self.promotions: list[ev.Promoted] = []
        self.promotions_done = False
        self._shares = Shares(spec.resources)
        self._fates = Fates(spec, self._shares)
        self.elapsed_s = 0.0
        self._elapsed_before_s = 0.0
        # In order of arrival; kept beside the states so that an event costs the same with ten thousand trials.
        self._waiting: dict[int, Trial] = {}
        self._running: dict[int, Trial] = {}
        self._failed = self._ended_well = 0
        self._placed: set[int] = set()
        self._pool = Pool(limit=0)
        self._asking = False
        self._over = False

    # What can be asked

    @property
    def run(self) -> ev.RunStarted | None:
        """Under which driver the study is; None between two."""
        return self._shares.run

    def counts(self) -> dict[TrialState, int]:
        """How many trials are in each state."""
        found = dict.fromkeys(TrialState, 0)
        for trial in self.trials.values():
            found[trial.state] += 1
        return found

    def ranked(self) -> list[Trial]:
        """Trials that haven't failed and have a value, best first; of equals the earlier one."""
        valued = [
            (trial.value(self.metric), trial) for trial in self.trials.values() if trial.state is not TrialState.FAILED
        ]
        sign = 1 if self.metric.goal == "minimize" else -1
        finite = [(sign * value, trial.number, trial) for value, trial in valued if value is not None]
        return [trial for _, _, trial in sorted(finite, key=lambda item: item[:2])]

    @property
    def best(self) -> Trial | None:
        """The trial with the best value."""
        ranked = self.ranked()
        return ranked[0] if ranked else None

    def running(self) -> list[Trial]:
        """Trials with an attempt at work, by number."""
        return list(self._running.values())

    def judged(self, trial: int) -> tuple[int, ...] | None:
        """The fidelities below max_t at which a trial's report can end it; None for any.

        The study's own end comes at any time, and isn't among them.
        """
        if self.metric.target is not None:
            return None
        if self.spec.scheduler.type == "none":
            return ()
        return tuple(ladder(self.spec.scheduler, self._trial(trial).bracket))

    # Events

    def handle(self, event: ev.AnyEvent) -> list[Command]:
        """Take in what happened and say what to do.

        Raises:
            IllegalTransitionError: it can't have happened; the driver or an executor has a defect.
        """
        self._keep_time(event)
        commands: list[Command] = []
        match event:
            case ev.RunStarted():
                commands += self._on_run_started(event)
            case ev.TrialCreated():
                self._on_trial_created(event)
            case ev.SpaceExhausted():
                self._asking = False
                self._end("drain", f"the space is exhausted: {event.reason}")
            case ev.AttemptStarted():
                self._on_attempt_started(event)
            case ev.Reported():
                commands += self._on_reported(event)
            case ev.AttemptEnded():
                commands += self._on_attempt_ended(event)
            case ev.StopRequested():
                self.ending = Ending("interrupt", event.reason)
            case ev.Decided():
                self.decisions.append(event)
                return []
            case ev.Promoted():
                self.promotions.append(event)
                return []
            case ev.PromotionsDone():
                self.promotions_done = True
                return []
            case ev.RunEnded():
                self.ended = event
                self._shares.run = None
                return []
            case ev.StudyCreated() | ev.Ticked() | ev.ShareChosen():
                pass
        return commands + self._next()

    def _keep_time(self, event: ev.AnyEvent) -> None:
        if self.run is None or isinstance(event, ev.RunStarted):
            return
        self.elapsed_s = max(self.elapsed_s, self._elapsed_before_s + event.time - self.run.time)
        limit = self.spec.budget.time_s
        if limit is not None and self.elapsed_s >= limit:
            self._end("halt", f"budget.time is used up: {self.elapsed_s:.0f} of {limit:.0f} s")

    def _on_run_started(self, event: ev.RunStarted) -> list[Command]:
        # A new driver means that the old one is gone, and what ran under it.
        commands: list[Command] = []
        for trial in self.running():
            lost = ev.AttemptEnded(
                time=trial.reports[-1].time if trial.reports else trial.attempts[-1].started,
                trial=trial.number,
                attempt=len(trial.attempts),
                outcome="lost",
                error="its driver ended without a word",
            )
            commands += self._on_attempt_ended(lost)
            trial.losses = 0
        self._shares.run = event
        self.ended = None
        self._elapsed_before_s = self.elapsed_s
        self._placed.clear()
        limit = self.spec.resources.max_concurrent
        self._pool = Pool(event.nodes, limit=limit) if event.nodes else Pool(limit=event.slots)
        self._asking = self._over = False
        self._waiting = dict(sorted(self._waiting.items()))
        if self.ending and self.ending.kind == "interrupt":
            self.ending = None
        return commands

    def _on_trial_created(self, event: ev.TrialCreated) -> None:
        if event.trial != len(self.trials):
            raise IllegalTransitionError(f"trial {event.trial} was created, but the next number is {len(self.trials)}")
        self._asking = False
        bracket = draw_bracket(self.spec.scheduler, self.spec.search.seed, event.trial)
        trial = Trial(event.trial, event.config, bracket, event.time)
        self.trials[event.trial] = self._waiting[event.trial] = trial

    def _on_attempt_started(self, event: ev.AttemptStarted) -> None:
        trial = self._trial(event.trial)
        if event.attempt != len(trial.attempts) + 1:
            raise IllegalTransitionError(f"trial {trial.number}: attempt {event.attempt} started. {trial.story()}")
        self._move(trial, TrialState.RUNNING)
        trial.verdict = None
        self._placed.discard(trial.number)
        self._pool.move(trial.number, event.node, _gpus(event.device))
        trial.attempts.append(
            Attempt(event.attempt, event.time, event.node, event.device, event.gpu, event.batch_split)
        )

    def _on_reported(self, event: ev.Reported) -> list[Command]:
        trial = self._trial(event.trial)
        if trial.state is not TrialState.RUNNING or event.attempt != len(trial.attempts):
            raise IllegalTransitionError(f"trial {trial.number}: a report of attempt {event.attempt}. {trial.story()}")
        t = int(event.metrics[self.spec.scheduler.time_attr])
        trial.losses = 0
        value = event.metrics.get(self.metric.name)
        commands: list[Command] = []
        if trial.verdict is None and t <= trial.t:
            # A later attempt goes over ground that an earlier one has covered: it was judged there already.
            _replace_report(trial, t, event)
            decision = Decision("advance", f"{self.spec.scheduler.time_attr} {t} was judged in an earlier attempt")
        elif trial.verdict is None:
            trial.reports.append(Report(t, dict(event.metrics), event.checkpoint, event.attempt, event.time))
            if value is not None and math.isfinite(value):
                commands.append(ReportToSampler(trial.number, t, value))
            decision = self._judge(trial, t, value)
        else:
            decision = trial.verdict
        decision = self._overrule(decision)
        if decision.action != "advance":
            trial.verdict = decision
        return [*commands, Answer(trial.number, t, decision)]

    def _judge(self, trial: Trial, t: int, value: float | None) -> Decision:
        """The scheduler's word on a new report, and the target's."""
        target = self.metric.target
        if target is not None and value is not None and not math.isnan(value) and not self.metric.better(target, value):
            reason = f"trial {trial.number} reached the target: {self.metric.name} {value:g} (target {target:g})"
            self._end("halt", reason)
            return Decision("finish", reason)
        if t >= self.spec.scheduler.max_t:
            return Decision("finish", f"reached max_t ({self.spec.scheduler.time_attr} {t})")
        if self.spec.scheduler.type == "none":
            return Decision("advance", "scheduler.type is none: nobody is stopped")
        return self.asha.report(trial.number, trial.bracket, t, value)

    def _overrule(self, decision: Decision) -> Decision:
        """The study's own end comes before the scheduler's word, except for a trial that is through."""
        if decision.action != "advance" or self.ending is None or self.ending.kind == "drain":
            return decision
        return Decision("stop" if self.ending.kind == "halt" else "pause", self.ending.reason)

    def _on_attempt_ended(self, event: ev.AttemptEnded) -> list[Command]:
        trial = self._trial(event.trial)
        attempt = trial.attempt
        if attempt is None or event.attempt != attempt.number or attempt.outcome is not None:
            raise IllegalTransitionError(f"trial {trial.number}: attempt {event.attempt} ended. {trial.story()}")
        attempt.ended, attempt.outcome, attempt.error, attempt.cause = (
            event.time,
            event.outcome,
            event.error,
            event.cause,
        )
        self._pool.give(trial.number)
        state, reason = self._fates.of(trial, event)
        self._move(trial, state, reason)
        return [*self._shares.measured(event), *(self._final(trial) if state.final else [])]

    def _final(self, trial: Trial) -> list[Command]:
        value = trial.value(self.metric)
        self._check_failures()
        return [TellSampler(trial.number, ENDS[trial.state], value)]

    def _check_failures(self) -> None:
        failed = self._failed
        limit = self.spec.budget.failures
        if limit is not None and failed >= limit:
            self._end("halt", f"budget.failures is used up: {failed} trial{'s' if failed != 1 else ''} failed")
        slots = self.run.slots if self.run else 1
        if limit is None and not self._ended_well and failed >= max(HOPELESS_AFTER, slots):
            self._end("halt", f"the first {failed} trials all failed; set budget.failures to go on regardless")

    def _end(self, kind: Literal["drain", "halt"], reason: str) -> None:
        # An earlier reason stands, but "stop now" is stronger than "take no more".
        if self.ending is None or (self.ending.kind == "drain" and kind == "halt"):
            self.ending = Ending(kind, reason)

    def _move(self, trial: Trial, state: TrialState, reason: str = "") -> None:
        """Change a trial's state, and the books that are kept beside the states."""
        trial.move(state, reason)
        for where, book in ((TrialState.WAITING, self._waiting), (TrialState.RUNNING, self._running)):
            book.pop(trial.number, None)
            if state is where:
                book[trial.number] = trial
        if state.final:
            self._failed += state is TrialState.FAILED
            self._ended_well += state is not TrialState.FAILED

    def _trial(self, number: int) -> Trial:
        if number not in self.trials:
            raise IllegalTransitionError(f"no trial {number}; there are {len(self.trials)}")
        return self.trials[number]

    # Commands

    def _next(self) -> list[Command]:
        """What to start, ask or end, now that an event was taken in."""
        if self.run is None or self._over:
            return []
        commands: list[Command] = []
        halted = self.ending is not None and self.ending.kind != "drain"
        if not halted:
            commands += self._start_waiting()
        if self.ending is None and len(self.trials) >= (self.spec.budget.trials or math.inf):
            count = len(self.trials)
            self._end("drain", f"budget.trials is used up: {count} trial{'s' if count != 1 else ''}")
        if self.ending is None and not self._asking and self._pool.fits(self._shares.demand()):
            self._asking = True
            commands.append(AskConfig(len(self.trials)))
        busy = self._asking or self._running or (self._placed and not halted)
        if self.ending is not None and not busy:
            commands += self._finish(self.ending)
        return commands

    def _start_waiting(self) -> list[Command]:
        commands: list[Command] = []
        first = True
        if len(self._waiting) == len(self._placed):
            return commands
        for trial in self._waiting.values():
            if self._pool.full:
                break
            if trial.number in self._placed:
                continue
            demand = self._shares.demand(trial)
            if self._pool.take(trial.number, demand) is not None:
                self._placed.add(trial.number)
                number = len(trial.attempts) + 1
                commands.append(StartAttempt(trial.number, number, trial.checkpoint, trial.batch_split, demand))
            elif first:
                # Smaller ones may pass it, but not take what becomes free for it.
                self._pool.wait(trial.number, demand)
                first = False
        return commands

    def _finish(self, ending: Ending) -> list[Command]:
        commands: list[Command] = []
        if ending.kind == "halt":
            for trial in list(self._waiting.values()):
                self._move(trial, TrialState.STOPPED, ending.reason)
                commands.append(TellSampler(trial.number, "stopped", trial.value(self.metric)))
        self._placed.clear()
        self._over = True
        return [*commands, EndRun(ending.reason, complete=ending.kind != "interrupt")]


def _replace_report(trial: Trial, t: int, event: ev.Reported) -> None:
    """Note that fidelity `t` was reached anew: its checkpoint is now the later attempt's, and so are its metrics.

    Without a checkpoint the earlier report stands, for its own may still be there.
    """
    if event.checkpoint is None:
        return
    for index, report in enumerate(trial.reports):
        if report.t == t:
            trial.reports[index] = Report(t, dict(event.metrics), event.checkpoint, event.attempt, event.time)


def _gpus(device: str) -> tuple[int, ...]:
    """The GPUs that a device names: "cuda:0,1"."""
    numbers = device.removeprefix("cuda:").split(",") if device.startswith("cuda:") else []
    return tuple(int(number) for number in numbers) if all(number.isdecimal() for number in numbers) else ()


def replay(spec: StudySpec, events: Iterable[ev.AnyEvent]) -> StudyMachine:
    """The state that a history leads to."""
    machine = StudyMachine(spec)
    for event in events:
        machine.handle(event)
    return machine
