"""Which of a study's trials are its best: failed ones have no part in it, repeats only say what others are worth."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core.objectives import Objectives, ranked
from sweep.core.repeats import Repeats
from sweep.core.trial import Trial, TrialState


class Rivals:
    """The trials that are compared, as they are at each moment."""

    def __init__(self, trials: Mapping[int, Trial], metric: Objectives, repeats: Repeats) -> None:
        self._trials = trials
        self._metric = metric
        self._repeats = repeats

    def by_values(self) -> list[Trial]:
        """Those that have a value, best first by what they reported alone; see `sweep.core.objectives.ranked`."""
        return ranked(self._all(), self._metric)

    def ranked(self) -> list[Trial]:
        """The same, in which the repeats rank the finalists, once they are through (`sweep.core.repeats`)."""
        return self._repeats.order(self.by_values())

    def front(self) -> list[Trial]:
        """Those within the bounds that no other beats in every objective; one where there is one objective."""
        if self._metric.several:
            return self._repeats.front(self._all())
        return [trial for trial in self.ranked()[:1] if self._repeats.within(trial)]

    @property
    def best(self) -> Trial | None:
        """The best within the bounds; of several objectives the one of the front that has the best first."""
        found = self.front()
        return found[0] if found else None

    def _all(self) -> list[Trial]:
        return [
            trial for trial in self._trials.values() if trial.state is not TrialState.FAILED and trial.repeat_of is None
        ]
