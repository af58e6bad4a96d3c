"""Who is better than whom among many: by one value, or by several of which none counts more.

Of several values nobody can say which of two is better when each wins in one. So they are ranked in layers: those that
no other beats in every value (the front), those that only the front beats, and so on; within a layer those come first
that lie far from the ones before them, so that a short list of the best still spans the front (the epsilon-net of
Schmucker et al. 2021, "Multi-objective Asynchronous Successive Halving", arXiv 2106.12639).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.core.objectives import Score

Values = tuple[float, ...]


def beats(a: Values, b: Values) -> bool:
    """Whether `a` is at least as low as `b` in every value and lower in one."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def layers(points: Sequence[Values], *, most: int | None = None) -> list[int]:
    """For each point its layer, 0 for the front.

    Args:
        points: (n, m) values, lower is better.
        most: how many layers are wanted; points of further ones are all in layer `most`.
    """
    found = [0] * len(points)
    kept: list[list[Values]] = []
    # In lexicographic order nobody is beaten by one that comes later, so a point's layer is final at once.
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        low, high = 0, len(kept)
        while low < high:
            middle = (low + high) // 2
            # Whoever is beaten in a layer is beaten in all before it.
            if any(beats(other, points[i]) for other in reversed(kept[middle])):
                low = middle + 1
            else:
                high = middle
        found[i] = low
        if low == len(kept) and (most is None or low < most):
            kept.append([])
        if low < len(kept):
            kept[low].append(points[i])
    return found


def spread(points: Sequence[Values]) -> list[int]:
    """An order of the points in which each is as far as can be from those before it.

    The one that is lowest in the first value leads.
    Distances are measured with each value's range as the unit, so that no objective counts for its scale.
    """
    left = sorted(range(len(points)), key=lambda i: (points[i], i))
    if not left:
        return []
    scaled = _scaled(points)
    order = [left.pop(0)]
    nearest = {i: math.dist(scaled[i], scaled[order[0]]) for i in left}
    while nearest:
        # Of equals the first in the order above, as a dict keeps it.
        chosen = max(nearest, key=lambda i: nearest[i])
        del nearest[chosen]
        order.append(chosen)
        nearest = {i: min(least, math.dist(scaled[i], scaled[chosen])) for i, least in nearest.items()}
    return order


def _scaled(points: Sequence[Values]) -> list[Values]:
    columns = []
    for column in zip(*points, strict=True):
        finite = [value for value in column if math.isfinite(value)]
        low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
        width = (high - low) or 1.0
        # An infinite value lies just beyond the finite ones: there is no distance to infinity.
        columns.append([min(max((value - low) / width, -1.0), 2.0) for value in column])
    return list(zip(*columns, strict=True))


class Ranking:
    """Trials in the order of their scores; those that keep within the bounds first."""

    def __init__(self) -> None:
        self._scores: dict[int, Score] = {}
        # By one value, all; by several, those beyond the bounds, which come after the layers.
        self._sorted: list[tuple[Score, int]] = []
        self._layers: list[list[int]] = []
        self._orders: list[list[int] | None] = []

    def __len__(self) -> int:
        return len(self._scores)

    def __contains__(self, trial: int) -> bool:
        return trial in self._scores

    def add(self, trial: int, score: Score) -> None:
        """Take in a trial; it isn't there yet."""
        self._scores[trial] = score
        if _layered(score):
            self._into_layers(trial)
        else:
            bisect.insort(self._sorted, (score, trial))

    def discard(self, trial: int) -> None:
        """Forget a trial, as if it had never been there; harmless when it isn't."""
        score = self._scores.pop(trial, None)
        if score is None:
            return
        if not _layered(score):
            del self._sorted[bisect.bisect_left(self._sorted, (score, trial))]
            return
        # Those that it alone has beaten move up, and those behind them: rare, so all are put in anew.
        others = [other for layer in self._layers for other in layer if other != trial]
        self._layers, self._orders = [], []
        for other in others:
            self._into_layers(other)

    def place(self, trial: int) -> int:
        """A trial's place, from 1; by one value equals share the better one."""
        score = self._scores[trial]
        if not _layered(score):
            # A trial's number is at least 0.
            return 1 + sum(map(len, self._layers)) + bisect.bisect_left(self._sorted, (score, -1))
        before = 0
        for k, layer in enumerate(self._layers):
            if trial in layer:
                return 1 + before + self._order(k).index(trial)
            before += len(layer)
        raise KeyError(trial)

    def best(self, count: int) -> list[int]:
        """The first so many trials, best first."""
        found: list[int] = []
        for k in range(len(self._layers)):
            if len(found) >= count:
                break
            found += self._order(k)
        return [*found, *(trial for _, trial in self._sorted[: max(0, count - len(found))])][:count]

    def _into_layers(self, trial: int) -> None:
        """Put a trial into its layer; those that it beats there move one down, and so on."""
        low, high = 0, len(self._layers)
        while low < high:
            middle = (low + high) // 2
            # Whoever is beaten in a layer is beaten in all before it.
            if any(self._beats(other, trial) for other in self._layers[middle]):
                low = middle + 1
            else:
                high = middle
        moving = [trial]
        while moving:
            if low == len(self._layers):
                self._layers.append([])
                self._orders.append(None)
            layer = self._layers[low]
            beaten = {other for other in layer if any(self._beats(mover, other) for mover in moving)}
            self._layers[low] = [other for other in layer if other not in beaten] + moving
            self._orders[low] = None
            moving = [other for other in layer if other in beaten]
            low += 1

    def _beats(self, a: int, b: int) -> bool:
        return beats(self._scores[a].values, self._scores[b].values)

    def _order(self, k: int) -> list[int]:
        order = self._orders[k]
        if order is None:
            # By number, so that the order depends on who is there and not on who came when.
            members = sorted(self._layers[k])
            order = [members[i] for i in spread([self._scores[trial].values for trial in members])]
            self._orders[k] = order
        return order


def _layered(score: Score) -> bool:
    return len(score.values) > 1 and not score.excess
