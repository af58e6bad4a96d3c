"""Optuna's study in memory, as a sampler is to see it: paused trials count, and of very many trials only some.

Optuna knows no paused trials: one is running or over, and what was told as over can't go on. But a sampler that takes a
paused trial for a running one learns nothing from it, and with ASHA's pausing form most trials are paused most of the
time. So the trial stays a running one, and samplers see it as pruned as long as it is paused.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

MOST_SHOWN = 500
"""So many trials that are over are shown to a sampler whose cost grows with them."""

BEST_SHOWN = 100
"""Of which so many are the best. TPE takes at most 25 for good ones, so that those are the same as without a bound."""

_LATEST_SHOWN = 200
"""And so many the latest; the others are spread evenly over the rest."""


_KNOWN = (TrialState.COMPLETE, TrialState.PRUNED)


class StudyStorage(InMemoryStorage):
    """See the module's head. It holds one study."""

    def __init__(self) -> None:
        super().__init__()
        self._paused: dict[int, FrozenTrial] = {}
        self._shown: list[FrozenTrial] | None = None

    def pause(self, trial_id: int, constraints: Mapping[str, float]) -> None:
        """A trial is paused; what it has reported so far is all that counts for now.

        Args:
            trial_id: Optuna's.
            constraints: how far it is beyond each bound, as `optuna.trial.Trial.set_constraint` takes it.
        """
        seen = copy.copy(self.get_trial(trial_id))
        seen.state = TrialState.PRUNED
        # An end has a time.
        seen.datetime_complete = seen.datetime_start
        seen.system_attrs = {**seen.system_attrs, **{f"constraints:{name}": x for name, x in constraints.items()}}
        self._paused[seen.number] = seen

    def go_on(self, trial_id: int) -> None:
        """A trial is paused no more; harmless when it wasn't."""
        self._paused.pop(self.get_trial_number_from_id(trial_id), None)

    @contextmanager
    def bounded(self, study_id: int, best: Container[int]) -> Iterator[None]:
        """Show at most `MOST_SHOWN` trials that are over, beside those that aren't.

        Args:
            study_id: of the study.
            best: numbers of the best, which are shown at any rate.
        """
        trials = self.get_all_trials(study_id, deepcopy=False)
        if len(trials) > MOST_SHOWN:
            over = [trial for trial in trials if trial.state in _KNOWN]
            if len(over) > MOST_SHOWN:
                wanted = {trial.number for trial in _some(over, best)}
                self._shown = [trial for trial in trials if trial.number in wanted or trial.state is TrialState.RUNNING]
        try:
            yield
        finally:
            self._shown = None

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See optuna.storages.BaseStorage."""
        if states == (TrialState.WAITING,) or (self._shown is None and not self._paused):
            return super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        seen = self._shown
        if seen is None:
            trials = super().get_all_trials(study_id, deepcopy=False)
            seen = [self._paused.get(trial.number, trial) for trial in trials]
        found = [trial for trial in seen if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def _some(over: list[FrozenTrial], best: Container[int]) -> list[FrozenTrial]:
    """`MOST_SHOWN` of them: the best, the latest, and every so-manieth of the rest."""
    early = over[:-_LATEST_SHOWN]
    good = [trial for trial in early if trial.number in best]
    rest = [trial for trial in early if trial.number not in best]
    wanted = MOST_SHOWN - _LATEST_SHOWN - len(good)
    return [*good, *over[-_LATEST_SHOWN:], *(rest[place * len(rest) // wanted] for place in range(wanted))]
