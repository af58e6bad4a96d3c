"""A search space in Optuna's words, and Optuna's params back in ours."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.core.objectives import Objectives, Result
from sweep.core.parameters import Choice, FloatRange, IntRange, Parameter
from sweep.core.space import Space
from sweep.core.values import place_in, steps_in
from sweep.core.warm_start import Lesson, Shown

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
    return {name: theirs(space.proposed[name], value) for name, value in space.chosen(config).items()}


def theirs(parameter: Parameter, value: Any) -> Any:
    """Optuna's value of one of ours."""
    if isinstance(parameter, Choice) and parameter.ordered:
        return place_in(parameter.values, value)
    return value


def ours(parameter: Parameter, value: Any) -> Any:
    """Our value of one that Optuna has proposed."""
    return parameter.values[value] if isinstance(parameter, Choice) and parameter.ordered else value


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Optuna's form of the parameters that are proposed."""
    return {name: distribution(parameter) for name, parameter in space.proposed.items()}


class LightTrial(FrozenTrial):
    """A trial whose copies share what nobody changes.

    Optuna copies a trial when it is put into a storage and when its end is told, distributions and all: by far the most
    of what a resume of many trials would take.
    """

    def __copy__(self) -> LightTrial:
        """As usual, and quickly: Optuna copies a trial for each value that it reports."""
        copied = LightTrial.__new__(LightTrial)
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, _: Any) -> LightTrial:
        """A trial that can be changed without changing this one."""
        copied = copy.copy(self)
        copied.params = dict(self.params)
        copied.distributions = dict(self.distributions)
        copied.intermediate_values = dict(self.intermediate_values)
        copied.user_attrs = dict(self.user_attrs)
        copied.system_attrs = dict(self.system_attrs)
        return copied


def asked_trial(
    params: dict[str, Any] | None = None, known: Mapping[str, BaseDistribution] | None = None
) -> LightTrial:
    """A trial at work with these values in Optuna's form, to be put into a storage; numbers are the storage's.

    Args:
        params: by name; none of a trial that is still to be proposed.
        known: Optuna's form of the space.
    """
    return LightTrial(
        number=-1,
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),  # noqa: DTZ005  # as Optuna does
        datetime_complete=None,
        params=params or {},
        distributions={name: known[name] for name in params} if params and known else {},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def running_trial(space: Space, config: Mapping[str, Any]) -> FrozenTrial:
    """A trial at work with this config, for a storage that writes it down."""
    return create_trial(state=TrialState.RUNNING, **_asked(space, config))


def learned_result(metric: Objectives, shown: Shown) -> Result:
    """What an earlier trial has shown as a result of ours; bounds that its study knew nothing of count as kept."""
    return Result(shown.values, tuple(shown.excess.get(bound.name, 0.0) for bound in metric.bounds))


def learned_trial(space: Space, lesson: Lesson, metric: Objectives) -> FrozenTrial:
    """A trial of an earlier study that lies in this space, with where it came from; told as one of ours would be."""
    result = learned_result(metric, lesson.best or lesson.shown[-1])
    return create_trial(
        state=STATES[lesson.state],
        values=lesson.best.values if lesson.best else None,
        intermediate_values={} if metric.several else {one.t: one.values[0] for one in lesson.shown},
        user_attrs={"study": lesson.study, "trial": lesson.trial},
        constraints=constraints(metric, result) or None,
        **_asked(space, lesson.config),
    )


def _asked(space: Space, config: Mapping[str, Any]) -> dict[str, Any]:
    params = to_optuna(space, config)
    return {"params": params, "distributions": {name: distribution(space.proposed[name]) for name in params}}
