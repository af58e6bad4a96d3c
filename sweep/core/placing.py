"""Who takes the places that are free: trials that wait, then paused ones that the scheduler lets go on."""

from __future__ import annotations

from sweep.core import events as ev
from sweep.core.books import Books
from sweep.core.commands import Command, CopyCheckpoint, GoOn, PauseInSampler, StartAttempt
from sweep.core.ending import Endings
from sweep.core.pool import Pool, gpus_of
from sweep.core.schedulers.scheduler import Room, Scheduler
from sweep.core.shares import Shares
from sweep.core.spec import StudySpec
from sweep.core.trial import Origin, Trial, TrialState


class Places:
    """The places of a run, and who is let into them."""

    def __init__(
        self, spec: StudySpec, *, books: Books, shares: Shares, scheduler: Scheduler, endings: Endings
    ) -> None:
        self._limit = spec.resources.max_concurrent
        self._books = books
        self._shares = shares
        self._scheduler = scheduler
        self._endings = endings
        self._heads = False
        self._pool = Pool(limit=0)
        self._copying: set[int] = set()

    def begin(self, event: ev.RunStarted) -> None:
        """A driver begins, and nobody is at work."""
        self._heads = not event.nodes
        self._pool = Pool(limit=event.slots) if self._heads else Pool(event.nodes, limit=self._limit)
        self._copying.clear()
        self._books.waiting = dict(sorted(self._books.waiting.items()))

    def changed(self, event: ev.NodeChanged) -> None:
        """The cluster is another."""
        if self._heads:
            self._pool.limit(event.slots)
        elif event.change == "joined":
            self._pool.add(event.node)
        else:
            self._pool.close(event.node.name)

    @property
    def free(self) -> bool:
        """Whether a new trial would find room."""
        return self._pool.fits(self._shares.demand())

    @property
    def copying(self) -> bool:
        """Whether a paused trial waits for the checkpoint from which it is to go on."""
        return bool(self._copying)

    @property
    def onward(self) -> bool:
        """Whether there is a paused trial that may take a place; those of a study that is being stopped may not."""
        return bool(self._books.resting) and not self._endings.stopped

    def started(self, event: ev.AttemptStarted) -> None:
        """An attempt is where its executor has put it."""
        self._pool.move(event.trial, event.node, gpus_of(event.device))

    def ended(self, trial: int) -> None:
        """Its attempt has ended, and its place is free."""
        self._pool.give(trial)

    def fill(self) -> list[Command]:
        """Start trials that wait, as far as there is room."""
        commands: list[Command] = []
        first = True
        self._pool.keep_for(self._books.waiting)
        if len(self._books.waiting) == len(self._books.placed):
            return commands
        for trial in self._books.waiting.values():
            if self._pool.full:
                break
            if trial.number in self._books.placed:
                continue
            demand = self._shares.demand(trial)
            if self._pool.take(trial.number, demand) is not None:
                self._books.placed.add(trial.number)
                number = len(trial.attempts) + 1
                commands.append(StartAttempt(trial.number, number, trial.checkpoint, trial.batch_split, demand))
            elif first:
                # Smaller ones may pass it, but not take what becomes free for it.
                self._pool.wait(trial.number, demand)
                first = False
        return commands

    def go_on(self) -> list[Command]:
        """Let paused trials go on where there is a place, as the scheduler says."""
        commands: list[Command] = []
        books = self._books
        if self._scheduler.advised:
            return commands
        while self.onward and not self._copying and self.free:
            idle = not (books.running or books.waiting)
            onward = self._scheduler.onward(Room(arriving=self._endings.ending is None, idle=idle))
            if onward is None:
                break
            trial = books.get(onward.trial)
            commands.append(GoOn(trial.number, trial.t, onward.decision))
            if onward.copy is not None:
                # It goes on when the checkpoint is there; nothing else is started meanwhile.
                self._copying.add(trial.number)
                commands.append(CopyCheckpoint(trial.number, onward.copy, onward.decision.reason))
                break
            commands += self.wake(trial)
            commands += self.fill()
        return commands

    def wake(self, trial: Trial) -> list[Command]:
        """A paused trial goes on as soon as there is room."""
        self._books.move(trial, TrialState.WAITING)
        return [PauseInSampler(trial.number, paused=False)]

    def exploited(self, event: ev.Exploited) -> list[Command]:
        """A paused trial goes on with another's checkpoint; with its own, where that was gone."""
        trial = self._books.get(event.trial)
        self._copying.discard(trial.number)
        commands = self.wake(trial)
        if event.checkpoint is not None:
            attempt = len(trial.attempts) + 1
            origin = Origin(
                event.time, attempt, event.source, event.t, event.checkpoint, dict(event.before), dict(event.after)
            )
            trial.take_up(origin)
            self._scheduler.copied(trial, self._books.get(event.source))
        return commands
