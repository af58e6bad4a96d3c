"""Which trial comes next: what the sampler is asked, one question at a time, and what its answer makes of it.

A sampler that advises (`Scheduler.advised`) is asked what a free place is used for, and may name a paused trial rather
than propose a new one. Its answers are events. It is asked already when a trial has come to its rung and its place is
about to be free: a trial that is the best choice for its own place needn't pause.
"""

from __future__ import annotations

from dataclasses import replace

from sweep.core import events as ev
from sweep.core.books import Books
from sweep.core.commands import Answer, AskAdvice, AskConfig, Command, CreateRepeat, GoOn, PauseInSampler
from sweep.core.ending import Endings
from sweep.core.placing import Places
from sweep.core.protocols import Decision
from sweep.core.repeats import Repeats
from sweep.core.schedulers.scheduler import Scheduler
from sweep.core.trial import IllegalTransitionError, TrialState


class Asking:
    """The next trial, and whoever is asked for it.

    Attributes:
        pending: the question isn't answered yet.
    """

    def __init__(
        self, *, books: Books, scheduler: Scheduler, repeats: Repeats, places: Places, endings: Endings
    ) -> None:
        self.pending = False
        self._books = books
        self._scheduler = scheduler
        self._repeats = repeats
        self._places = places
        self._endings = endings
        self._none_goes_on = False
        self._arrived: Answer | None = None

    def begin(self) -> None:
        """A driver begins, who knows of no question."""
        self.pending = self._none_goes_on = False
        self._arrived = None

    def news(self) -> None:
        """Something new is known: that no paused trial goes on may be said no more."""
        self._none_goes_on = False

    def next(self) -> list[Command]:
        """Ask for the next trial: one that the sampler proposes, or lets go on, or in the end a repeat."""
        if self.pending:
            return []
        number, advised = len(self._books.trials), self._scheduler.advised
        if self._endings.ending is None and self._places.free:
            self.pending = True
            return [AskAdvice(number) if advised else AskConfig(number)]
        if advised and self._places.onward and not self._none_goes_on and self._places.free:
            self.pending = True
            return [AskAdvice(None)]
        finalist = self._repeats.due() if self._endings.drained else None
        if finalist is None:
            return []
        self.pending = True
        return [CreateRepeat(number, finalist)]

    def may_stay(self, decision: Decision) -> bool:
        """Whether the sampler is asked before a trial pauses: where nobody waits for its place but what it proposes."""
        asked = self._scheduler.advised and decision.rung is not None and not self.pending
        return asked and self._endings.ending is None and not self._books.waiting

    def arrive(self, answer: Answer) -> list[Command]:
        """Ask before a trial pauses. Its place is about to be free: if it is the one to take it, nobody begins anew."""
        self.pending, self._arrived = True, answer
        return [PauseInSampler(answer.trial, paused=True), AskAdvice(len(self._books.trials))]

    def answered(self, decision: Decision | None = None) -> list[Command]:
        """An answer has come: the trial at its rung pauses, unless there is a decision that it goes on."""
        self.pending = False
        arrived, self._arrived = self._arrived, None
        if arrived is None:
            return []
        if decision is not None:
            return [replace(arrived, decision=decision)]
        self._books.get(arrived.trial).verdict = arrived.decision
        # Nobody may choose it until its attempt has ended.
        return [PauseInSampler(arrived.trial, paused=False), arrived]

    def advice(self, event: ev.WentOn | ev.NoneWentOn) -> list[Command]:
        """The sampler has said which paused trial goes on, and how far; or none.

        Raises:
            IllegalTransitionError: the one that it has named isn't paused.
        """
        if isinstance(event, ev.NoneWentOn):
            # The answer stands until something new is known.
            self._none_goes_on = True
            return self.answered()
        trial = self._books.get(event.trial)
        trial.until = event.until
        decision = Decision("advance", event.reason)
        if self._arrived is not None and self._arrived.trial == trial.number:
            return [PauseInSampler(trial.number, paused=False), *self.answered(decision)]
        if trial.state is not TrialState.PAUSED:
            raise IllegalTransitionError(f"trial {trial.number} is to go on, and isn't paused. {trial.story()}")
        return [*self.answered(), GoOn(trial.number, trial.t, decision), *self._places.wake(trial)]
