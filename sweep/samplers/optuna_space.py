"""A search space in Optuna's words, and Optuna's params back in ours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sweep.core.parameters import Choice, Constant, FloatRange, IntRange, Parameter
from sweep.core.values import steps_in

STATES = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
"""How Optuna calls the ends of a trial."""


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
