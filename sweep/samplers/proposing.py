"""Plans a whole config before Optuna writes any of it down: conditions, constraints and given values kept.

Optuna's samplers know ranges and choices, but not which parameters a trial has nor which values go together. So a
sampler of theirs is asked for each parameter in use, and asked again where the config that comes of it isn't allowed.
What it proposes then is mended by chance: some values are kept and the others drawn, fewer kept with each try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweep.core.drawing import draw, draw_value, listed
from sweep.core.feasibility import none_allowed, share_allowed
from sweep.core.seeds import derive, generator
from sweep.core.space import NoConfigError, Space
from sweep.samplers.optuna_space import distributions, ours, to_optuna

MOST_ASKED = 5
"""Proposals of Optuna's sampler for one trial; each costs it as much as the first."""

MOST_DRAWN = 20_000
"""Configs drawn for one trial when none of those is allowed."""

_NEAR = 400
"""Of which so many are near the sampler's last proposal."""

_TPES_NOTE = "tpe:relative_params"
"""Optuna's TPE leaves all that it has proposed jointly with a running trial, for others to reckon with."""


class Proposer(BaseSampler):
    """A sampler for one trial, to be asked once: hands Optuna the values of a config that is allowed.

    Args:
        space: of the study.
        make: an Optuna sampler for a seed.
        seed: of this trial's proposals.
        given: proposed values that the config has to have, by name.

    Attributes:
        config: what was proposed, once `before_trial` was called.
    """

    def __init__(
        self, space: Space, make: Callable[[int], BaseSampler], seed: int, given: Mapping[str, Any] | None = None
    ) -> None:
        self.config: dict[str, Any] = {}
        self._space = space
        self._distributions = distributions(space)
        self._make = make
        self._seed = seed
        self._given = space.implied(given or {})
        self._inner: BaseSampler | None = None
        self._planned: dict[str, Any] = {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Plan the config.

        Raises:
            NoConfigError: none was found that is allowed.
        """
        self.config = self._allowed(study, trial)
        self._planned = to_optuna(self._space, self.config)

    def infer_relative_search_space(self, *_: Any) -> dict[str, BaseDistribution]:
        """Nothing is left to sample jointly: the plan is made."""
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        """Nothing; see above."""
        return {}

    def sample_independent(self, _study: Study, _trial: FrozenTrial, param_name: str, *_: Any) -> Any:
        """The planned value."""
        return self._planned[param_name]

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Some of Optuna's samplers take notes at the end of a trial."""
        if self._inner is not None:
            self._inner.after_trial(study, trial, state, values)

    def _allowed(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        last: dict[str, Any] = {}
        for place in range(MOST_ASKED):
            # The first as it would be without constraints.
            seed = derive(self._seed, "again", place) if place else self._seed
            last = self._asked(study, trial, seed)
            if self._fits(last):
                return last
        return self._mended(last)

    def _asked(self, study: Study, trial: FrozenTrial, seed: int) -> dict[str, Any]:
        """The config that Optuna's sampler proposes, allowed or not."""
        inner = self._inner = self._make(seed)
        inner.before_trial(study, trial)
        together = inner.infer_relative_search_space(study, trial)
        relative = inner.sample_relative(study, trial, together)

        def choose(name: str) -> Any:
            if name in self._given:
                return self._given[name]
            known = self._distributions[name]
            if known.single():
                # A distribution of one value is none to Optuna's samplers.
                return draw_value(self._space.proposed[name], generator(0))
            value = relative[name] if name in relative else inner.sample_independent(study, trial, name, known)
            return ours(self._space.proposed[name], value)

        return self._space.walk(choose)

    def _fits(self, config: Mapping[str, Any]) -> bool:
        return self._given.keys() <= config.keys() and self._space.feasible(config)

    def _mended(self, near: Mapping[str, Any]) -> dict[str, Any]:
        random = generator(self._seed, "mended")
        chosen = self._space.chosen(near)
        for tried in range(MOST_DRAWN):
            share = 0.9 * (1 - tried / _NEAR)
            kept = {name: value for name, value in chosen.items() if random.random() < share}
            config = draw(self._space, random, {**kept, **self._given})
            if self._fits(config):
                return config
        every = [config for config in listed(self._space) or () if self._holds_given(config) and self._fits(config)]
        if every:
            return random.choice(every)
        raise NoConfigError(none_allowed(share_allowed(self._space, self._given)))

    def _holds_given(self, config: Mapping[str, Any]) -> bool:
        chosen = self._space.chosen(config)
        return all(name in chosen and chosen[name] == value for name, value in self._given.items())


def joint_notes(attrs: Mapping[str, Any]) -> list[str]:
    """The notes of a running trial to be blanked.

    They name values of parameters that it turned out not to have, and a trial that is taken up after a resume has none.
    """
    return [key for key in attrs if key.startswith(_TPES_NOTE)]
