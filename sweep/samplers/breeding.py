"""NSGA-II and NSGA-III by Optuna, with generations that are found again from the trials.

Optuna notes a trial's generation with the trial when it is asked, and takes complete trials alone. So a resumed study
would begin with a random generation, and one with early stopping would hardly ever fill its first. Here a generation is
the next so many trials by number (`history.py`), stopped ones too. Those become parents where there are too few
complete ones: the further they came the sooner.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler
from optuna.samplers.nsgaii import SBXCrossover
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.core.ranking import layers
from sweep.core.seeds import derive, generator
from sweep.core.spec import StudySpec
from sweep.samplers.history import WHOLE, Ended, History
from sweep.samplers.optuna_space import MOST_EXCESS

Kind = Literal["nsga2", "nsga3"]

FEWEST, MOST = 10, 50
"""Trials of a generation."""

_GENERATIONS = 8
"""So many are to fit into a budget of trials."""

_INHERITED = 0.9
"""Chance that a parameter which only some trials have is taken from a parent, rather than drawn."""

_STOPPED = 1e-9
"""As what a stopped trial counts against one that is complete: the smallest breach of a bound weighs more."""

_THEN = datetime(2000, 1, 1)  # noqa: DTZ001  # Optuna asks for a time without a zone, and no time counts here


def generation_size(spec: StudySpec) -> int:
    """Trials of a generation: small enough for several within the budget, and no fewer than may run at once."""
    trials = spec.budget.trials
    fitting = MOST if trials is None else trials // _GENERATIONS
    return max(FEWEST, min(MOST, max(fitting, spec.resources.max_concurrent or 0)))


class _Given:
    """Makes one of Optuna's genetic algorithms go by the trials that it is given, rather than by its own notes."""

    pool: list[FrozenTrial]

    def get_trial_generation(self, *_: Any) -> int:
        """Any but the first, which would be drawn at random."""
        return 1

    def get_population(self, *_: Any) -> list[FrozenTrial]:
        """None beside the parents."""
        return []

    def get_parent_population(self, *_: Any) -> list[FrozenTrial]:
        """The trials given."""
        return self.pool


class _Second(_Given, NSGAIISampler):
    pass


class _Third(_Given, NSGAIIISampler):
    pass


def _algorithm(kind: Kind, size: int, seed: int, pool: list[FrozenTrial]) -> _Second | _Third:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Children near their parents: Optuna's own default only mixes the parents' values.
        crossover = SBXCrossover()
        made = (_Third if kind == "nsga3" else _Second)(population_size=size, crossover=crossover, seed=seed)
    made.pool = pool
    return made


class Lineage:
    """The parents of each generation so far, kept as long as the trials they come from stay the same.

    Args:
        kind: which algorithm.
        history: of the study.
        size: trials of a generation.
        seed: of the study.
    """

    def __init__(self, kind: Kind, history: History, size: int, seed: int) -> None:
        self.kind = kind
        self.history = history
        self.size = size
        self._seed = seed
        # After each generation: its trials, and those of them and their parents that become parents.
        self._known: list[tuple[list[Ended], list[Ended]]] = []

    def parents(self, study: Study) -> list[FrozenTrial]:
        """Of the trial that is asked for; none for one of the first generation."""
        full = len(self.history) // self.size
        place = 0
        # Trials are the same objects until something happens to them.
        while place < len(self._known) and self._known[place][0] == self.history.generation(self.size, place):
            place += 1
        del self._known[place:]
        while len(self._known) < full:
            trials = self.history.generation(self.size, len(self._known))
            before = self._known[-1][1] if self._known else []
            self._known.append((trials, self._chosen(study, [*trials, *before], len(self._known))))
        return [_individual(ended) for ended in self._known[-1][1]] if self._known else []

    def _chosen(self, study: Study, pool: list[Ended], generation: int) -> list[Ended]:
        whole = [ended for ended in pool if ended.t == WHOLE and ended.result.feasible]
        if len(whole) > self.size:
            seed = derive(self._seed, "generation", generation)
            algorithm = _algorithm(self.kind, self.size, seed, [_individual(ended) for ended in whole])
            numbers = {trial.number for trial in algorithm.select_parent(study, 1)}
            return [ended for ended in whole if ended.number in numbers]
        others = [ended for ended in pool if ended.t != WHOLE or not ended.result.feasible]
        return [*whole, *_by_progress(others)][: self.size]


def _by_progress(trials: Iterable[Ended]) -> list[Ended]:
    """Within the bounds first, then the further they came, then front by front."""
    found = []
    order = sorted(trials, key=lambda ended: (ended.rank[:2], ended.number))
    for _, alike in groupby(order, key=lambda ended: ended.rank[:2]):
        group = list(alike)
        layer = layers([ended.rank[2:] for ended in group])
        found += [group[place] for place in sorted(range(len(group)), key=lambda place: layer[place])]
    return found


def _individual(ended: Ended) -> FrozenTrial:
    """A trial that is over as a complete one, with what stands against it."""
    against = min(ended.rank[0], MOST_EXCESS) + (0 if ended.t == WHOLE else _STOPPED / (1 + ended.t))
    return FrozenTrial(
        number=ended.number,
        trial_id=ended.number,
        state=TrialState.COMPLETE,
        value=None,
        values=list(ended.result.values),
        datetime_start=_THEN,
        datetime_complete=_THEN,
        params=ended.params,
        distributions={},
        user_attrs={},
        system_attrs={"constraints:against": against},
        intermediate_values={},
    )


class BreedingSampler(BaseSampler):
    """Proposes once; see the module's head.

    Args:
        lineage: of the study.
        shared: the parameters that all trials have.
        seed: of this proposal.
    """

    def __init__(self, lineage: Lineage, shared: dict[str, BaseDistribution], *, seed: int) -> None:
        self._lineage = lineage
        self._shared = shared
        self._seed = seed
        self._random = generator(seed, "inherited")
        self._drawing = RandomSampler(seed=seed)
        self._parents: list[FrozenTrial] = []

    def infer_relative_search_space(self, _study: Study, _trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What all trials have."""
        return self._shared

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A child of two parents; what mutates is left out."""
        self._parents = self._lineage.parents(study)
        if not self._parents or not search_space:
            return {}
        algorithm = _algorithm(self._lineage.kind, self._lineage.size, self._seed, self._parents)
        return algorithm.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parent's value of a parameter that only some trials have; else by chance."""
        if param_name not in self._shared and self._random.random() < _INHERITED:
            values = [parent.params[param_name] for parent in self._parents if param_name in parent.params]
            if values:
                return self._random.choice(values)
        return self._drawing.sample_independent(study, trial, param_name, param_distribution)
