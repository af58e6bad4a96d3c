"""Turns the study's commands into deeds: the one place where the core, the store, the sampler and an executor meet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sweep.core import commands as core
from sweep.core import control, limits
from sweep.core import events as ev
from sweep.core.pool import Demand
from sweep.core.protocols import Capacity, Decision, GpuMemory, NodeChange, Placement, Sampler
from sweep.core.space import Space
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.placements import Placements
from sweep.proposing import Learners, Proposer
from sweep.samplers.teaching import Learner
from sweep.store.events import Log, encode
from sweep.store.trial_files import Files

Clock = Callable[[], float]


class Watcher(Protocol):
    """Someone who is told of everything that happens, after it is on the disk."""

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """`event` was taken in; `study` is the state after it."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class Driver:
    """The study's side of the table; see `sweep.core.protocols.Director`.

    Every event goes to the log before anyone is told of it, and is on the disk before anyone acts on it.

    Args:
        study: its state, replayed or new.
        files: of its trials.
        log: open for appending.
        sampler: has been told of the trials there are.
        entrypoint: checked, absolute where it names a file; "" for a command.
        working_dir: put first on the training process's sys.path.
        recorders: are told what the sampler is told.
        watchers: are told of every event.
        clock: seconds since 1970.
        inbox: what people have asked since it was last called.
        learners: makes `sampler` and `recorders` anew, for trials whose end they were told and that are opened again.
        profiled: numbers of the trials whose training is traced.
    """

    def __init__(
        self,
        study: StudyMachine,
        *,
        files: Files,
        log: Log,
        sampler: Sampler,
        recorders: list[Learner],
        watchers: list[Watcher],
        entrypoint: str,
        working_dir: Path,
        clock: Clock = time.time,
        inbox: Callable[[], Sequence[ev.Request]] = tuple,
        learners: Learners | None = None,
        profiled: Collection[int] = (),
    ) -> None:
        self.study = study
        self._files = files
        self._log = log
        self._watchers = watchers
        self._clock = clock
        self._space = Space(study.spec)
        self._inbox = inbox
        self._proposer = Proposer(
            study, files=files, clock=clock, sampler=sampler, recorders=recorders, learners=learners
        )
        self._placements = Placements(
            study, files=files, entrypoint=entrypoint, working_dir=working_dir, profiled=profiled
        )
        self._waiting: deque[Placement] = deque()
        self._at_work: set[tuple[int, int]] = set()
        self._unwanted: set[tuple[int, int]] = set()
        self._memory: dict[tuple[int, int], GpuMemory] = {}
        self._batching = False
        self._untidy: dict[int, Trial] = {}
        self._stop_reason: str | None = None
        self._finished = False

    # The run

    def begin(self, executor: str, capacity: Capacity) -> None:
        """Start, or go on."""
        self._files.take_stock(self.study.trials)
        self._handle(
            ev.RunStarted(
                time=self._clock(),
                executor=executor,
                slots=capacity.slots,
                gpu=capacity.gpu,
                cpu=capacity.cpu,
                nodes=list(capacity.nodes),
                rates=limits.rates(self.study.spec, capacity.machines, capacity.hour),
                notes=list(capacity.notes),
                dashboard=capacity.dashboard,
            )
        )

    def request_stop(self, reason: str) -> None:
        """Let running trials end at their next report; safe in a signal handler, for it only leaves a note."""
        self._stop_reason = reason

    def abandon(self, reason: str) -> None:
        """End the run as it stands; what was at work counts as lost when the study resumes."""
        if not self._finished:
            self._finished = True
            self._handle(ev.RunEnded(time=self._clock(), reason=reason, complete=False))

    # Director

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Wait for the disk once for all that is told inside; answers are acted on afterwards."""
        self._batching = True
        try:
            yield
        finally:
            self._batching = False
        self._commit()

    @property
    def finished(self) -> bool:
        """Nothing runs and nothing more will be placed."""
        return self._finished

    def next_placement(self) -> Placement | None:
        """The next attempt to start, or None when there is none at the moment."""
        self.tick()
        return self._waiting.popleft() if self._waiting and not self.study.paused else None

    def started(self, placement: Placement, *, node: str, device: str, batch: int | None = None) -> None:
        """The placement's process has begun."""
        if self._finished:
            return
        self._at_work.add((placement.trial, placement.attempt))
        self._handle(
            ev.AttemptStarted(
                time=self._clock(),
                trial=placement.trial,
                attempt=placement.attempt,
                node=node,
                device=device,
                gpu=placement.gpu,
                batch_split=placement.batch_split,
                batch=batch,
            )
        )

    def reported(self, placement: Placement, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """The training function reported; the answer is final."""
        self._look_for_requests()
        if (placement.trial, placement.attempt) not in self._at_work:
            return Decision("pause", "the study has ended this attempt")
        event = ev.Reported(
            time=self._clock(),
            trial=placement.trial,
            attempt=placement.attempt,
            metrics=dict(metrics),
            checkpoint=self._files.place(checkpoint) if checkpoint else None,
        )
        decision = self._handle(event)
        if decision is None:
            raise AssertionError(f"no answer to {event}")
        return decision

    def measured(self, placement: Placement, memory: GpuMemory) -> None:
        """The attempt took this much memory of its GPU."""
        self._memory[placement.trial, placement.attempt] = memory

    def ended(
        self, placement: Placement, outcome: ev.Outcome, error: str | None = None, cause: ev.Cause | None = None
    ) -> None:
        """The attempt is over."""
        key = (placement.trial, placement.attempt)
        memory = self._memory.pop(key, None)
        if key not in self._at_work:
            return
        if outcome == "failed":
            # Where nothing can be written the trial isn't to blame; it goes on when the study resumes.
            self._files.check_room()
        self._at_work.discard(key)
        if error is not None:
            self._files.ended(placement.trial, placement.attempt, outcome, error)
        self._handle(
            ev.AttemptEnded(
                time=self._clock(),
                trial=placement.trial,
                attempt=placement.attempt,
                outcome=outcome,
                error=error,
                cause=cause,
                peak_memory=memory.peak if memory else None,
                gpu_memory=memory.total if memory else None,
            )
        )

    def node_changed(self, change: NodeChange) -> None:
        """A node joined, is about to go, or is gone."""
        if self._finished:
            return
        self._handle(
            ev.NodeChanged(
                time=self._clock(),
                change=change.change,
                node=change.node,
                slots=change.slots,
                reason=change.reason,
                rates=limits.rates(self.study.spec, change.machines, change.hour),
            )
        )

    def delayed(self, attempts: int, reason: str) -> None:
        """Attempts wait for something that isn't the study's."""
        if not self._finished:
            self._handle(ev.Delayed(time=self._clock(), attempts=attempts, reason=reason))

    def tick(self) -> None:
        """Time passed."""
        self._look_for_requests()
        now = self._clock()
        if self.study.overdue(now):
            self._handle(ev.Ticked(time=now))

    def unwanted(self) -> set[tuple[int, int]]:
        """Trial and attempt of each that is over for the study and may still be at work."""
        told, self._unwanted = self._unwanted, set()
        return told

    def wanted(self) -> float:
        """How many attempts would be at work if there were room for all."""
        return 0.0 if self._finished else self.study.wanted

    def share(self) -> Demand:
        """What each of those would hold at the moment."""
        return self.study.share

    # Deeds

    def _look_for_requests(self) -> None:
        """Take up what a signal or a person has asked."""
        if self._finished:
            return
        if self._stop_reason is not None:
            reason, self._stop_reason = self._stop_reason, None
            self._handle(ev.StopRequested(time=self._clock(), reason=reason))
        for request in self._inbox():
            # Those that are left when the study ends wait for its resume.
            if not self._finished and request.id not in self.study.requests:
                accepted, answer = control.consider(self.study, request)
                event = ev.Controlled(time=self._clock(), request=request, accepted=accepted, answer=answer)
                self._handle(event)

    def _handle(self, event: ev.AnyEvent) -> Decision | None:
        """Take in an event and what follows from it: decide, write, act, tell. Returns the answer to a report."""
        answer: Decision | None = None
        events: deque[ev.AnyEvent] = deque([event])
        while events:
            event = events.popleft()
            # What can't be written isn't taken in either, or the state would be ahead of its log.
            line = encode(event)
            commands = self.study.handle(event)
            decided = [
                self._decided(event.time, each) for each in commands if isinstance(each, core.Answer | core.GoOn)
            ]
            for each in decided:
                self.study.handle(each)
            self._log.append(line, *map(encode, decided))
            for command in commands:
                if isinstance(command, core.Answer):
                    answer = command.decision
                else:
                    events.extend(self._do(command))
            for watcher in self._watchers:
                for seen in (event, *decided):
                    watcher.event(self.study, seen)
            if isinstance(event, ev.Reported | ev.AttemptEnded):
                self._untidy[event.trial] = self.study.trials[event.trial]
        if not self._batching:
            self._commit()
        return answer

    def _commit(self) -> None:
        """Wait for the disk; only then may checkpoints go for which there is a better one."""
        self._log.sync()
        for trial in self._untidy.values():
            self._files.tidy(trial)
        self._untidy.clear()

    @staticmethod
    def _decided(now: float, answer: core.Answer | core.GoOn) -> ev.Decided:
        decision = answer.decision
        return ev.Decided(
            time=now, trial=answer.trial, t=answer.t, action=decision.action, reason=decision.reason, rung=decision.rung
        )

    def _do(self, command: core.Command) -> list[ev.AnyEvent]:
        """Carry out a command; what follows from it is returned as events."""
        match command:
            case core.AskConfig():
                return [self._proposer.ask(command.trial)]
            case core.AskAdvice():
                return [self._proposer.advise(command.trial)]
            case core.ChooseShare():
                now = self._clock()
                return [ev.ShareChosen(time=now, gpu=command.gpu, slots=command.slots, reason=command.reason)]
            case core.CreateRepeat():
                return [self._proposer.repeat(command.trial, command.of)]
            case core.EndAttempt():
                return [self._end_now(command.trial, command.attempt)]
            case core.Relearn():
                self._proposer.relearn()
            case core.StartAttempt():
                self._waiting.append(self._placements.of(command))
            case core.ReportToSampler() | core.PauseInSampler() | core.TellSampler():
                self._proposer.teach(command)
                if isinstance(command, core.TellSampler):
                    # Also one whose end no event names: the study's took it along.
                    self._untidy[command.trial] = self.study.trials[command.trial]
            case core.CopyCheckpoint():
                return [self._copy(command)]
            case core.EndRun():
                self._waiting.clear()
                self._finished = True
                return [ev.RunEnded(time=self._clock(), reason=command.reason, complete=command.complete)]
            case core.Answer() | core.GoOn():
                pass
        return []

    def _copy(self, command: core.CopyCheckpoint) -> ev.AnyEvent:
        copy, trial = command.copy, self.study.trials[command.trial]
        checkpoint = self._files.copy(copy.checkpoint, trial.number)
        if checkpoint is not None:
            self._files.created(trial.number, self._space.for_training(copy.config))
        return ev.Exploited(
            time=self._clock(),
            trial=trial.number,
            source=copy.source,
            t=copy.t,
            checkpoint=checkpoint,
            before=trial.config,
            after=dict(copy.config),
            reason=command.reason,
        )

    def _end_now(self, trial: int, attempt: int) -> ev.AnyEvent:
        """The attempt is over, whatever its process does; the executor ends that."""
        self._at_work.discard((trial, attempt))
        self._unwanted.add((trial, attempt))
        return ev.AttemptEnded(time=self._clock(), trial=trial, attempt=attempt, outcome="stopped")
