"""The study as a state machine: events in, commands out, no I/O.

`StudyMachine.handle` takes what happened and returns what to do. Replaying a study's events, with the commands thrown
away, gives its state: that is how it resumes. The same events give the same commands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from sweep.core import control
from sweep.core import events as ev
from sweep.core.books import Books
from sweep.core.commands import (
    Answer,
    AskAdvice,
    AskConfig,
    ChooseShare,
    Command,
    CopyCheckpoint,
    CreateRepeat,
    EndAttempt,
    EndRun,
    GoOn,
    PauseInSampler,
    Relearn,
    ReportToSampler,
    StartAttempt,
    TellSampler,
)
from sweep.core.ending import SEARCHED, Cause, Ending
from sweep.core.fates import Fates
from sweep.core.limits import Limits
from sweep.core.objectives import objectives, ranked
from sweep.core.pool import Pool
from sweep.core.progress import Progress
from sweep.core.protocols import Decision
from sweep.core.repeats import Repeats
from sweep.core.schedulers import make
from sweep.core.schedulers.scheduler import Room
from sweep.core.shares import Shares
from sweep.core.spec import StudySpec
from sweep.core.trial import Attempt, IllegalTransitionError, Origin, Report, Trial, TrialState

__all__ = [
    "HOPELESS_AFTER", "Answer", "AskAdvice", "AskConfig", "ChooseShare", "Command", "CopyCheckpoint", "CreateRepeat",
    "EndAttempt", "EndRun", "Ending", "GoOn", "PauseInSampler", "Relearn", "ReportToSampler", "StartAttempt",
    "StudyMachine", "TellSampler", "replay",
]  # fmt: skip

HOPELESS_AFTER = 3
"""When at least this many trials (and as many as run at once) have ended and all failed, the study ends."""


class StudyMachine:
    """One study: its trials, its scheduler, its budget.

    Attributes:
        books: its trials, and where they stand.
        limits: what it has spent, and may spend.
        progress: whether it still gets better.
        repeats: the finalists, and their further seeds.
        ending: why the study takes no new trials, once it doesn't.
        ended: the last RunEnded, until the next RunStarted.
        paused: a person has asked that nothing be started.
        requests: the ids of the requests that were answered.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.metric = objectives(spec)
        self.books = Books()
        self.limits = Limits(spec)
        self.progress = Progress(spec)
        self.repeats = Repeats(spec)
        self.scheduler = make(spec, self.metric, self.books.trials)
        self.ending: Ending | None = None
        self.ended: ev.RunEnded | None = None
        self.paused = False
        self.requests: set[str] = set()
        self.decisions: list[ev.Decided] = []
        self.promotions: list[ev.Promoted] = []
        self.promotions_done = False
        self._targeted = self.metric.targets()
        self._shares = Shares(spec.resources)
        self._fates = Fates(spec, self._shares)
        self._before_interrupt: Ending | None = None
        self._failed_before = 0
        self._copying: set[int] = set()
        self._pool = Pool(limit=0)
        self._asking = False
        self._advised = False
        self._arrived: Answer | None = None
        self._over = False

    # What can be asked

    @property
    def run(self) -> ev.RunStarted | None:
        """Under which driver the study is; None between two."""
        return self._shares.run

    @property
    def trials(self) -> dict[int, Trial]:
        """The trials by number, without gaps."""
        return self.books.trials

    @property
    def elapsed_s(self) -> float:
        """Seconds that drivers have worked on it."""
        return self.limits.elapsed_s

    def counts(self) -> dict[TrialState, int]:
        """How many trials are in each state."""
        return self.books.counts()

    def ranked(self) -> list[Trial]:
        """Trials that haven't failed and have a value, best first; see `sweep.core.objectives.ranked`.

        Repeats aren't among them. Once they are through, what they say ranks the finalists (`sweep.core.repeats`).
        """
        return self.repeats.order(ranked(self._rivals(), self.metric))

    def front(self) -> list[Trial]:
        """The best trials: those within the bounds that no other beats in every objective; one where there is one."""
        if self.metric.several:
            return self.repeats.front(self._rivals())
        return [trial for trial in self.ranked()[:1] if self.within(trial)]

    @property
    def best(self) -> Trial | None:
        """The best trial within the bounds; of several objectives the one of the front that has the best first."""
        found = self.front()
        return found[0] if found else None

    def within(self, trial: Trial) -> bool:
        """Whether a trial keeps within the bounds, and its repeats do too, once they are through."""
        return self.repeats.within(trial)

    def _rivals(self) -> list[Trial]:
        return [
            trial for trial in self.trials.values() if trial.state is not TrialState.FAILED and trial.repeat_of is None
        ]

    def running(self) -> list[Trial]:
        """Trials with an attempt at work, by number."""
        return list(self.books.running.values())

    def held(self, trial: Trial) -> float:
        """The share of a GPU that the trial's latest attempt has, or had."""
        return self._shares.held(trial)

    @property
    def idle(self) -> bool:
        """Whether a study that takes no new trials has nothing left to do."""
        books = self.books
        return self.ending is not None and not books.waiting and not books.running and not books.resting

    def overdue(self, now: float) -> bool:
        """Whether a limit of time or GPU-hours is reached at `now`, so that an event should say how late it is."""
        return self.run is not None and self.ending is None and self.limits.spent(now) is not None

    def judged(self, trial: int) -> tuple[int, ...] | None:
        """The fidelities below max_t at which a trial's report can end it; None for any.

        The study's own end comes at any time, and isn't among them.
        """
        found = self.books.get(trial)
        if found.repeat_of is not None:
            return ()
        return None if self._targeted else self.scheduler.judged(found)

    def saved(self, trial: int) -> tuple[int, ...]:
        """The fidelities at which a trial may pause, and so writes a checkpoint whatever `checkpoint.every` says."""
        found = self.books.get(trial)
        return () if found.repeat_of is not None else self.scheduler.saved(found)

    # Events

    def handle(self, event: ev.AnyEvent) -> list[Command]:
        """Take in what happened and say what to do.

        Raises:
            IllegalTransitionError: it can't have happened; the driver or an executor has a defect.
        """
        self._keep_time(event)
        if self._noted(event):
            return []
        commands: list[Command] = []
        match event:
            case ev.RunStarted():
                commands += self._on_run_started(event)
            case ev.TrialCreated():
                commands += self._on_trial_created(event)
            case ev.WentOn() | ev.NoneWentOn():
                commands += self._on_advice(event)
            case ev.SpaceExhausted():
                commands += self._answered()
                self._end("drain", "space", f"the space is exhausted: {event.reason}")
            case ev.AttemptStarted():
                commands += self._on_attempt_started(event)
            case ev.Exploited():
                commands += self._on_exploited(event)
            case ev.Reported():
                commands += self._on_reported(event)
            case ev.AttemptEnded():
                commands += self._on_attempt_ended(event)
            case ev.StopRequested():
                self._on_stop_requested(event)
            case ev.Controlled():
                commands += self._on_controlled(event)
            case _:
                pass
        commands += self._next()
        self.limits.still = self.paused and not self.books.running
        return commands

    def _noted(self, event: ev.AnyEvent) -> bool:
        """Take in what is only kept; whether it was such an event."""
        match event:
            case ev.Decided():
                self.decisions.append(event)
            case ev.Promoted():
                self.promotions.append(event)
            case ev.PromotionsDone():
                self.promotions_done = True
            case ev.RunEnded():
                self.ended = event
                self._shares.run = None
                self.limits.rest()
            case _:
                return False
        return True

    def _keep_time(self, event: ev.AnyEvent) -> None:
        if self.run is None or isinstance(event, ev.RunStarted):
            return
        self.limits.passed(event.time)
        spent = self.limits.spent()
        if spent is not None:
            self._end("halt", *spent)

    def _on_run_started(self, event: ev.RunStarted) -> list[Command]:
        commands = self._lose_running()
        self._shares.run = event
        self.ended = None
        self.paused = False
        self.limits.begin(event.time, event.gpu)
        limit = self.spec.resources.max_concurrent
        self._pool = Pool(event.nodes, limit=limit) if event.nodes else Pool(limit=event.slots)
        self._asking = self._advised = self._over = False
        self._arrived = None
        self._copying.clear()
        self.books.waiting = dict(sorted(self.books.waiting.items()))
        if self.ending and self.ending.kind == "interrupt":
            self.ending, self._before_interrupt = self._before_interrupt, None
        return commands

    def _lose_running(self) -> list[Command]:
        """The driver is gone, and what ran under it."""
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
        self.books.placed.clear()
        return commands

    def _on_stop_requested(self, event: ev.StopRequested) -> None:
        if self.ending is None or self.ending.kind != "interrupt":
            self._before_interrupt = self.ending
        self.ending = Ending("interrupt", "interrupt", event.reason)

    def _on_controlled(self, event: ev.Controlled) -> list[Command]:
        self.requests.add(event.request.id)
        if not event.accepted:
            return []
        commands = [] if self.run else self._lose_running()
        return [*commands, *control.apply(self, event.request)]

    def reopen(self) -> None:
        """There is something to do again."""
        self.ended = None
        self.promotions_done = False
        self.repeats.reopen()

    def go_on(self) -> None:
        """A person has extended the study, whatever had ended it: what led there is counted anew."""
        if self.ending is not None and self.ending.cause == "target":
            self._targeted = False
        self.ending = self._before_interrupt = None
        self._failed_before = self.books.failed
        self.progress.restart()
        self.reopen()

    def _on_trial_created(self, event: ev.TrialCreated) -> list[Command]:
        bracket = self.scheduler.bracket(event.trial)
        trial = Trial(event.trial, event.config, bracket, event.time, repeat_of=event.repeat_of, until=event.until)
        self.books.add(trial)
        self.repeats.add(trial)
        return self._answered()

    def _on_advice(self, event: ev.WentOn | ev.NoneWentOn) -> list[Command]:
        if isinstance(event, ev.NoneWentOn):
            # The answer stands until something new is known.
            self._advised = True
            return self._answered()
        trial = self.books.get(event.trial)
        trial.until = event.until
        decision = Decision("advance", event.reason)
        if self._arrived is not None and self._arrived.trial == trial.number:
            return [PauseInSampler(trial.number, paused=False), *self._answered(decision)]
        return [*self._answered(), GoOn(trial.number, trial.t, decision), *self._wake(trial)]

    def _answered(self, decision: Decision | None = None) -> list[Command]:
        """The sampler has answered: the trial that has come to its rung pauses, unless it is the one that goes on."""
        self._asking = False
        arrived, self._arrived = self._arrived, None
        if arrived is None:
            return []
        if decision is not None:
            return [replace(arrived, decision=decision)]
        self.books.get(arrived.trial).verdict = arrived.decision
        return [arrived]

    def _on_attempt_started(self, event: ev.AttemptStarted) -> list[Command]:
        trial = self.books.get(event.trial)
        if event.attempt != len(trial.attempts) + 1:
            raise IllegalTransitionError(f"trial {trial.number}: attempt {event.attempt} started. {trial.story()}")
        self.books.move(trial, TrialState.RUNNING)
        trial.verdict = trial.dismissal
        self.books.placed.discard(trial.number)
        self._pool.move(trial.number, event.node, _gpus(event.device))
        self.limits.hold(trial.number, event.gpu)
        trial.attempts.append(
            Attempt(event.attempt, event.time, event.node, event.device, event.gpu, event.batch_split)
        )
        return [EndAttempt(trial.number, event.attempt)] if trial.dismissal else []

    def _on_reported(self, event: ev.Reported) -> list[Command]:
        trial = self.books.get(event.trial)
        if trial.state is not TrialState.RUNNING or event.attempt != len(trial.attempts):
            raise IllegalTransitionError(f"trial {trial.number}: a report of attempt {event.attempt}. {trial.story()}")
        t = int(event.metrics[self.spec.scheduler.time_attr])
        trial.losses = 0
        commands: list[Command] = []
        if trial.verdict is None and t <= trial.t:
            # A later attempt goes over ground that an earlier one has covered: it was judged there already.
            _replace_report(trial, t, event)
            decision = Decision("advance", f"{self.spec.scheduler.time_attr} {t} was judged in an earlier attempt")
        elif trial.verdict is None:
            commands += self._take_in(trial, t, event)
            decision = self._judge(trial, t, event.metrics)
        else:
            # On warm workers training runs ahead: what a trial that pauses has done meanwhile isn't done again.
            decision = trial.verdict
            if decision.action == "pause" and not self._decides(trial, t):
                commands += self._take_in(trial, t, event)
                reason = f"trained meanwhile: it goes on from {self.spec.scheduler.time_attr} {t}"
                return [*commands, Answer(trial.number, t, Decision("pause", reason))]
        decision = self._overrule(decision)
        answer = Answer(trial.number, t, decision)
        if trial.verdict is None and decision.action == "pause" and self._may_stay(decision):
            # Its place is about to be free: if it is the one to take it, nobody has to begin anew.
            self._asking, self._arrived = True, answer
            return [*commands, PauseInSampler(trial.number, paused=True), AskAdvice(len(self.trials))]
        if decision.action != "advance":
            trial.verdict = decision
        return [*commands, answer]

    def _may_stay(self, decision: Decision) -> bool:
        """Whether the sampler is asked before a trial pauses: where nobody waits for its place but what it proposes."""
        asked = self.scheduler.advised and decision.rung is not None and not self._asking
        return asked and self.ending is None and not self.paused and not self.books.waiting

    def _take_in(self, trial: Trial, t: int, event: ev.Reported) -> list[Command]:
        trial.reports.append(Report(t, dict(event.metrics), event.checkpoint, event.attempt, event.time))
        result = self.metric.result(event.metrics)
        if result is None or trial.repeat_of is not None:
            return []
        self.progress.reported(trial.number, self.metric.score(event.metrics))
        # What it shows with another's config says nothing of the one that was proposed.
        return [] if trial.lineage else [ReportToSampler(trial.number, t, result)]

    def _decides(self, trial: Trial, t: int) -> bool:
        """Whether more could follow from a report at `t` than that the trial goes on; so also one that isn't new."""
        judged = self.judged(trial.number)
        if judged is None or t <= trial.t or t >= self.spec.scheduler.max_t:
            return True
        return any(trial.t < rung <= t for rung in judged)

    def _judge(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """The scheduler's word on a new report, and the target's."""
        if self._targeted and trial.repeat_of is None and self.metric.reached(metrics):
            targets = [metric for metric in self.metric.goals if metric.target is not None]
            told = ", ".join(f"{each.name} {metrics[each.name]:g} (target {each.target:g})" for each in targets)
            reason = f"trial {trial.number} reached the target: {told}"
            self._end("halt", "target", reason)
            return Decision("finish", reason)
        if t >= self.spec.scheduler.max_t:
            return Decision("finish", f"reached max_t ({self.spec.scheduler.time_attr} {t})")
        if trial.repeat_of is not None:
            return Decision("advance", f"a repeat of trial {trial.repeat_of}: it isn't judged")
        return self.scheduler.report(trial, t, metrics)

    def _overrule(self, decision: Decision) -> Decision:
        """The study's own end comes before the scheduler's word, except for a trial that is through."""
        if decision.action != "advance" or self.ending is None or self.ending.kind == "drain":
            return decision
        return Decision("stop" if self.ending.kind == "halt" else "pause", self.ending.reason)

    def _on_attempt_ended(self, event: ev.AttemptEnded) -> list[Command]:
        trial = self.books.get(event.trial)
        attempt = trial.attempt
        if attempt is None or event.attempt != attempt.number or attempt.outcome is not None:
            raise IllegalTransitionError(f"trial {trial.number}: attempt {event.attempt} ended. {trial.story()}")
        attempt.ended, attempt.outcome, attempt.error, attempt.cause = (
            event.time,
            event.outcome,
            event.error,
            event.cause,
        )
        self._advised = False
        self._pool.give(trial.number)
        self.limits.give(trial.number)
        state, reason = self._fates.of(trial, event)
        self.books.move(trial, state, reason)
        pauses: list[Command] = [PauseInSampler(trial.number, paused=True)] if state is TrialState.PAUSED else []
        return [*pauses, *self._shares.measured(event), *(self._final(trial) if state.final else [])]

    def _final(self, trial: Trial) -> list[Command]:
        self._check_failures()
        if trial.repeat_of is None and trial.dismissal is None and not self._halted:
            self._look_at_progress(trial)
        return self.closed(trial)

    def closed(self, trial: Trial) -> list[Command]:
        """A trial's story is over: the scheduler hears of it, and the sampler, which knows of no repeats."""
        self.scheduler.ended(trial)
        if trial.repeat_of is not None:
            return []
        best = trial.best(self.metric)
        result = self.metric.result(best.metrics) if best and not trial.lineage else None
        return [TellSampler(trial.number, trial.end or "stopped", result)]

    def _look_at_progress(self, trial: Trial) -> None:
        best = trial.best(self.metric) if trial.state is not TrialState.FAILED else None
        if best is None and self.progress.leads(trial.number):
            self.progress.correct(ranked(self._rivals(), self.metric)[:1])
        self.progress.finished(trial.number, self.metric.score(best.metrics) if best else None)
        exhausted = self.progress.exhausted(self.limits.trials)
        if exhausted is not None:
            self._end("drain", *exhausted)

    def _check_failures(self) -> None:
        failed = self.books.failed - self._failed_before
        limit = self.spec.budget.failures
        if limit is not None and failed >= limit:
            reason = f"budget.failures is used up: {failed} trial{'s' if failed != 1 else ''} failed"
            self._end("halt", "failures", reason)
        slots = self.run.slots if self.run else 1
        if limit is None and not self.books.ended_well and failed >= max(HOPELESS_AFTER, slots):
            reason = f"the first {failed} trials all failed; set budget.failures to go on regardless"
            self._end("halt", "failures", reason)

    def _end(self, kind: Literal["drain", "halt"], cause: Cause, reason: str) -> None:
        # An earlier reason stands, but "stop now" is stronger than "take no more".
        if self.ending is None or (self.ending.kind == "drain" and kind == "halt"):
            self.ending = Ending(kind, cause, reason)

    # Commands

    @property
    def _halted(self) -> bool:
        return self.ending is not None and self.ending.kind != "drain"

    def _next(self) -> list[Command]:
        """What to start, ask or end, now that an event was taken in."""
        if self.run is None or self._over:
            return []
        commands: list[Command] = []
        if not self._halted and not self.paused:
            commands += self._start_waiting()
        if self.ending is None and self.books.proposed >= (self.limits.trials or math.inf):
            count = self.books.proposed
            self._end("drain", "trials", f"budget.trials is used up: {count} trial{'s' if count != 1 else ''}")
        if not self._halted and not self.paused:
            commands += self._go_on()
        if not self._asking and not self.paused:
            commands += self._create()
        # A paused study isn't over while trials wait in it.
        on_its_way = self.books.waiting or self.books.resting if self.paused else self.books.placed
        busy = self._asking or self._copying or self.books.running or (on_its_way and not self._halted)
        if self.ending is not None and not busy:
            commands += self._finish(self.ending)
        return commands

    def _create(self) -> list[Command]:
        """The next trial: one that the sampler proposes, or lets go on, or in the end a repeat."""
        fits = self._pool.fits(self._shares.demand())
        if self.ending is None and fits:
            self._asking = True
            number = len(self.trials)
            return [AskAdvice(number) if self.scheduler.advised else AskConfig(number)]
        if self.scheduler.advised and fits and self._may_go_on and not self._advised:
            self._asking = True
            return [AskAdvice(None)]
        finalist = self.repeats.due() if self.ending is not None and self.ending.kind == "drain" else None
        if finalist is None:
            return []
        self._asking = True
        return [CreateRepeat(len(self.trials), finalist)]

    @property
    def _may_go_on(self) -> bool:
        """Whether a paused trial may take a place; those of a study that is being stopped may not."""
        if not self.books.resting or self.ending is None:
            return bool(self.books.resting)
        return self.ending.kind == "drain" and self.ending.cause != "stop"

    def _go_on(self) -> list[Command]:
        """Let paused trials go on where there is a place, as the scheduler says; not those of a study being stopped."""
        commands: list[Command] = []
        books = self.books
        if self.scheduler.advised or not self._may_go_on:
            return commands
        while books.resting and not self._copying and not self._asking and self._pool.fits(self._shares.demand()):
            onward = self.scheduler.onward(Room(self.ending is None, idle=not (books.running or books.waiting)))
            if onward is None:
                break
            trial = books.get(onward.trial)
            commands.append(GoOn(trial.number, trial.t, onward.decision))
            if onward.copy is not None:
                # It goes on when the checkpoint is there; nothing else is started meanwhile.
                self._copying.add(trial.number)
                commands.append(CopyCheckpoint(trial.number, onward.copy, onward.decision.reason))
                break
            commands += self._wake(trial)
            commands += self._start_waiting()
        return commands

    def _wake(self, trial: Trial) -> list[Command]:
        self.books.move(trial, TrialState.WAITING)
        return [PauseInSampler(trial.number, paused=False)]

    def _on_exploited(self, event: ev.Exploited) -> list[Command]:
        trial = self.books.get(event.trial)
        self._copying.discard(trial.number)
        commands = self._wake(trial)
        if event.checkpoint is not None:
            attempt = len(trial.attempts) + 1
            origin = Origin(
                event.time, attempt, event.source, event.t, event.checkpoint, dict(event.before), dict(event.after)
            )
            trial.take_up(origin)
            self.scheduler.copied(trial, self.books.get(event.source))
        return commands

    def _start_waiting(self) -> list[Command]:
        commands: list[Command] = []
        first = True
        if len(self.books.waiting) == len(self.books.placed):
            return commands
        for trial in self.books.waiting.values():
            if self._pool.full:
                break
            if trial.number in self.books.placed:
                continue
            demand = self._shares.demand(trial)
            if self._pool.take(trial.number, demand) is not None:
                self.books.placed.add(trial.number)
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
            for trial in list(self.books.waiting.values()):
                self.books.move(trial, TrialState.STOPPED, ending.reason)
                commands += self.closed(trial)
        if ending.kind != "interrupt":
            for trial in list(self.books.resting.values()):
                self.books.move(trial, *self._fates.left(trial, self.scheduler.left(trial)))
                commands += self.closed(trial)
        self.books.placed.clear()
        if ending.cause in SEARCHED and self.repeats.chosen is None:
            self.repeats.choose([trial for trial in self.ranked() if self.within(trial)])
            # Whatever ended the search, its finalists are trained to their ends.
            self.ending = replace(ending, kind="drain")
            again = self._create()
            if again:
                return [*commands, *again]
            self.ending = ending
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
