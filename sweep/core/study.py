"""The study as a state machine: events in, commands out, no I/O.

`StudyMachine.handle` takes what happened and returns what to do. Replaying a study's events, with the commands thrown
away, gives its state: that is how it resumes. The same events give the same commands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from sweep.core import control
from sweep.core import events as ev
from sweep.core.asking import Asking
from sweep.core.books import Books
from sweep.core.commands import Command, EndAttempt, EndRun, PauseInSampler, TellSampler
from sweep.core.ending import SEARCHED, Ending, Endings
from sweep.core.fates import Fates
from sweep.core.judging import Judge
from sweep.core.limits import Limits
from sweep.core.objectives import objectives
from sweep.core.placing import Places
from sweep.core.pool import Demand
from sweep.core.progress import Progress
from sweep.core.protocols import Decision
from sweep.core.repeats import Repeats
from sweep.core.rivals import Rivals
from sweep.core.schedulers import make
from sweep.core.shares import Shares
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState


class StudyMachine:
    """One study: its trials, its scheduler, its budget.

    Attributes:
        books: its trials, and where they stand.
        limits: what it has spent, and may spend.
        progress: whether it still gets better.
        repeats: the finalists, and their further seeds.
        rivals: who of them is the best.
        endings: what ended it, or may.
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
        self.rivals = Rivals(self.books.trials, self.metric, self.repeats)
        self.endings = Endings(spec, books=self.books, limits=self.limits, progress=self.progress, rivals=self.rivals)
        self.ended: ev.RunEnded | None = None
        self.paused = False
        self.requests: set[str] = set()
        self.decisions: list[ev.Decided] = []
        self.promotions: list[ev.Promoted] = []
        self.promotions_done = False
        self._shares = Shares(spec.resources)
        self._fates = Fates(spec, self._shares)
        self._judge = Judge(
            spec, books=self.books, scheduler=self.scheduler, progress=self.progress, endings=self.endings
        )
        self._places = Places(
            spec, books=self.books, shares=self._shares, scheduler=self.scheduler, endings=self.endings
        )
        self._asking = Asking(
            books=self.books, scheduler=self.scheduler, repeats=self.repeats, places=self._places, endings=self.endings
        )
        self._over = False

    # What can be asked

    @property
    def run(self) -> ev.RunStarted | None:
        """Under which driver the study is; None between two."""
        return self._shares.run

    @property
    def ending(self) -> Ending | None:
        """Why it takes no new trials, once it doesn't."""
        return self.endings.ending

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
        """Trials that haven't failed and have a value, best first; see `sweep.core.rivals`."""
        return self.rivals.ranked()

    def front(self) -> list[Trial]:
        """The best trials: those within the bounds that no other beats in every objective; one where there is one."""
        return self.rivals.front()

    @property
    def best(self) -> Trial | None:
        """The best trial within the bounds; of several objectives the one of the front that has the best first."""
        return self.rivals.best

    def within(self, trial: Trial) -> bool:
        """Whether a trial keeps within the bounds, and its repeats do too, once they are through."""
        return self.repeats.within(trial)

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

    @property
    def wanted(self) -> float:
        """How many attempts would be at work if there were room for all: what a cluster that grows is asked for."""
        at_work = len(self.books.running)
        if self.run is None or self._over or self.paused or self.endings.halted:
            return at_work
        to_come = 0.0 if self.ending else (self.limits.trials or math.inf) - self.books.proposed
        return min(self.spec.resources.max_concurrent or math.inf, at_work + len(self.books.waiting) + to_come)

    @property
    def share(self) -> Demand:
        """What the next attempt of a new trial holds."""
        return self._shares.demand()

    def overdue(self, now: float) -> bool:
        """Whether a limit of time, GPU-hours or money is reached at `now`: then an event should say how late it is."""
        return self.run is not None and self.ending is None and self.limits.spent(now) is not None

    def judged(self, trial: int) -> tuple[int, ...] | None:
        """The fidelities below max_t at which a trial's report can end it; None for any.

        The study's own end comes at any time, and isn't among them.
        """
        return self._judge.judged(trial)

    def saved(self, trial: int) -> tuple[int, ...]:
        """The fidelities at which a trial may pause, and so writes a checkpoint whatever `checkpoint.every` says."""
        return self._judge.saved(trial)

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
            case ev.RunStarted() | ev.NodeChanged():
                commands += self._on_machines(event)
            case ev.TrialCreated():
                commands += self._on_trial_created(event)
            case ev.WentOn() | ev.NoneWentOn():
                commands += self._asking.advice(event)
            case ev.SpaceExhausted():
                commands += self._asking.answered()
                self.endings.end("drain", "space", f"the space is exhausted: {event.reason}")
            case ev.AttemptStarted():
                commands += self._on_attempt_started(event)
            case ev.Exploited():
                commands += self._places.exploited(event)
            case ev.Reported():
                commands += self._on_reported(event)
            case ev.AttemptEnded():
                commands += self._on_attempt_ended(event)
            case ev.StopRequested():
                self.endings.interrupt(event.reason)
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
                # One that stands is told again when an extended study ends.
                others = [
                    each for each in self.promotions if (each.model, each.version) != (event.model, event.version)
                ]
                self.promotions = [*others, event]
            case ev.Delayed():
                pass
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
        self.endings.look_at_time()

    def _on_machines(self, event: ev.RunStarted | ev.NodeChanged) -> list[Command]:
        if isinstance(event, ev.NodeChanged):
            self._shares.changed(event)
            self.books.changed(event)
            self._places.changed(event)
            self.limits.reprice(event.rates)
            return []
        commands = self._lose_running()
        self._shares.begin(event)
        self.ended = None
        self.paused = False
        self.books.draining.clear()
        self.limits.begin(event.time, event.gpu, event.rates)
        self._places.begin(event)
        self._asking.begin()
        self.endings.begin()
        self._over = False
        return commands

    def _lose_running(self) -> list[Command]:
        """The driver is gone, and what ran under it."""
        commands: list[Command] = []
        for lost in self.books.lost():
            commands += self._on_attempt_ended(lost)
            self.books.get(lost.trial).losses = 0
        self.books.placed.clear()
        return commands

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
        self.endings.extended()
        self.reopen()

    def _on_trial_created(self, event: ev.TrialCreated) -> list[Command]:
        bracket = self.scheduler.bracket(event.trial)
        trial = Trial(event.trial, event.config, bracket, event.time, repeat_of=event.repeat_of, until=event.until)
        self.books.add(trial)
        self.repeats.add(trial)
        return self._asking.answered()

    def _on_attempt_started(self, event: ev.AttemptStarted) -> list[Command]:
        trial = self.books.begin(event)
        self._places.started(event)
        self.limits.hold(trial.number, event.gpu, self.run.cpu if self.run else 0.0, batch=event.batch)
        return [EndAttempt(trial.number, event.attempt)] if trial.dismissal else []

    def _on_reported(self, event: ev.Reported) -> list[Command]:
        trial = self.books.at_work(event)
        trial.losses = 0
        commands, answer = self._judge.report(trial, event)
        decision = answer.decision
        if trial.verdict is None and decision.action != "advance":
            if decision.action == "pause" and not self.paused and self._asking.may_stay(decision):
                return [*commands, *self._asking.arrive(answer)]
            trial.verdict = decision
        return [*commands, answer]

    def _on_attempt_ended(self, event: ev.AttemptEnded) -> list[Command]:
        trial = self.books.end(event)
        self._asking.news()
        self._places.ended(trial.number)
        self.limits.give(trial.number)
        state, reason = self._fates.of(trial, event)
        self.books.move(trial, state, reason)
        pauses: list[Command] = [PauseInSampler(trial.number, paused=True)] if state is TrialState.PAUSED else []
        if state is TrialState.PAUSED and self.spec.scheduler.type != "pbt":
            # Most that pause never go on: what they have shown counts now. A population goes on as a whole.
            self.endings.look_at_progress(trial)
        return [*pauses, *self._shares.measured(event), *(self._final(trial) if state.final else [])]

    def _final(self, trial: Trial) -> list[Command]:
        self.endings.look_at_failures(self.run.slots if self.run else 1)
        self.endings.look_at_progress(trial)
        return self.closed(trial)

    def closed(self, trial: Trial) -> list[Command]:
        """A trial's story is over: the scheduler hears of it, and the sampler, which knows of no repeats."""
        self.scheduler.ended(trial)
        if trial.repeat_of is not None:
            return []
        best = trial.best(self.metric)
        result = self.metric.result(best.metrics) if best and not trial.lineage else None
        return [TellSampler(trial.number, trial.end or "stopped", result)]

    # Commands

    def _next(self) -> list[Command]:
        """What to start, ask or end, now that an event was taken in."""
        if self.run is None or self._over:
            return []
        commands: list[Command] = []
        starts = not self.endings.halted and not self.paused
        if starts:
            commands += self._places.fill()
        self.endings.look_at_trials()
        if starts and not self._asking.pending:
            commands += self._places.go_on()
        if not self.paused:
            commands += self._asking.next()
        # A paused study isn't over while trials wait in it.
        on_its_way = self.books.waiting or self.books.resting if self.paused else self.books.placed
        asked = self._asking.pending or self._places.copying
        busy = asked or self.books.running or (on_its_way and not self.endings.halted)
        if self.ending is not None and not busy:
            commands += self._finish(self.ending)
        return commands

    def _finish(self, ending: Ending) -> list[Command]:
        commands: list[Command] = []
        if ending.kind == "halt":
            commands += self._leave(self.books.unplaced(), ending)
        if ending.kind != "interrupt":
            for trial in list(self.books.resting.values()):
                self.books.move(trial, *self._fates.left(trial, self.scheduler.left(trial)))
                commands += self.closed(trial)
        on_their_way = [self.books.get(number) for number in sorted(self.books.placed)]
        if ending.cause in SEARCHED and self.repeats.chosen is None:
            self.repeats.choose([trial for trial in self.ranked() if self.within(trial)])
            # Whatever ended the search, its finalists are trained to their ends.
            self.endings.ending = replace(ending, kind="drain")
            again = self._asking.next()
            if again:
                for trial in on_their_way:
                    # Nobody can call it back: it ends when it begins.
                    trial.dismissal = Decision("stop", ending.reason)
                return [*commands, *again]
            self.endings.ending = ending
        if ending.kind == "halt":
            commands += self._leave(on_their_way, ending)
        self.books.placed.clear()
        self._over = True
        return [*commands, EndRun(ending.reason, complete=ending.kind != "interrupt")]

    def _leave(self, trials: Iterable[Trial], ending: Ending) -> list[Command]:
        """Trials that wait are over with the study."""
        commands: list[Command] = []
        for trial in trials:
            self.books.move(trial, TrialState.STOPPED, ending.reason)
            commands += self.closed(trial)
        return commands


def replay(spec: StudySpec, events: Iterable[ev.AnyEvent]) -> StudyMachine:
    """The state that a history leads to."""
    machine = StudyMachine(spec)
    for event in events:
        machine.handle(event)
    return machine
