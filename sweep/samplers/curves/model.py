"""A Gaussian process over configs and how far they are trained: what all curves together say of each one's end.

The value of a trial with config x, trained so far that a part p of the way is left (1 at the first rung, 0 at max_t; on
a logarithmic scale), is

    f(x, p) = mean(p) + (1 + (shown - 1) * p) * (g(x) + w)
              + (linear in p, and a random walk in p) * d(x) + (a random walk of the trial's) + noise

g is what the config is worth in the end, d how rungs mislead about it, both Matern-5/2 with a length scale for each
parameter; w is what the trial has beside its config's neighbours. `shown` is the part of both that the first rung shows
already: near 0 where it tells nothing, negative where what leads there ends behind. All random walks start at the end,
p = 0: the nearer to it, the less can change. How large each part is, and so how far a low rung can be trusted, is
learned from trials.

The idea of one model over config and fidelity is that of freeze-thaw (Swersky et al. 2014, arXiv 1406.3896) and MOBSTER
(Klein et al. 2020, arXiv 2003.10865); the kernel is ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

from sweep.samplers.curves.encoding import Array

_FIT_STEPS = 25
_JITTER = 1e-6
_FAILED = 1e10
"""What a fit takes for the loss where the matrix isn't positive definite."""

_FIRST_RIDGE, _STEP_RIDGE = 0.05, 1.0
"""Precision of the mean curve's first value, and of its steps from rung to rung."""

# Scales, in units of the data's deviation: name, prior median, spread of its logarithm, least and most logarithm.
_SCALES = (
    ("end", 0.8, 0.6, -2.5, 1.5),  # g
    ("own", 0.2, 1.0, -5.0, 0.7),  # w
    ("linear", 0.3, 1.0, -5.0, 1.5),  # d, its linear part
    ("walk", 0.2, 1.0, -5.0, 1.5),  # d, its random walk
    ("drift", 0.15, 1.0, -5.0, 1.0),  # the trial's own random walk
    ("stretch", 1.0, 0.3, -1.0, 1.0),  # length scales of d in those of g
    ("noise", 0.05, 1.0, -5.5, 0.0),  # everywhere
    ("early", 0.1, 1.0, -5.5, 0.7),  # at p = 1, falling to 0
)
_LENGTH_SPREAD, _LENGTH_BOUND = 0.8, 3.0

_SHOWN, _SHOWN_SPREAD, _SHOWN_BOUNDS = 0.7, 0.5, (-1.0, 3.0)
"""Of what the first rung shows: less than all, and nothing certain, until trials have come to the end."""


@dataclass(frozen=True)
class Points:
    """Where something was seen, or is asked.

    Attributes:
        rows: (n, D) of the encoding.
        left: (n,) p, the part of the way that is left: 1 at the first rung, 0 at max_t.
        trials: (n,) numbers; equal ones are the same trial.
    """

    rows: Array
    left: Array
    trials: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.left)

    def __getitem__(self, part: NDArray[np.int64]) -> Points:
        return Points(self.rows[part], self.left[part], self.trials[part])

    def __add__(self, other: Points) -> Points:
        return Points(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.left, other.left]),
            np.concatenate([self.trials, other.trials]),
        )


@dataclass(frozen=True)
class Beliefs:
    """What the model thinks of n points.

    Attributes:
        mean: (n,).
        deviation: (n,) of the value without noise.
        weights: (m, n) what ties them to the m points seen; for covariances between beliefs.
    """

    mean: Array
    deviation: Array
    weights: Array


class Form:
    """What a model has before it has seen anything: its parts, and what its scales are likely to be.

    Args:
        groups: for each parameter the columns that it has in a row.
        knots: p at each rung, from the first one's 1 down to 0; the mean curve bends there.

    Attributes:
        prior: medians of the scales, as logarithms: first a length for each parameter, then `_SCALES`; last,
            and no logarithm, what the first rung shows.
        spread: their deviations.
        bounds: their least and most.
        ridge: (rungs,) precision of the mean curve's first value and steps.
    """

    def __init__(self, groups: Sequence[NDArray[np.int64]], knots: Sequence[float]) -> None:
        self.groups = list(groups)
        self.knots = knots
        count = len(groups)
        _, medians, spreads, least, most = zip(*_SCALES, strict=True)
        # More parameters lie further apart, so lengths grow with their number (cf. Hvarfner et al. 2024, 2402.02229).
        length = math.log(0.5) + 0.3 * math.log(max(count, 1))
        self.prior: Array = np.concatenate([np.full(count, length), np.log(medians), [_SHOWN]])
        self.spread: Array = np.concatenate([np.full(count, _LENGTH_SPREAD), spreads, [_SHOWN_SPREAD]])
        lengths = [(-_LENGTH_BOUND, _LENGTH_BOUND)] * count
        self.bounds = [*lengths, *zip(least, most, strict=True), _SHOWN_BOUNDS]
        self.ridge: Array = np.array([_FIRST_RIDGE, *[_STEP_RIDGE] * (len(knots) - 1)])

    def mean_basis(self, left: Array) -> Array:
        """(n, rungs): a first value, and how much of each step from rung to rung lies behind."""
        steps = [np.clip((high - left) / (high - low), 0, 1) for high, low in itertools.pairwise(self.knots)]
        return np.stack([np.ones(len(left)), *steps], axis=1)


