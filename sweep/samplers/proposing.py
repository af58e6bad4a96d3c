"""From what an algorithm proposes to a config that a trial may have: conditions, constraints and given values kept.

Algorithms know ranges and choices, but not which parameters a trial has, which values go together, nor what was tried
before. So one is asked again where the config that comes of it isn't allowed. What it proposes then is mended by
chance: some values are kept and the others drawn, fewer kept with each try.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from sweep.core.drawing import draw, listed
from sweep.core.feasibility import none_allowed, share_allowed
from sweep.core.seeds import generator
from sweep.core.space import NoConfigError, Space

MOST_DRAWN = 20_000
"""Configs drawn for one trial when none of those is allowed."""

_NEAR = 400
"""Of which so many are near the algorithm's last proposal."""

Key = tuple[Any, ...]


def first_allowed(
    space: Space,
    proposals: Iterable[dict[str, Any]],
    *,
    seed: int,
    given: Mapping[str, Any] | None = None,
    tried: Container[Key] = (),
) -> dict[str, Any] | None:
    """The first proposal that a trial may have and none has had, or else one near the last.

    Args:
        space: of the study.
        proposals: of an algorithm, at least one.
        seed: for mending.
        given: proposed values that the config has to have, by name.
        tried: the keys (`Space.key`) of configs that trials have had. A config with given values is proposed again
            where there is no other: a person has asked for it.

    Returns:
        None where every config was tried.

    Raises:
        NoConfigError: none was found that is allowed.
    """
    wanted = space.implied(given or {})
    last: dict[str, Any] = {}
    # Allowed, and tried before.
    again: dict[str, Any] | None = None
    for proposal in proposals:
        last = proposal
        if _fits(space, last, wanted):
            if space.key(last) not in tried:
                return last
            again = again or last
    random = generator(seed, "mended")
    chosen = space.chosen(last)
    for number in range(MOST_DRAWN):
        share = 0.9 * (1 - number / _NEAR)
        kept = {name: value for name, value in chosen.items() if random.random() < share}
        config = draw(space, random, {**kept, **wanted})
        if _fits(space, config, wanted):
            if space.key(config) not in tried:
                return config
            again = again or config
            if number > 2 * _NEAR:
                # What is left is rare: it is looked for below.
                break
    return _rest(space, wanted, seed, again, tried)


def _rest(
    space: Space, wanted: Mapping[str, Any], seed: int, again: dict[str, Any] | None, tried: Container[Key]
) -> dict[str, Any] | None:
    """By looking at each config, where they can be looked at."""
    whole = listed(space)
    every = [config for config in whole or () if _fits(space, config, wanted)]
    fresh = [config for config in every if space.key(config) not in tried]
    if fresh:
        return generator(seed, "rest").choice(fresh)
    if wanted or whole is None:
        again = again or (every[0] if every else None)
        if again is not None:
            return again
    if every or again is not None:
        return None
    raise NoConfigError(none_allowed(share_allowed(space, wanted)))


def _fits(space: Space, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if wanted:
        chosen = space.chosen(config)
        if any(name not in chosen or chosen[name] != value for name, value in wanted.items()):
            return False
    return space.feasible(config)
