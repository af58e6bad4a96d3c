"""An Optuna sampler that models every trial's whole curve; see `search.py` for what it aims at.

    sampler = CurveSampler(max_t=81, seed=0)
    study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.SuccessiveHalvingPruner())

It learns from `trial.report(value, t)` of all trials, pruned and running ones too, and is for one objective. With a
scheduler that can pause trials, `decide` also says which of them is to go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.samplers.curves.encoding import Encoding
from sweep.samplers.curves.search import STARTUP_TRIALS, New, Search
from sweep.samplers.curves.table import Curve, Ladder, Status
from sweep.samplers.curves.waiting import Continue

_ENDED: dict[TrialState, Status] = {
    TrialState.COMPLETE: "ended",
    TrialState.PRUNED: "ended",
    TrialState.FAIL: "failed",
}


class CurveMemory:
    """What was worked out of trials that haven't changed since; saves time, and changes nothing else."""

    def __init__(self) -> None:
        self._space: Mapping[str, BaseDistribution] | None = None
        self._encoding: Encoding | None = None
        self._curves: dict[int, tuple[tuple[Any, ...], Curve]] = {}

    def encoding(self, space: Mapping[str, BaseDistribution]) -> Encoding:
        """Of this space; the one before while it stays the same."""
        if self._encoding is None or self._space != space:
            self._space, self._encoding = dict(space), Encoding(space)
            self._curves.clear()
        return self._encoding

    def curve(
        self, trial: FrozenTrial, encoding: Encoding, ladder: Ladder, sign: float, until: Mapping[int, int | None]
    ) -> Curve:
        """A trial's curve; the same one while nothing has happened to it."""
        number = trial.number
        # A trial that waits may look like a running one or a pruned one, to Optuna.
        waits = number in until and until[number] is None
        status = "paused" if waits else _ENDED.get(trial.state, "running")
        mark = (status, until.get(number), len(trial.intermediate_values))
        known = self._curves.get(number)
        if known is not None and known[0] == mark:
            return known[1]
        values = {t: sign * value for t, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)}
        if not values and trial.state is TrialState.COMPLETE and trial.value is not None:
            values = {ladder.max_t: sign * trial.value}
        if known is not None:
            units, row = known[1].units, known[1].row
        else:
            units, row = encoding.units(trial.params), encoding.row(trial.params)
        made = Curve(number, units, row, tuple(values.items()), tuple(ladder.passed(values)), status, until.get(number))
        self._curves[number] = (mark, made)
        return made


class CurveSampler(BaseSampler):
    """See the module's head.

    Args:
        max_t: the step at which a trial is complete.
        min_t: the first rung.
        reduction_factor: between one rung and the next; also one in this many goes beyond each, in `decide`.
        seed: makes it repeat itself: the same trials, asked again, give the same proposal.
        startup: trials spread over the space before the model has a say.
        space: what is proposed together; by default all that any trial has had.
        allowed: whether a config, as Optuna's values, may be proposed.
        memory: shared by samplers of one study that are made anew for each trial.
    """

    def __init__(
        self,
        *,
        max_t: int,
        min_t: int = 1,
        reduction_factor: int = 3,
        seed: int = 0,
        startup: int = STARTUP_TRIALS,
        space: Mapping[str, BaseDistribution] | None = None,
        allowed: Callable[[Mapping[str, Any]], bool] | None = None,
        memory: CurveMemory | None = None,
    ) -> None:
        self._ladder = Ladder.geometric(min_t, max_t, reduction_factor)
        self._factor = reduction_factor
        self._seed = seed
        self._startup = startup
        self._space = space
        self._allowed = allowed
        self._memory = memory or CurveMemory()
        self._independent = RandomSampler(seed=seed)

    # Optuna's side

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters that any trial has had, conditional ones too, in their latest ranges."""
        return self._known_space(study, trial.number)

    def _known_space(self, study: Study, number: int) -> dict[str, BaseDistribution]:
        if self._space is not None:
            return {name: known for name, known in self._space.items() if not known.single()}
        found: dict[str, BaseDistribution] = {}
        for other in study.get_trials(deepcopy=False):
            if other.number != number:
                found.update(other.distributions)
        return {name: known for name, known in sorted(found.items()) if not known.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A config from the model."""
        if not search_space:
            return {}
        encoding, search = self._search(search_space, pausing=False)
        found = search.decide(self._curves(study, trial.number, encoding, {}), self._random(trial.number))
        return encoding.params(found.units) if isinstance(found, New) else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """By chance: a parameter that no trial has had."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    # With a scheduler that pauses

    def decide(
        self, study: Study, number: int, until: Mapping[int, int | None], *, arriving: bool = True
    ) -> tuple[dict[str, Any], int] | Continue | None:
        """What to do with a free place: a new config and the rung to train it to, or a waiting trial that is to go on.

        Args:
            study: with all trials; those that wait may be RUNNING or PRUNED there.
            number: that a new trial would have.
            until: of running ones the rung that they are on their way to, max_t where nothing is said; None says that
                one waits.
            arriving: whether a new trial may come; where none may, and none of those that wait is worth it, the answer
                is None.
        """
        encoding, search = self._search(self._known_space(study, number), pausing=True)
        curves = self._curves(study, number, encoding, until)
        found = search.decide(curves, self._random(number), arriving=arriving)
        return (encoding.params(found.units), found.until) if isinstance(found, New) else found

    # Inside

    def _random(self, number: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, number))

    def _search(self, space: Mapping[str, BaseDistribution], *, pausing: bool) -> tuple[Encoding, Search]:
        encoding = self._memory.encoding(space)
        allowed = self._allowed
        return encoding, Search(
            encoding,
            self._ladder,
            reduction_factor=self._factor,
            seed=self._seed,
            startup=self._startup,
            pausing=pausing,
            allowed=(lambda units: allowed(encoding.params(units))) if allowed else lambda _: True,
        )

    def _curves(self, study: Study, number: int, encoding: Encoding, until: Mapping[int, int | None]) -> list[Curve]:
        """All trials but the one that is asked for; in `until` None says that one waits."""
        sign = -1.0 if study.direction is StudyDirection.MAXIMIZE else 1.0
        return [
            self._memory.curve(other, encoding, self._ladder, sign, until)
            for other in study.get_trials(deepcopy=False)
            if other.number != number and other.params
        ]
