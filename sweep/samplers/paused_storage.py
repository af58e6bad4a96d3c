"""Optuna's study in memory, in which a paused trial counts for what it has shown so far.

Optuna knows no paused trials: one is running or over, and what was told as over can't go on. But a sampler that takes a
paused trial for a running one learns nothing from it, and with ASHA's pausing form most trials are paused most of the
time. So the trial stays a running one, and samplers see it as pruned as long as it is paused.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class PausedStorage(InMemoryStorage):
    """See the module's head. It holds one study."""

    def __init__(self) -> None:
        super().__init__()
        self._paused: dict[int, FrozenTrial] = {}

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

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See optuna.storages.BaseStorage."""
        if not self._paused or states == (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy=deepcopy, states=states)
        trials = super().get_all_trials(study_id, deepcopy=False)
        seen = [self._paused.get(trial.number, trial) for trial in trials]
        found = [trial for trial in seen if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found