class CurveModel:
    """See the module's head.

    Args:
        form: what it starts from.

    Attributes:
        theta: as in `Form.prior`, which it is until `fit`.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self.theta: Array = form.prior.copy()

    def _scales(self) -> Array:
        return np.asarray(np.exp(self.theta[len(self._form.groups) : -1]))

    def _shown(self, left: Array) -> Array:
        return np.asarray(1 + (self.theta[-1] - 1) * left)

    def _scaled(self, rows: Array) -> Array:
        factors = np.empty(rows.shape[1])
        for place, group in enumerate(self._form.groups):
            factors[group] = math.exp(-self.theta[place])
        return rows * factors

    def _covariance(self, a: Points, b: Points) -> Array:
        """(n, m) between values without noise."""
        end, own, linear, walk, drift, stretch, _, _ = self._scales()
        x, y = self._scaled(a.rows), self._scaled(b.rows)
        distance = np.maximum((x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T, 0)
        mine, others = self._shown(a.left), self._shown(b.left)
        found = _matern(distance)[0]
        found *= (end**2 * mine)[:, None]
        found *= others[None]
        if b.left.any():
            shared = linear**2 * a.left[:, None] * b.left[None]
            shared += walk**2 * np.minimum(a.left[:, None], b.left[None])
            found += shared * _matern(distance / stretch**2)[0]
        i, j = np.nonzero(a.trials[:, None] == b.trials[None])
        found[i, j] += own**2 * mine[i] * others[j] + drift**2 * np.minimum(a.left[i], b.left[j])
        return np.asarray(found)

    def _variance(self, left: Array) -> Array:
        end, own, linear, walk, drift, _, _, _ = self._scales()
        lasting = (end**2 + own**2) * self._shown(left) ** 2
        return np.asarray(lasting + (linear * left) ** 2 + (walk**2 + drift**2) * left)

    def noise(self, left: Array) -> Array:
        """(n,) variance of what is seen around the value."""
        *_, noise, early = self._scales()
        return np.asarray(noise**2 + (early * left) ** 2 + _JITTER)

    # Learning

    def fit(self, seen: Points, values: Array) -> None:
        """Find the most probable scales, from where they are.

        Args:
            seen: n points.
            values: (n,) of mean 0 and deviation 1.
        """
        loss = _Loss(self._form, seen, values)
        found = minimize(
            loss, self.theta, jac=True, method="L-BFGS-B", bounds=self._form.bounds, options={"maxiter": _FIT_STEPS}
        )
        self.theta = np.asarray(found.x)

    def condition(self, seen: Points, values: Array) -> None:
        """Take what was seen as known, with the scales as they are.

        Args:
            seen: n points.
            values: (n,).
        """
        self._seen = seen
        matrix = self._covariance(seen, seen)
        matrix[np.diag_indices(len(seen))] += self.noise(seen.left)
        self._factor = np.linalg.cholesky(matrix)
        basis = self._form.mean_basis(seen.left)
        target, steps = self._solve(values), self._solve(basis)
        self._steps = np.linalg.solve(steps.T @ steps + np.diag(self._form.ridge), steps.T @ target)
        self._residuals = target - steps @ self._steps

    def _solve(self, right: Array) -> Array:
        return np.asarray(solve_triangular(self._factor, right, lower=True, check_finite=False))

    # Asking

    def believe(self, points: Points) -> Beliefs:
        """What is to be expected at these points, after `condition`."""
        weights = self._solve(self._covariance(self._seen, points))
        mean = self._form.mean_basis(points.left) @ self._steps + weights.T @ self._residuals
        variance = self._variance(points.left) - (weights * weights).sum(0)
        return Beliefs(mean, np.sqrt(np.maximum(variance, 1e-10)), weights)

    def foreseen(self, ends: Beliefs, rungs: Beliefs, left: Array) -> Array:
        """How much one would learn of each trial's end by training it to a rung: the deviation of the mean to come.

        Args:
            ends: of n trials at p = 0.
            rungs: of the same trials at their rungs.
            left: (n,) p of those.
        """
        end, own, *_ = self._scales()
        tie = (end**2 + own**2) * self._shown(left) - (ends.weights * rungs.weights).sum(0)
        gained = np.abs(tie) / np.sqrt(rungs.deviation**2 + self.noise(left))
        return np.asarray(np.minimum(gained, ends.deviation))


def _matern(squared: Array) -> tuple[Array, Array, Array]:
    """The Matern-5/2 kernel of squared distances, exp(-d) and d, where d is the distance times the root of 5."""
    distance = np.sqrt(5.0 * squared)
    fading = np.exp(-distance)
    return np.asarray((1 + distance + 5 / 3 * squared) * fading), fading, distance


class _Loss:
    """The negative logarithm of the posterior, and its gradient, as a function of theta."""

    def __init__(self, form: Form, seen: Points, values: Array) -> None:
        self._form = form
        self._values = values
        self._left = seen.left
        self._basis = form.mean_basis(seen.left)
        self._same = (seen.trials[:, None] == seen.trials[None]).astype(float)
        self._product = seen.left[:, None] * seen.left[None]
        self._least = np.minimum(seen.left[:, None], seen.left[None])
        self._own_least = self._same * self._least
        self._squares = []
        for group in form.groups:
            columns = seen.rows[:, group]
            norms = (columns * columns).sum(1)
            self._squares.append(np.maximum(norms[:, None] + norms[None] - 2 * columns @ columns.T, 0))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        form, left = self._form, self._left
        count = len(self._squares)
        end, own, linear, walk, drift, stretch, noise, early = np.exp(theta[count:-1])
        each = 1 + (theta[-1] - 1) * left
        shown = each[:, None] * each[None]
        inverse_squares = np.exp(-2 * theta[:count])
        squared = sum(part * factor for part, factor in zip(self._squares, inverse_squares, strict=True))
        of_end, end_fading, end_distance = _matern(squared)
        of_way, way_fading, way_distance = _matern(squared / stretch**2)
        ways = linear**2 * self._product + walk**2 * self._least
        lasting = end**2 * of_end + own**2 * self._same
        matrix = lasting * shown + of_way * ways + drift**2 * self._own_least
        diagonal = np.diag_indices(len(left))
        matrix[diagonal] += noise**2 + (early * left) ** 2 + _JITTER
        factor, failed = dpotrf(matrix, lower=1)
        if failed:
            return _FAILED, np.zeros_like(theta)
        inverse, _ = dpotri(factor, lower=1)
        inverse = np.tril(inverse)
        inverse = inverse + inverse.T
        inverse[diagonal] *= 0.5
        solved = inverse @ self._basis
        steps = np.linalg.solve(self._basis.T @ solved + np.diag(form.ridge), solved.T @ self._values)
        residuals = self._values - self._basis @ steps
        pull = inverse @ residuals
        offset = (theta - form.prior) / form.spread
        loss = 0.5 * float(residuals @ pull) + float(np.log(np.diag(factor)).sum())
        loss += 0.5 * float((form.ridge * steps * steps).sum()) + 0.5 * float(offset @ offset)
        # The loss's derivative by the matrix, halved; everything below is its product with the matrix's derivatives.
        slope = inverse - np.outer(pull, pull)
        seen = slope * shown
        end_part = seen * (1 + end_distance) * end_fading * (-5 / 6 * end**2)
        way_part = slope * (1 + way_distance) * way_fading * ways * (-5 / 6 / stretch**2)
        both = end_part + way_part
        way = slope * of_way
        on_diagonal = np.diag(slope)
        scales = [
            float(np.vdot(seen, of_end)) * end**2,
            float(np.vdot(seen, self._same)) * own**2,
            float(np.vdot(way, self._product)) * linear**2,
            float(np.vdot(way, self._least)) * walk**2,
            float(np.vdot(slope, self._own_least)) * drift**2,
            -float(np.vdot(way_part, squared)),
            float(on_diagonal.sum()) * noise**2,
            float((on_diagonal * left * left).sum()) * early**2,
            float(left @ (slope * lasting) @ each),
        ]
        lengths = [
            -float(np.vdot(both, part)) * square for part, square in zip(self._squares, inverse_squares, strict=True)
        ]
        return loss, np.array(lengths + scales) + offset / form.spread
