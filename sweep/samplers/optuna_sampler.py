"""Proposes configs by Optuna's ask and tell, and keeps Optuna's own record of the study beside ours.

Each trial is asked with a sampler that is made anew from the study's seed and the trial's number. So a study that was
resumed proposes what it would have proposed without the break, and nothing but the events has to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState

from sweep.core.seeds import derive
from sweep.core.spec import Choice, Constant, FloatRange, IntRange, Parameter, StudySpec
from sweep.core.values import steps_in
from sweep.errors import InputError

optuna.logging.set_verbosity(optuna.logging.WARNING)

STATES = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}

OPTUNAS_STARTUP_TRIALS = 10
"""TPE proposes at random until this many trials have ended, unless the file says otherwise."""


def distribution(parameter: Parameter) -> BaseDistribution | None:
    """Optuna's form of a parameter; None for a constant."""
    match parameter:
        case FloatRange():
            return FloatDistribution(parameter.min, _last_step(parameter), log=parameter.log, step=parameter.step)
        case IntRange():
            high = int(_last_step(parameter))
            return IntDistribution(parameter.min, high, log=parameter.log, step=parameter.step or 1)
        case Choice():
            if parameter.ordered:
                # Places in the list, so that the sampler knows who is whose neighbour.
                return IntDistribution(0, len(parameter.values) - 1)
            return CategoricalDistribution(parameter.values)
        case Constant():
            return None


def _last_step(parameter: FloatRange | IntRange) -> float:
    """The highest value that the steps reach; Optuna warns of an upper end that they miss."""
    if parameter.step is None:
        return parameter.max
    # In decimals, as Optuna checks it: 3 * 0.3 is 0.8999... in binary, and would lose the last value.
    return float(Decimal(str(parameter.min)) + steps_in(parameter) * Decimal(str(parameter.step)))


def to_optuna(parameters: Mapping[str, Parameter], config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that Optuna knows: no constants, and no parameters that the config lacks."""
    out: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name not in config or isinstance(parameter, Constant):
            continue
        if isinstance(parameter, Choice) and parameter.ordered:
            out[name] = parameter.values.index(config[name])
        else:
            out[name] = config[name]
    return out


def from_optuna(parameters: Mapping[str, Parameter], params: Mapping[str, Any]) -> dict[str, Any]:
    """A whole config: constants filled in, in the file's order."""
    out: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if isinstance(parameter, Constant):
            out[name] = parameter.value
        elif isinstance(parameter, Choice) and parameter.ordered:
            out[name] = parameter.values[params[name]]
        else:
            out[name] = params[name]
    return out


def distributions(parameters: Mapping[str, Parameter]) -> dict[str, BaseDistribution]:
    """Optuna's form of the parameters that vary."""
    return {name: found for name, parameter in parameters.items() if (found := distribution(parameter)) is not None}


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
        self._study.sampler = self._sampler(derive(self._spec.search.seed, "sampler", trial))
        if given:
            self._study.enqueue_trial(given)
        asked = self._study.ask(self._distributions)
        self._trials[trial] = asked
        return from_optuna(self._spec.parameters, asked.params)

    def _sampler(self, seed: int) -> BaseSampler:
        search = self._spec.search
        match search.algorithm:
            case "random":
                return RandomSampler(seed=seed)
            case "auto" | "tpe":
                startup = OPTUNAS_STARTUP_TRIALS if search.startup_trials is None else search.startup_trials
                # By Optuna 5's defaults: multivariate, and running trials count as bad ones (constant liar).
                return TPESampler(seed=seed, n_startup_trials=startup)
            case other:
                raise InputError(f"search.algorithm: {other} is not one that this sampler has; use tpe or random.")

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
