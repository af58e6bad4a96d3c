"""Every config of a space, each once, in an order that is fixed by the study's seed."""

from __future__ import annotations

import itertools
from typing import Any

from sweep.core.drawing import each
from sweep.core.seeds import generator
from sweep.core.space import Space, size

MOST = 100_000
"""A grid has no more configs than this, constraints left aside: it is held in memory, and no study comes to its end."""


def countable(space: Space) -> bool:
    """Whether the space has an end of configs."""
    return size(space.proposed) is not None


def count(space: Space, most: int = MOST) -> int | None:
    """How many configs a trial may have; None where there are more than `most`, or no end of them.

    Where constraints leave only one in many, it is given up early: looking at each would take longer than it saves.
    """
    if not countable(space) or _least(space) > (MOST if space.constrained else most):
        return None
    looked_at = min(MOST, max(1_000, 20 * most) if space.constrained else most)
    allowed = 0
    for seen, config in enumerate(each(space)):
        allowed += space.feasible(config)
        if seen >= looked_at or allowed > most:
            return None
    return allowed


def too_large(space: Space) -> bool:
    """Whether the grid has more than `MOST` configs, constraints left aside."""
    return _least(space) > MOST or sum(1 for _ in itertools.islice(each(space), MOST + 1)) > MOST


def _least(space: Space) -> int:
    """At least so many configs there are: of the parameters that all trials have."""
    return size({name: one for name, one in space.proposed.items() if not one.when}) or 0


def order(space: Space, seed: int) -> list[dict[str, Any]]:
    """The configs that a trial may have, shuffled.

    Shuffled, because a budget may end the study before the grid: what was tried is then spread over the whole space,
    and trials that are compared at a rung aren't neighbours.
    """
    configs = [config for config in itertools.islice(each(space), MOST) if space.feasible(config)]
    generator(seed, "grid").shuffle(configs)
    return configs
