"""CMA-ES as an Optuna sampler that works its distribution out from the trials that are over.

Optuna's own keeps the distribution with the trials and takes no trial that was drawn from an older one: it would begin
anew with each resume, and waste most trials where many run at once. Here a generation is the next so many trials by
number (`history.py`), whoever proposed them. Only their ranks count, so stopped trials count too: behind those that
came further, by their last value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweep.core.algorithms import apart_from_cmaes
from sweep.core.drawing import place_of, value_at
from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.core.seeds import derive, generator
from sweep.core.space import Space, size
from sweep.samplers.history import Ended, History
from sweep.samplers.normal import Normal, Vector
from sweep.samplers.optuna_space import ours, theirs


@dataclass(frozen=True)
class _Stage:
    """A distribution, after so many trials; `learned` is its last generation."""

    normal: Normal
    used: int
    learned: tuple[Ended, ...] = ()
    restarts: int = 0


@dataclass
class Evolution:
    """The distributions of a study so far: what was worked out once isn't again, as long as its trials stay the same.

    Args:
        space: of the study.
        seed: of the study: where restarts begin.
        at_once: trials that may run at once, if that is known; no generation is smaller.
    """

    space: Space
    seed: int
    at_once: int = 0
    parameters: dict[str, FloatRange | IntRange | Choice] = field(init=False)
    steps: Vector = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = {
            name: one
            for name, one in self.space.proposed.items()
            if not apart_from_cmaes(one.when is not None, one) and size({name: one}) != 1
        }
        counts = [size({name: one}) for name, one in self.parameters.items()]
        self.steps = np.array([1 / count if count else 0.0 for count in counts])
        usual = 4 + int(3 * math.log(max(1, len(self.parameters))))
        first = Normal.first(np.full(len(self.parameters), 0.5), max(usual, min(self.at_once, 4 * usual)))
        self._stages = [_Stage(first, 0)]

    def normal(self, history: History) -> Normal:
        """The distribution after all generations that are full."""
        trials = history.all()
        kept = 1
        # Trials are the same objects until something happens to them.
        while kept < len(self._stages) and self._holds(kept, trials):
            kept += 1
        del self._stages[kept:]
        while (following := self._after(self._stages[-1], trials)) is not None:
            self._stages.append(following)
        return self._stages[-1].normal

    def _holds(self, place: int, trials: list[Ended]) -> bool:
        stage = self._stages[place]
        return trials[stage.used - len(stage.learned) : stage.used] == list(stage.learned)

    def _after(self, stage: _Stage, trials: list[Ended]) -> _Stage | None:
        normal = stage.normal
        learned = trials[stage.used : stage.used + normal.size]
        if len(learned) < normal.size:
            return None
        ranked = sorted(learned, key=lambda ended: (ended.rank, ended.number))
        after = normal.learn(np.array([self._point(ended.params) for ended in ranked]))
        restarts = stage.restarts
        if after.stalled(self.steps):
            restarts += 1
            random = generator(self.seed, "restart", restarts)
            mean = np.array([random.random() for _ in self.parameters])
            # Larger generations see more of the whole (Auger and Hansen 2005).
            after = Normal.first(mean, 2 * normal.size)
        return _Stage(after, stage.used + len(learned), tuple(learned), restarts)

    def _point(self, params: Mapping[str, Any]) -> list[float]:
        return [place_of(one, ours(one, params[name])) for name, one in self.parameters.items()]


class EvolvingSampler(BaseSampler):
    """Proposes once; see the module's head.

    Args:
        evolution: of the study.
        history: of the study.
        beside: proposes the parameters that CMA-ES can't move, each by itself.
        seed: of this proposal.
        startup: so many trials are spread evenly before the distribution has a say.
    """

    def __init__(
        self, evolution: Evolution, history: History, *, beside: BaseSampler, seed: int, startup: int = 0
    ) -> None:
        self._evolution = evolution
        self._history = history
        self._beside = beside
        self._seed = seed
        self._startup = startup

    def infer_relative_search_space(self, _study: Study, _trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is said here counts for nothing: `sample_relative` knows its parameters."""
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        """A point of the distribution."""
        evolution, random = self._evolution, np.random.default_rng(derive(self._seed, "evolution"))
        if len(self._history) < self._startup:
            point = random.random(len(evolution.parameters))
        else:
            point = evolution.normal(self._history).draw(random, evolution.steps)
        # A place of 1 lies behind the last value.
        places = np.minimum(point, np.nextafter(1, 0))
        pairs = zip(evolution.parameters.items(), places, strict=True)
        return {name: theirs(one, value_at(one, float(place))) for (name, one), place in pairs}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """By the sampler beside it."""
        return self._beside.sample_independent(study, trial, param_name, param_distribution)
