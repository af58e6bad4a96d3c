"""Which sampler proposes, by `search.algorithm`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweep.core import algorithms
from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.samplers.asking import MOST_ASKED
from sweep.samplers.breeding import BreedingSampler, Kind, Lineage, generation_size
from sweep.samplers.curves.sampler import CurveMemory, CurveSampler
from sweep.samplers.curves.search import STARTUP_TRIALS
from sweep.samplers.evolving import Evolution, EvolvingSampler
from sweep.samplers.history import History
from sweep.samplers.listing import Grid, Spread
from sweep.samplers.optuna_space import distributions, ours

OPTUNAS_STARTUP_TRIALS = 10
"""TPE proposes at random until this many trials have ended, unless the file says otherwise."""


class Algorithm:
    """The algorithm of a study: a sampler for each proposal, made anew, or a list of configs.

    What is kept from proposal to proposal follows from the trials alone and saves time only.

    Args:
        spec: of the study.
        space: its space.
        history: its trials that are over.
    """

    def __init__(self, spec: StudySpec, space: Space, history: History) -> None:
        self.name = algorithms.choose(spec).algorithm
        self._spec = spec
        self._space = space
        self._history = history
        self._memory = CurveMemory()

    @property
    def tries(self) -> int:
        """How often it is asked where what it proposes isn't allowed; the model of curves would say the same again."""
        return 1 if self.name == "gp" else MOST_ASKED

    @property
    def looks_at_all(self) -> bool:
        """Whether its cost grows with the trials that Optuna's study shows it."""
        return self.name in ("tpe", "cmaes")

    @cached_property
    def listed(self) -> Grid | Spread | None:
        """Of an algorithm that doesn't look at results."""
        seed = self._spec.search.seed
        match self.name:
            case "grid":
                return Grid(self._space, seed)
            case "qmc":
                return Spread(self._space, seed)
        return None

    def sampler(self, seed: int) -> BaseSampler:
        """One of Optuna's kind, for one proposal.

        Args:
            seed: of this proposal.

        Raises:
            ValueError: the algorithm proposes from a list.
        """
        return self._make(seed)

    @cached_property
    def _make(self) -> Callable[[int], BaseSampler]:
        match self.name:
            case "random":
                return lambda seed: RandomSampler(seed=seed)
            case "tpe":
                return self._tpe
            case "cmaes":
                return self._evolving()
            case "nsga2" | "nsga3" as kind:
                return self._breeding(kind)
            case "gp":
                # Its proposals depend on the study's seed and the trial's number.
                return lambda _: self.curves()
            case listed:
                raise ValueError(f"{listed} proposes from a list")

    def curves(self) -> CurveSampler:
        """The sampler that models all curves."""
        search, rules, space = self._spec.search, self._spec.scheduler, self._space

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
            memory=self._memory,
        )

    def _tpe(self, seed: int) -> BaseSampler:
        """By Optuna 5's defaults: multivariate, and running trials count as bad ones (constant liar).

        Where trials differ in which parameters they have, only those that all have would be modelled jointly, each of
        the others by itself. With `group` those that come together are.
        """
        startup = self._spec.search.startup_trials
        conditional = self._space.conditional
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _Tpe(
                None if conditional else self._shared,
                seed=seed,
                n_startup_trials=OPTUNAS_STARTUP_TRIALS if startup is None else startup,
                # Said outright, for with several objectives Optuna would warn of it at each proposal.
                multivariate=True if conditional else None,
                group=conditional,
            )

    @cached_property
    def _shared(self) -> dict[str, BaseDistribution]:
        """Optuna's form of the parameters that all trials have, in Optuna's order."""
        known = distributions(self._space)
        shared = [name for name, one in self._space.proposed.items() if not one.when and not known[name].single()]
        return {name: known[name] for name in sorted(shared)}

    def _evolving(self) -> Callable[[int], BaseSampler]:
        search = self._spec.search
        evolution = Evolution(self._space, search.seed, self._spec.resources.max_concurrent or 0)
        return lambda seed: EvolvingSampler(
            evolution, self._history, beside=self._tpe(seed), seed=seed, startup=search.startup_trials or 0
        )

    def _breeding(self, kind: Kind) -> Callable[[int], BaseSampler]:
        lineage = Lineage(kind, self._history, generation_size(self._spec), self._spec.search.seed)
        return lambda seed: BreedingSampler(lineage, self._shared, seed=seed)


class _Tpe(TPESampler):
    """Optuna's, told which parameters all trials have: it would look through all of them at each proposal.

    Args:
        shared: those, by name; None to let it look.
        options: as Optuna's.
    """

    def __init__(self, shared: dict[str, BaseDistribution] | None, **options: Any) -> None:
        super().__init__(**options)
        self._shared = shared

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is modelled jointly."""
        if self._shared is None:
            return dict(super().infer_relative_search_space(study, trial))
        # Optuna models each parameter by itself where there are several objectives.
        return self._shared if len(study.directions) == 1 else {}
