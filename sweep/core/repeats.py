"""Finalists trained again with other seeds: which trial is the best when luck is taken out of it.

When the search has ended, each of its best trials (`search.finalists`) is trained `search.repeats` times more, with the
same config and other seeds. A finalist is then worth the mean of these repeats, made worse by its standard error: the
spread over the root of their number. The value that made it a finalist doesn't count: of many trials the best was also
lucky, and its repeats were not chosen for that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.core.objectives import objectives
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState


@dataclass(frozen=True)
class Score:
    """What the repeats of a finalist say.

    Attributes:
        values: those of its repeats that came to one.
        mean: of them.
        spread: their standard deviation; 0 of a single one.
        worth: the mean, made worse by the standard error.
    """

    values: tuple[float, ...]
    mean: float
    spread: float
    worth: float


class Repeats:
    """The finalists of a study and their repeats.

    Attributes:
        each: how many repeats a finalist gets.
        chosen: the finalists, best first, once the search has ended.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.each = spec.search.repeats
        self.chosen: tuple[int, ...] | None = None
        self._finalists = spec.search.finalists
        self._metric = objectives(spec)
        self._of: dict[int, list[Trial]] = {}

    def add(self, trial: Trial) -> None:
        """A repeat was created."""
        if trial.repeat_of is not None:
            self._of.setdefault(trial.repeat_of, []).append(trial)

    def of(self, finalist: int) -> list[Trial]:
        """The repeats of a trial; those that the end of a budget cut short don't count."""
        return [trial for trial in self._of.get(finalist, ()) if not _cut_short(trial)]

    def choose(self, ranked: Sequence[Trial]) -> None:
        """The search has ended, and these are its trials, best first."""
        if self.each:
            self.chosen = tuple(trial.number for trial in ranked[: self._finalists])

    def reopen(self) -> None:
        """The search goes on: there will be other finalists."""
        self.chosen = None

    def due(self) -> int | None:
        """The finalist that is to have a further repeat; the one with the fewest, so that all have equally many."""
        counted = [(len(self.of(number)), place, number) for place, number in enumerate(self.chosen or ())]
        fewest = min(counted, default=None)
        return None if fewest is None or fewest[0] >= self.each else fewest[2]

    @property
    def settled(self) -> bool:
        """Whether each finalist has all its repeats, ended: only then can they be compared."""
        if not self.chosen:
            return False
        return all(
            len(found) >= self.each and all(trial.state.final for trial in found) for found in map(self.of, self.chosen)
        )

    def score(self, finalist: int) -> Score | None:
        """What its repeats say; None while none has come to a value."""
        found = [trial.value(self._metric) for trial in self.of(finalist) if trial.state is TrialState.COMPLETE]
        values = tuple(value for value in found if value is not None)
        if not values:
            return None
        mean = math.fsum(values) / len(values)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        error = spread / math.sqrt(len(values))
        return Score(values, mean, spread, mean + error if self._metric.goal == "minimize" else mean - error)

    def order(self, ranked: list[Trial]) -> list[Trial]:
        """Trials by their values, reordered by what the repeats say: those with repeats first, by their worth."""
        if not self.settled:
            return ranked
        sign = 1 if self._metric.goal == "minimize" else -1

        def key(trial: Trial) -> tuple[int, float]:
            score = self.score(trial.number) if trial.number in (self.chosen or ()) else None
            return (0, sign * score.worth) if score else (1, 0.0)

        return sorted(ranked, key=key)


def _cut_short(trial: Trial) -> bool:
    return trial.state is TrialState.STOPPED and trial.dismissal is None
