"""Proposes configs by Optuna's ask and tell, and keeps Optuna's own record of the study beside ours.

Each trial is asked with a sampler that is made anew from the study's seed and the trial's number. So a study that was
resumed proposes what it would have proposed without the break, and nothing but the events has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, Literal

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from sweep.core.objectives import Result, objectives
from sweep.core.seeds import derive
from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.core.warm_start import Lesson
from sweep.samplers.asking import joint_notes, proposals
from sweep.samplers.choosing import Algorithm
from sweep.samplers.history import WHOLE, History
from sweep.samplers.listing import Grid
from sweep.samplers.optuna_space import (
    STATES,
    asked_trial,
    constraints,
    directions,
    distributions,
    learned_result,
    learned_trial,
    to_optuna,
)
from sweep.samplers.proposing import MOST_DRAWN, Key, first_allowed
from sweep.samplers.study_storage import BEST_SHOWN, StudyStorage

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaSampler:
    """A sampler of this study; see `sweep.core.protocols.Sampler`.

    Running trials count: TPE takes them for bad ones (constant liar), so that workers at once don't propose the same.
    No config is proposed twice, as long as there are others.

    Args:
        spec: of the study.
        lessons: trials of earlier studies, known from the start; in Optuna's study they come before this one's.
    """

    def __init__(self, spec: StudySpec, lessons: Sequence[Lesson] = ()) -> None:
        self._spec = spec
        self._space = Space(spec)
        self._distributions = distributions(self._space)
        self._metric = objectives(spec)
        self._storage = StudyStorage()
        self._study = optuna.create_study(
            study_name=spec.name,
            directions=directions(self._metric),
            storage=self._storage,
            # It is never asked.
            sampler=RandomSampler(seed=0),
        )
        self._study_id = self._storage.get_study_id_from_name(spec.name)
        self._history = History(self._metric)
        self._algorithm = Algorithm(spec, self._space, self._history)
        # Our number to Optuna's id, of trials that haven't ended.
        self._ids: dict[int, int] = {}
        # The last that a trial has shown, and at which fidelity.
        self._shown: dict[int, tuple[int, Result]] = {}
        self._tried: set[Key] = set()
        # Of a list of configs, how many from its start were tried.
        self._place = 0
        self._learn(lessons)

    def _learn(self, lessons: Sequence[Lesson]) -> None:
        self._study.add_trials([learned_trial(self._space, lesson, self._metric) for lesson in lessons])
        for lesson, trial in zip(lessons, self._study.get_trials(deepcopy=False), strict=True):
            last = lesson.shown[-1]
            known = (WHOLE, lesson.best) if lesson.best else (last.t, last)
            self._history.add(trial, known[0], learned_result(self._metric, known[1]))

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, in memory."""
        return self._study

    def ask(self, trial: int) -> dict[str, Any] | None:
        """A config for the trial of this number; None when each was tried.

        Raises:
            NoConfigError: none was found that meets the constraints.
        """
        return self._propose(trial, self._given(trial))

    def _given(self, trial: int) -> dict[str, Any]:
        """The values that the file wants tried in the trial of this number, and those that they can't do without."""
        points = self._spec.search.points_to_evaluate
        return self._space.implied(self._space.chosen(points[trial])) if trial < len(points) else {}

    def _propose(self, trial: int, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """A config with the given values, put down in Optuna's study."""
        if self._algorithm.listed is not None:
            config = self._next_listed(trial, given)
            if config is not None:
                self.add(trial, config)
            return config
        seed = derive(self._spec.search.seed, "sampler", trial)
        identity = self._storage.create_new_trial(self._study_id, asked_trial())
        asked = self._storage.get_trial(identity)
        config = None
        try:
            with self._bounded():
                made = proposals(
                    self._space,
                    distributions=self._distributions,
                    make=self._algorithm.sampler,
                    seed=seed,
                    given=given,
                    study=self._study,
                    trial=asked,
                    tries=self._algorithm.tries,
                )
                config = self._first_allowed(made, seed, given)
        finally:
            if config is None:
                # Optuna's study is left as if nobody had asked.
                self._storage.set_trial_state_values(identity, TrialState.FAIL)
        if config is not None:
            self._put_down(trial, identity, config)
        return config

    def _bounded(self) -> AbstractContextManager[None]:
        """Show the sampler a part of very many trials; the best always, or it would forget what is good."""
        if not self._algorithm.looks_at_all:
            return nullcontext()
        return self._storage.bounded(self._study_id, set(self._history.best(BEST_SHOWN)))

    def _first_allowed(
        self, made: Iterable[dict[str, Any]], seed: int, given: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        # A population may have the same config twice, for its members go apart.
        tried: set[Key] = set() if self._spec.scheduler.type == "pbt" else self._tried
        return first_allowed(self._space, made, seed=seed, given=given, tried=tried)

    def _next_listed(self, trial: int, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first config of the list that no trial has had."""
        untried = self._untried(given)
        if isinstance(self._algorithm.listed, Grid) and not given:
            return next(untried, None)
        return self._first_allowed(untried, derive(self._spec.search.seed, "listed", trial), given)

    def _untried(self, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        listed = self._algorithm.listed
        configs = listed.configs(self._place, given) if listed is not None else iter(())
        # Points without an end may never come to one that is allowed.
        for place, config in enumerate(islice(configs, MOST_DRAWN + len(self._tried)), self._place):
            if given or (self._space.key(config) not in self._tried and self._space.feasible(config)):
                yield config
            elif place == self._place:
                self._place += 1

    def _put_down(self, trial: int, identity: int, config: Mapping[str, Any]) -> None:
        """The trial has this config."""
        for name, value in to_optuna(self._space, config).items():
            known = self._distributions[name]
            self._storage.set_trial_param(identity, name, known.to_internal_repr(value), known)
        for note in joint_notes(self._storage.get_trial_system_attrs(identity)):
            self._storage.set_trial_system_attr(identity, note, "")
        self._ids[trial] = identity
        self._tried.add(self._space.key(config))

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """Take up a trial that was created earlier."""
        asked = asked_trial(to_optuna(self._space, config), self._distributions)
        self._ids[trial] = self._storage.create_new_trial(self._study_id, asked)
        self._tried.add(self._space.key(config))

    def report(self, trial: int, t: int, result: Result) -> None:
        """Intermediate values; of several objectives Optuna takes none."""
        self._shown[trial] = (t, result)
        if not self._metric.several:
            self._storage.set_trial_intermediate_value(self._ids[trial], t, result.value)

    def pause(self, trial: int, *, paused: bool) -> None:
        """A trial is PRUNED as long as it is paused."""
        identity, shown = self._ids[trial], self._shown.get(trial)
        if paused:
            self._storage.pause(identity, constraints(self._metric, shown[1] if shown else None))
        else:
            self._storage.go_on(identity)
        self._remember(identity, shown if paused else None)

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], result: Result | None) -> None:
        """The trial's end: stopped ones are PRUNED, with the values they reported; failed ones FAIL."""
        told, identity = STATES[state], self._ids.pop(trial)
        last = self._shown.pop(trial, None)
        self._storage.go_on(identity)
        for name, excess in constraints(self._metric, result or (last[1] if last else None)).items():
            self._storage.set_trial_system_attr(identity, f"constraints:{name}", excess)
        values = list(result.values) if told is TrialState.COMPLETE and result is not None else None
        self._study.tell(self._storage.get_trial_number_from_id(identity), values, told)
        if told is TrialState.COMPLETE and result is not None:
            self._remember(identity, (WHOLE, result))
        else:
            self._remember(identity, last if told is TrialState.PRUNED else None)

    def _remember(self, identity: int, shown: tuple[float, Result] | None) -> None:
        """What a trial has come to, once it is over; nothing of one that goes on or has failed."""
        trial = self._storage.get_trial(identity)
        if shown is None:
            self._history.remove(trial.number)
        else:
            self._history.add(trial, *shown)

    def _number(self, trial: int) -> int:
        """Optuna's number of a trial that hasn't ended."""
        return self._storage.get_trial_number_from_id(self._ids[trial])
