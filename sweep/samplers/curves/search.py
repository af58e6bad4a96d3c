"""Decides what a free place is used for: a new config, or a trial that waits at a rung; and how far it is trained.

Each choice has a rate: what it is expected to improve the best value by, over what that is expected to cost. To train a
trial to a rung costs the way there, and if it then looks good the rest of the way too; what one learns there is how
far the expected end may move (the idea of the knowledge gradient for traces, Wu et al. 2019, arXiv 1903.04703, with
the cost of finishing in it as in Weitzman's search, 1979). So where low rungs mislead, the model has noticed it, sees
nothing to be learned there, and trains on.

A model can be wrong for long if nothing is ever finished, so asynchronous successive halving stays underneath: one in
`reduction_factor` of the trials that have reached a rung goes beyond it, the most promising first (Li et al. 2020,
arXiv 1810.05934). And a tenth of the new configs is drawn blindly.

To be an improvement, a trial has to end lower than the best value so far, and lower than those are expected to end that
there are: early in a study every trial that is trained to its end is better than what was seen at low rungs, and that
is no reason to train it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from sweep.samplers.curves.encoding import Array, Encoding
from sweep.samplers.curves.model import CurveModel, Form, Points
from sweep.samplers.curves.table import Curve, Ladder, Table, gather, thin
from sweep.samplers.curves.waiting import MOST_PAUSED, Continue, Waiting

STARTUP_TRIALS = 8
"""New configs that are spread over the space before the model has a say."""

BLIND = 0.1
"""The part of the new configs that is drawn without the model."""

MOST_POINTS = 220
"""That the model is given; its cost grows with their third power."""

FIT_POINTS = 90
"""That its scales are found from: so few that they are found anew for each decision, which then depends on the trials
alone: a study that was resumed decides what it would have decided."""

_PAUSE = 0.05
"""How much better the rate has to be for a trial to wait at a rung on its way: going on anew has its price."""

_CANDIDATES = 200
_REFINED, _REFINEMENTS, _SPREADS = 5, 20, (0.1, 0.03)
_SHORTLIST = 16
_LEAST_SEEN = 4
"""Trials that have to have reported before the model is asked."""


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@dataclass(frozen=True)
class New:
    """Start a trial with the config at (d,) `units`, and train it to the rung `until`."""

    units: Array
    until: int


class Search:
    """One decision, or several in a row.

    Args:
        encoding: of the space.
        ladder: the rungs.
        reduction_factor: one in this many goes beyond each rung.
        seed: of the study; the first configs are spread by it.
        startup: new configs before the model has a say.
        pausing: whether trials wait at rungs. Else a new one is meant to go to max_t, unless somebody stops it.
        allowed: whether a config, at these units, may be proposed.
    """

    def __init__(
        self,
        encoding: Encoding,
        ladder: Ladder,
        *,
        reduction_factor: int = 3,
        seed: int = 0,
        startup: int = STARTUP_TRIALS,
        pausing: bool = False,
        allowed: Callable[[Array], bool] = lambda _: True,
    ) -> None:
        self._encoding = encoding
        self._ladder = ladder
        self._factor = reduction_factor
        self._seed = seed
        self._startup = startup
        self._pausing = pausing
        self._allowed = allowed

    def decide(
        self, curves: Sequence[Curve], random: np.random.Generator, *, arriving: bool = True
    ) -> New | Continue | None:
        """What to do with a free place.

        Args:
            curves: all trials so far.
            random: of this decision.
            arriving: whether a new trial may come; None, where none may, says that no trial is worth going on with.
        """
        # The matrices are small: several threads would only get in the way of each other and of the trials.
        with _libraries().limit(limits=1, user_api="blas"):
            return self._new_or_waiting(curves, random) if arriving else self._last_ones(curves, random)

    def _last_ones(self, curves: Sequence[Curve], random: np.random.Generator) -> Continue | None:
        """No new trial will come: those go on that have to, and those that are expected to end as the best."""
        table = gather(curves, self._ladder)
        if table is None:
            return None
        model, best = self._learned(table, curves, random)
        waiting = Waiting.reckoned(self, model, best, curves, random)
        if waiting is None:
            return None
        return waiting.due(curves, self._ladder, self._factor) or waiting.hopeful(curves, self._ladder)

    def _new_or_waiting(self, curves: Sequence[Curve], random: np.random.Generator) -> New | Continue:
        first = self._ladder.rungs[0] if self._pausing else self._ladder.max_t
        if len(curves) < self._startup:
            return New(self._spread(len(curves)), first)
        table = gather(curves, self._ladder)
        if table is None or sum(bool(curve.values) for curve in curves) < _LEAST_SEEN:
            return New(self._drawn(random), first)
        model, best = self._learned(table, curves, random)
        waiting = Waiting.reckoned(self, model, best, curves, random) if self._pausing else None
        if waiting is not None:
            due = waiting.due(curves, self._ladder, self._factor)
            if due is not None:
                return due
        if random.random() < BLIND:
            return New(self._drawn(random), first)
        found = self._newest(model, best, curves, random)
        if found is None:
            # Everything near was tried; there is more value in what waits.
            return waiting.best() if waiting is not None else New(self._drawn(random), first)
        units, until, rate = found
        if waiting is not None and waiting.rate >= rate:
            return waiting.best()
        return New(units, until if self._pausing else first)

    # The model

    def _learned(self, table: Table, curves: Sequence[Curve], random: np.random.Generator) -> tuple[CurveModel, float]:
        """The model of all that was seen, and the best value that there is or is to be expected of what there is."""
        model = CurveModel(Form(self._encoding.groups, self._ladder.knots))
        model.fit(*thin(table, FIT_POINTS, random))
        seen, values = thin(table, MOST_POINTS, random)
        model.condition(seen, values)
        best = table.best
        running = [curve for curve in curves if curve.status == "running"]
        if running:
            # What is expected of running trials is taken for seen, so that places at once don't try the same.
            on_the_way = self.points(running, [curve.until or self._ladder.max_t for curve in running])
            expected = model.believe(on_the_way).mean
            best = min(best, *expected[on_the_way.left == 0.0], math.inf)
            model.condition(seen + on_the_way, np.concatenate([values, expected]))
        return model, min(best, self._at_hand(model, curves))

    def _at_hand(self, model: CurveModel, curves: Sequence[Curve]) -> float:
        """The lowest end that is expected of trials that can still be trained to it, or were; of the best ones."""
        known = [
            curve
            for curve in curves
            if curve.values and (curve.status in ("running", "paused") or curve.t >= self._ladder.max_t)
        ]
        known = sorted(known, key=lambda curve: curve.best)[:MOST_PAUSED]
        if not known:
            return math.inf
        return float(model.believe(self.points(known, [self._ladder.max_t] * len(known))).mean.min())

    def points(self, curves: Sequence[Curve], at: Sequence[int]) -> Points:
        """Where trials stand when they are at these fidelities."""
        left = np.array([self._ladder.left(t) for t in at])
        numbers = np.array([curve.number for curve in curves], dtype=np.int64)
        return Points(np.array([curve.row for curve in curves]), left, numbers)

    def rates(
        self, model: CurveModel, best: float, points: Points, at: Array
    ) -> tuple[Array, NDArray[np.int64], Array]:
        """For n trials that stand at fidelities `at`: the best rate, its rung, and the chance to become the best."""
        ends = model.believe(Points(points.rows, np.zeros(len(points)), points.trials))
        rate = np.full(len(points), -1.0)
        rung = np.full(len(points), self._ladder.max_t, dtype=np.int64)
        for t in reversed(self._ladder.rungs):
            cost = t - at
            if t == self._ladder.max_t:
                deviation = ends.deviation
            else:
                left = np.full(len(points), self._ladder.left(t))
                there = model.believe(Points(points.rows, left, points.trials))
                deviation = np.maximum(model.foreseen(ends, there, left), 1e-9)
                cost = cost + ndtr((best - ends.mean) / deviation) * (self._ladder.max_t - t)
            gain = expected_improvement(ends.mean, deviation, best)
            found = np.where(t > at, gain / np.maximum(cost, 1e-9), -1.0)
            better = found > (1 + _PAUSE) * rate
            rate, rung = np.where(better, found, rate), np.where(better, t, rung)
        return rate, rung, ndtr((best - ends.mean) / np.maximum(ends.deviation, 1e-9))

    # New configs

    def _spread(self, place: int) -> Array:
        """The config of this place among the first ones: a Latin hypercube of all of them."""
        random = np.random.default_rng((self._seed, self._startup))
        count, width = max(self._startup, 1), len(self._encoding.names)
        cells = np.stack([random.permutation(count) for _ in range(width)], axis=1)
        units = np.asarray((cells + random.random((count, width))) / count)[place]
        return units if self._allowed(units) else self._drawn(np.random.default_rng((self._seed, place)))

    def _drawn(self, random: np.random.Generator) -> Array:
        """A config by chance; the last one drawn, allowed or not, when none of many is."""
        for _ in range(100):
            units = random.random(len(self._encoding.names))
            if self._allowed(units):
                break
        return units

    def _newest(
        self, model: CurveModel, best: float, curves: Sequence[Curve], random: np.random.Generator
    ) -> tuple[Array, int, float] | None:
        """The new config with the best rate, its rung and its rate; None when all that is worth it was tried."""
        units = self._candidates(model, curves, random)
        gains = self._gains(model, best, units)
        for spread in _SPREADS:
            good = np.repeat(units[np.argsort(-gains)[:_REFINED]], _REFINEMENTS, axis=0)
            moved = random.random(good.shape) < 0.6  # noqa: PLR2004 - most of the coordinates, seldom all
            near = np.clip(good + random.normal(size=good.shape) * spread * moved, 0, 1)
            units, gains = np.concatenate([units, near]), np.concatenate([gains, self._gains(model, best, near)])
        tried = {curve.row.tobytes() for curve in curves}
        shortlist: list[Array] = []
        for place in np.argsort(-gains, kind="stable"):
            row = self._encoding.rows(units[place][None])[0].tobytes()
            if row not in tried and self._allowed(units[place]):
                tried.add(row)
                shortlist.append(units[place])
            if len(shortlist) >= _SHORTLIST:
                break
        if not shortlist:
            return None
        chosen = np.array(shortlist)
        points = self._unknown(chosen)
        rate, rung, _ = self.rates(model, best, points, np.zeros(len(points)))
        place = int(np.argmax(rate)) if self._pausing else 0
        return chosen[place], int(rung[place]), float(rate[place])

    def _candidates(self, model: CurveModel, curves: Sequence[Curve], random: np.random.Generator) -> Array:
        """(N, d): half of them anywhere, half near the trials that are expected to end best."""
        width = len(self._encoding.names)
        reported = sorted((curve for curve in curves if curve.values), key=lambda curve: curve.best)[:60]
        ends = model.believe(self.points(reported, [self._ladder.max_t] * len(reported))).mean
        top = [reported[place] for place in np.argsort(ends, kind="stable")[:8]]
        base = np.array([top[place % len(top)].units for place in range(_CANDIDATES)])
        spread = 10 ** random.uniform(-2.3, -0.4, (_CANDIDATES, 1))
        moved = random.random((_CANDIDATES, width)) < max(0.4, 1.5 / width)
        near = np.abs(base + np.where(moved, random.normal(size=base.shape) * spread, 0))
        near = np.clip(1 - np.abs(1 - near), 0, 1)
        for place in np.nonzero(self._encoding.nominal)[0]:
            # A choice has no neighbours.
            redrawn = random.random(_CANDIDATES) < 0.25  # noqa: PLR2004
            near[:, place] = np.where(redrawn, random.random(_CANDIDATES), base[:, place])
        return np.concatenate([random.random((_CANDIDATES, width)), near])

    def _gains(self, model: CurveModel, best: float, units: Array) -> Array:
        points = self._unknown(units)
        ends = model.believe(Points(points.rows, np.zeros(len(points)), points.trials))
        return expected_improvement(ends.mean, ends.deviation, best)

    def _unknown(self, units: Array) -> Points:
        # Numbers that no trial has: nothing was seen of these.
        return Points(self._encoding.rows(units), np.zeros(len(units)), -1 - np.arange(len(units)))


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """How much lower than `best` a normal variable is on average, counting 0 where it is higher; never negative."""
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return np.asarray(np.maximum(deviation * (z * ndtr(z) + density), 0.0))
