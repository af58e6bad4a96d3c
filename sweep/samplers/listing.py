"""Algorithms that don't look at results: every config of a grid, or evenly spread points.

Both go through a sequence that the study's seed fixes and take the first config that no trial has had. So a resumed
study goes on where it was, whoever counts, and a point that a person gave isn't tried twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sweep.core import grid
from sweep.core.drawing import value_at
from sweep.core.seeds import derive
from sweep.core.space import Space

_BLOCK = 256
"""Points computed together; a power of two, as Sobol's sequence is balanced in those."""


class Grid:
    """Every config, each once, shuffled by the seed."""

    def __init__(self, space: Space, seed: int) -> None:
        self._configs = grid.order(space, seed)

    def __len__(self) -> int:
        return len(self._configs)

    def configs(self, start: int, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """From a place of the order on; where values are given, those that have them and are first in it."""
        yield from self._configs[0 if given else start :]


class Spread:
    """Points of a scrambled Sobol sequence: in each dimension, and each pair, more even than chance.

    Parameters that only some trials have take a dimension each, which counts where they are in use.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = derive(seed, "spread")
        self._blocks: list[Any] = []
        self._engine: Any = None

    def configs(self, start: int, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """From a place of the sequence on, for ever; values that are given take the place of its own."""
        names = list(self._space.proposed)
        place = start
        while True:
            point = dict(zip(names, self._point(place), strict=True))

            def choose(name: str, point: Mapping[str, float] = point) -> Any:
                return given[name] if name in given else value_at(self._space.proposed[name], point[name])

            yield self._space.walk(choose)
            place += 1

    def _point(self, place: int) -> Any:
        while len(self._blocks) * _BLOCK <= place:
            if self._engine is None:
                # Slow to import, and only this needs it.
                from scipy.stats import qmc

                self._engine = qmc.Sobol(len(self._space.proposed), scramble=True, rng=self._seed)
            self._blocks.append(np.minimum(self._engine.random(_BLOCK), np.nextafter(1, 0)))
        return self._blocks[place // _BLOCK][place % _BLOCK].tolist()
