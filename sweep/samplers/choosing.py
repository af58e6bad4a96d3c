"""Which of Optuna's samplers proposes, by `search.algorithm`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.errors import InputError
from sweep.samplers.curves.sampler import CurveMemory, CurveSampler
from sweep.samplers.curves.search import STARTUP_TRIALS
from sweep.samplers.optuna_space import distributions, ours

OPTUNAS_STARTUP_TRIALS = 10
"""TPE proposes at random until this many trials have ended, unless the file says otherwise."""


def choose(spec: StudySpec, space: Space, seed: int, memory: CurveMemory) -> BaseSampler:
    """A sampler for one proposal, made anew for each: what it remembers between two of them is lost.

    Args:
        spec: the study.
        space: its space.
        seed: of this proposal.
        memory: of the study's curves.

    Raises:
        InputError: an algorithm that isn't one of Optuna's samplers here.
    """
    search = spec.search
    match search.algorithm:
        case "random":
            return RandomSampler(seed=seed)
        case "auto" | "tpe":
            startup = OPTUNAS_STARTUP_TRIALS if search.startup_trials is None else search.startup_trials
            return _tpe(seed, startup, conditional=any(one.when for one in spec.parameters.values()))
        case "gp":
            return curve_sampler(spec, space, memory)
        case other:
            raise InputError(f"search.algorithm: {other} is not one that this sampler has; use gp, tpe or random.")


def curve_sampler(spec: StudySpec, space: Space, memory: CurveMemory) -> CurveSampler:
    """The sampler that models all curves; its proposals depend on the study's seed and the trial's number."""
    search, rules = spec.search, spec.scheduler

    def allowed(params: Mapping[str, Any]) -> bool:
        return space.feasible(space.walk(lambda name: ours(space.proposed[name], params[name])))

    return CurveSampler(
        max_t=rules.max_t,
        min_t=rules.grace_period,
        reduction_factor=rules.reduction_factor,
        seed=search.seed,
        startup=STARTUP_TRIALS if search.startup_trials is None else search.startup_trials,
        space=distributions(space),
        allowed=allowed if space.constrained else None,
        memory=memory,
    )


def _tpe(seed: int, startup: int, *, conditional: bool) -> TPESampler:
    """By Optuna 5's defaults: multivariate, and running trials count as bad ones (constant liar).

    Where trials differ in which parameters they have, only those that all have would be modelled jointly, each of the
    others by itself. With `group` those that come together are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Said outright, for with several objectives Optuna would warn of it at each proposal.
        multivariate = True if conditional else None
        return TPESampler(seed=seed, n_startup_trials=startup, multivariate=multivariate, group=conditional)
