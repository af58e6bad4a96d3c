"""Proposes configs by Optuna's ask and tell, and keeps Optuna's own record of the study beside ours.

Each trial is asked with a sampler that is made anew from the study's seed and the trial's number. So a study that was
resumed proposes what it would have proposed without the break, and nothing but the events has to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState

from sweep.core.seeds import derive
from sweep.core.spec import StudySpec
from sweep.samplers.choosing import choose
from sweep.samplers.optuna_space import STATES, distributions, from_optuna, to_optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaSampler:
    """A sampler of this study; see `sweep.core.protocols.Sampler`.

    Running trials count: TPE takes them for bad ones (constant liar), so that workers at once don't propose the same.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._distributions = distributions(spec.parameters)
        self._study = optuna.create_study(
            study_name=spec.name, direction=spec.objective.goal, sampler=RandomSampler(seed=0)
        )
        self._trials: dict[int, OptunaTrial] = {}

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, in memory."""
        return self._study

    def ask(self, trial: int) -> dict[str, Any] | None:
        """A config for the trial of this number, whose place in Optuna's study is the same."""
        points = self._spec.search.points_to_evaluate
        given = to_optuna(self._spec.parameters, points[trial]) if trial < len(points) else {}
        self._study.sampler = choose(self._spec, derive(self._spec.search.seed, "sampler", trial))
        if given:
            self._study.enqueue_trial(given)
        asked = self._study.ask(self._distributions)
        self._trials[trial] = asked
        return from_optuna(self._spec.parameters, asked.params)

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """Take up a trial that was created earlier."""
        self._study.enqueue_trial(to_optuna(self._spec.parameters, config))
        self._study.sampler = RandomSampler(seed=0)
        self._trials[trial] = self._study.ask(self._distributions)

    def report(self, trial: int, t: int, value: float) -> None:
        """An intermediate value."""
        if not math.isnan(value):
            self._trials[trial].report(value, t)

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], value: float | None) -> None:
        """The trial's end: stopped ones are PRUNED, with the values they reported; failed ones FAIL."""
        told = STATES[state]
        self._study.tell(self._trials.pop(trial), value if told is TrialState.COMPLETE else None, told)
