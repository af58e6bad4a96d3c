"""Asks one of Optuna's samplers for the values of a whole config, one parameter in use after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from sweep.core.drawing import draw_value
from sweep.core.seeds import derive, generator
from sweep.core.space import Space
from sweep.samplers.optuna_space import ours

MOST_ASKED = 5
"""Proposals of Optuna's sampler for one trial; each costs it as much as the first."""

_TPES_NOTE = "tpe:relative_params"
"""Optuna's TPE leaves all that it has proposed jointly with a running trial, for others to reckon with."""


def proposals(
    space: Space,
    *,
    distributions: Mapping[str, BaseDistribution],
    make: Callable[[int], BaseSampler],
    seed: int,
    given: Mapping[str, Any],
    study: Study,
    trial: FrozenTrial,
    tries: int = MOST_ASKED,
) -> Iterator[dict[str, Any]]:
    """Configs for a trial, allowed or not; the first as it would be without constraints.

    Args:
        space: of the study.
        distributions: Optuna's form of its parameters.
        make: an Optuna sampler for a seed.
        seed: of this trial's proposals.
        given: proposed values that the config has to have, by name.
        study: what the sampler learns from.
        trial: a running trial without parameters.
        tries: how many at most.
    """
    for place in range(tries):
        asking = _Asking(make, derive(seed, "again", place) if place else seed, study, trial)

        def choose(name: str, asking: _Asking = asking) -> Any:
            if name in given:
                return given[name]
            known = distributions[name]
            if known.single():
                # A distribution of one value is none to Optuna's samplers.
                return draw_value(space.proposed[name], generator(0))
            return ours(space.proposed[name], asking.value(name, known))

        yield space.walk(choose)


class _Asking:
    """One proposal of a sampler, which isn't made before a value of it is wanted."""

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, study: Study, trial: FrozenTrial) -> None:
        self._make = make
        self._seed = seed
        self._study = study
        self._trial = trial

    @cached_property
    def _sampler(self) -> BaseSampler:
        made = self._make(self._seed)
        made.before_trial(self._study, self._trial)
        return made

    @cached_property
    def _together(self) -> dict[str, Any]:
        space = self._sampler.infer_relative_search_space(self._study, self._trial)
        return dict(self._sampler.sample_relative(self._study, self._trial, space))

    def value(self, name: str, known: BaseDistribution) -> Any:
        """Optuna's value of a parameter."""
        if name in self._together:
            return self._together[name]
        return self._sampler.sample_independent(self._study, self._trial, name, known)


def joint_notes(attrs: Mapping[str, Any]) -> list[str]:
    """The notes of a running trial to be blanked.

    They name values of parameters that it turned out not to have, and a trial that is taken up after a resume has none.
    """
    return [key for key in attrs if key.startswith(_TPES_NOTE)]
