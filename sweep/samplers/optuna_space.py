"""A search space in Optuna's words, and Optuna's params back in ours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from sweep.core.objectives import Objectives, Result
from sweep.core.parameters import Choice, FloatRange, IntRange, Parameter
from sweep.core.space import Space
from sweep.core.values import place_in, steps_in
from sweep.core.warm_start import Lesson

STATES = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
"""How Optuna calls the ends of a trial."""


MOST_EXCESS = 1e12
"""What a bound counts as exceeded by where its metric was never reported: Optuna reckons with the sum."""


def directions(metric: Objectives) -> list[Literal["minimize", "maximize"]]:
    """Which way each objective is better."""
    return [goal.goal for goal in metric.goals if goal.goal is not None]


def constraints(metric: Objectives, result: Result | None) -> dict[str, float]:
    """A result's bounds as Optuna's constraints: above 0 where one is broken."""
    if result is None:
        return {}
    pairs = zip(metric.bounds, result.excess, strict=True)
    return {bound.name: min(excess, MOST_EXCESS) for bound, excess in pairs}


def distribution(parameter: FloatRange | IntRange | Choice) -> BaseDistribution:
    """Optuna's form of a parameter."""
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


def _last_step(parameter: FloatRange | IntRange) -> float:
    """The highest value that the steps reach; Optuna warns of an upper end that they miss."""
    if parameter.step is None:
        return parameter.max
    # In decimals, as Optuna checks it: 3 * 0.3 is 0.8999... in binary, and would lose the last value.
    return float(Decimal(str(parameter.min)) + steps_in(parameter) * Decimal(str(parameter.step)))


def to_optuna(space: Space, config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that Optuna knows, of a config or a part of one: no constants, and of lists in step the first's."""
    return {name: _theirs(space.proposed[name], value) for name, value in space.chosen(config).items()}


def _theirs(parameter: Parameter, value: Any) -> Any:
    if isinstance(parameter, Choice) and parameter.ordered:
        return place_in(parameter.values, value)
    return value


def ours(parameter: Parameter, value: Any) -> Any:
    """Our value of one that Optuna has proposed."""
    return parameter.values[value] if isinstance(parameter, Choice) and parameter.ordered else value


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Optuna's form of the parameters that are proposed."""
    return {name: distribution(parameter) for name, parameter in space.proposed.items()}


def running_trial(space: Space, config: Mapping[str, Any]) -> FrozenTrial:
    """A trial at work with this config, to be put into a storage."""
    return create_trial(state=TrialState.RUNNING, **_asked(space, config))


def learned_trial(space: Space, lesson: Lesson) -> FrozenTrial:
    """A trial of an earlier study that lies in this space, with where it came from."""
    return create_trial(
        state=STATES[lesson.state],
        value=lesson.value,
        intermediate_values=dict(lesson.values),
        user_attrs={"study": lesson.study, "trial": lesson.trial},
        **_asked(space, lesson.config),
    )


def _asked(space: Space, config: Mapping[str, Any]) -> dict[str, Any]:
    params = to_optuna(space, config)
    return {"params": params, "distributions": {name: distribution(space.proposed[name]) for name in params}}


def suggest(trial: Trial, name: str, parameter: FloatRange | IntRange | Choice) -> Any:
    """Let Optuna's trial ask its sampler for a value of this parameter, in Optuna's form."""
    match distribution(parameter):
        case FloatDistribution() as real:
            return trial.suggest_float(name, real.low, real.high, step=real.step, log=real.log)
        case IntDistribution() as whole:
            return trial.suggest_int(name, whole.low, whole.high, step=whole.step, log=whole.log)
        case CategoricalDistribution() as list_:
            return trial.suggest_categorical(name, list_.choices)
        case other:
            raise AssertionError(f"{name} has the distribution {other!r}, which isn't made here")
