"""Which of Optuna's samplers proposes, by `search.algorithm`."""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from sweep.core.spec import StudySpec
from sweep.errors import InputError

OPTUNAS_STARTUP_TRIALS = 10
"""TPE proposes at random until this many trials have ended, unless the file says otherwise."""


def choose(spec: StudySpec, seed: int) -> BaseSampler:
    """A sampler for one proposal, made anew for each: what it remembers between two of them is lost.

    Args:
        spec: the study.
        seed: of this proposal.

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
        case other:
            raise InputError(f"search.algorithm: {other} is not one that this sampler has; use tpe or random.")


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
