"""Proposes configs by Optuna's ask and tell, and keeps Optuna's own record of the study beside ours.

Each trial is asked with a sampler that is made anew from the study's seed and the trial's number. So a study that was
resumed proposes what it would have proposed without the break, and nothing but the events has to be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from sweep.core.objectives import Result, objectives
from sweep.core.seeds import derive
from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.core.warm_start import Lesson
from sweep.samplers.choosing import choose
from sweep.samplers.curves.sampler import CurveMemory
from sweep.samplers.optuna_space import (
    STATES,
    constraints,
    directions,
    learned_trial,
    running_trial,
    suggest,
)
from sweep.samplers.paused_storage import PausedStorage
from sweep.samplers.proposing import Proposer, joint_notes

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaSampler:
    """A sampler of this study; see `sweep.core.protocols.Sampler`.

    Running trials count: TPE takes them for bad ones (constant liar), so that workers at once don't propose the same.

    Args:
        spec: of the study.
        lessons: trials of earlier studies, known from the start; in Optuna's study they come before this one's.
    """

    def __init__(self, spec: StudySpec, lessons: Sequence[Lesson] = ()) -> None:
        self._spec = spec
        self._space = Space(spec)
        self._metric = objectives(spec)
        self._storage = PausedStorage()
        self._study = optuna.create_study(
            study_name=spec.name,
            directions=directions(self._metric),
            storage=self._storage,
            # None of its own is ever asked.
            sampler=RandomSampler(seed=0),
        )
        self._study_id = self._storage.get_study_id_from_name(spec.name)
        # Our number to Optuna's id, of trials that haven't ended.
        self._ids: dict[int, int] = {}
        self._study.add_trials([learned_trial(self._space, lesson) for lesson in lessons])
        self._shown: dict[int, Result] = {}
        self._memory = CurveMemory()

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, in memory."""
        return self._study

    def ask(self, trial: int) -> dict[str, Any] | None:
        """A config for the trial of this number.

        Raises:
            NoConfigError: none was found that meets the constraints.
        """
        return self._propose(trial, self._given(trial))

    def _given(self, trial: int) -> dict[str, Any]:
        """The values that the file wants tried in the trial of this number."""
        points = self._spec.search.points_to_evaluate
        return self._space.chosen(points[trial]) if trial < len(points) else {}

    def _propose(self, trial: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """A config with the given values, put down in Optuna's study."""
        proposer = Proposer(
            self._space,
            lambda seed: choose(self._spec, self._space, seed, self._memory),
            derive(self._spec.search.seed, "sampler", trial),
            given,
        )
        self._study.sampler = proposer
        asked = self._study.ask()
        for name in self._space.chosen(proposer.config):
            suggest(asked, name, self._space.proposed[name])
        self._ids[trial] = identity = self._id(asked.number)
        for note in joint_notes(self._storage.get_trial_system_attrs(identity)):
            self._storage.set_trial_system_attr(identity, note, "")
        return proposer.config

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """Take up a trial that was created earlier."""
        self._ids[trial] = self._storage.create_new_trial(self._study_id, running_trial(self._space, config))

    def report(self, trial: int, t: int, result: Result) -> None:
        """Intermediate values; of several objectives Optuna takes none."""
        self._shown[trial] = result
        if not self._metric.several:
            self._storage.set_trial_intermediate_value(self._ids[trial], t, result.value)

    def pause(self, trial: int, *, paused: bool) -> None:
        """A trial is PRUNED as long as it is paused."""
        if paused:
            self._storage.pause(self._ids[trial], constraints(self._metric, self._shown.get(trial)))
        else:
            self._storage.go_on(self._ids[trial])

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], result: Result | None) -> None:
        """The trial's end: stopped ones are PRUNED, with the values they reported; failed ones FAIL."""
        told, trial_id = STATES[state], self._ids.pop(trial)
        last = self._shown.pop(trial, None)
        self._storage.go_on(trial_id)
        for name, excess in constraints(self._metric, result or last).items():
            self._storage.set_trial_system_attr(trial_id, f"constraints:{name}", excess)
        values = list(result.values) if told is TrialState.COMPLETE and result is not None else None
        self._study.tell(self._storage.get_trial_number_from_id(trial_id), values, told)

    def _number(self, trial: int) -> int:
        """Optuna's number of a trial that hasn't ended."""
        return self._storage.get_trial_number_from_id(self._ids[trial])

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
