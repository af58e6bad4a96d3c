"""ASHA as Li et al. describe it (2020, arXiv 1810.05934, algorithm 2): a trial pauses at each rung, and the best go on.

When a place is free, the best paused trial of the highest rung goes on that is among the best 1/reduction_factor of all
that have been there; when there is none, a new trial begins. So nobody is stopped for having come at a bad time, and
nobody goes on for having come first. Where we differ:

- A trial whose turn it would be at once goes on without a pause: its place is the one that becomes free.
- When no new trial will come and nothing runs, the best of each rung goes on even where fewer than reduction_factor
  have been there: a small study would otherwise end without a trial that was trained to the end.
"""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core import spec
from sweep.core.objectives import Objectives
from sweep.core.protocols import Decision
from sweep.core.schedulers.on_rungs import PausingOnRungs
from sweep.core.schedulers.rungs import draw_bracket
from sweep.core.schedulers.scheduler import Onward, Room
from sweep.core.trial import Trial, TrialState


class PausingAsha(PausingOnRungs):
    """The rungs of a study, who is paused on them and who has gone on."""

    def __init__(
        self, scheduler: spec.Scheduler, metric: Objectives, trials: Mapping[int, Trial], *, seed: int
    ) -> None:
        super().__init__(scheduler, metric)
        self._trials = trials
        self._seed = seed
        # By bracket and rung; one that fails later counts no more, but its place isn't given twice.
        self._gone: dict[tuple[int, int], set[int]] = {}

    def bracket(self, trial: int) -> int:
        """Drawn from the study's seed."""
        return draw_bracket(self._rules, self._seed, trial)

    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """Pause it at a rung, unless it is the very one that would go on."""
        standing = self.rungs.arrive(trial, t, metrics)
        if isinstance(standing, Decision):
            return standing
        self._paused[trial.number] = standing
        following = self._next(Room(arriving=True, idle=False), besides=trial.number)
        if following is not None and following[0] == trial.number:
            places = following[1]
            self._go(trial)
            return Decision("advance", f"{standing}: within the best {places}", standing.rung)
        return Decision("pause", f"{standing}: it waits for its turn", standing.rung)

    def onward(self, room: Room) -> Onward | None:
        """The best paused one of the highest rung, if it is among the best there."""
        following = self._next(room)
        if following is None:
            return None
        number, places = following
        rung = self._paused[number].rung
        trial = self._trials[number]
        ranking = next(r for bracket, t, r in self.rungs.descending() if (bracket, t) == (trial.bracket, rung))
        reason = f"{ranking.place(number)} of {len(ranking)} at rung {rung}: within the best {places}, goes on"
        self._go(trial)
        return Onward(number, Decision("advance", reason, rung))

    def _go(self, trial: Trial) -> None:
        standing = self._paused.pop(trial.number)
        self._gone.setdefault((trial.bracket, standing.rung), set()).add(trial.number)

    def _next(self, room: Room, *, besides: int | None = None) -> tuple[int, int] | None:
        """Whose turn it is, and how many places there are on its rung; `besides` is about to pause."""
        for bracket, rung, ranking in self.rungs.descending():
            places = len(ranking) // self._rules.reduction_factor
            if room.idle and not room.arriving:
                places = max(1, places)
            gone = self._gone.get((bracket, rung), ())
            for number in ranking.best(places):
                if number in gone or number not in self._paused:
                    continue
                if number == besides or self._trials[number].state is TrialState.PAUSED:
                    return number, places
        return None
