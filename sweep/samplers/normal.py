"""A normal distribution over the unit cube that moves to where good points are: CMA-ES.

After N. Hansen, The CMA Evolution Strategy: A Tutorial (arXiv 1604.00772), with all weights of its table 1, negative
ones too. It differs where points don't come from the distribution that learns from them: trials that run at once end
late, constraints mend what was drawn, and a person gives points. Their steps are cut to a length that drawn ones seldom
have (Hansen 2011, Injecting External Solutions Into CMA-ES, arXiv 1110.4181), so that none of them throws it off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

SIGMA = 0.25
"""Of the first distribution, around the middle: nearly all of the cube lies within two of these."""

_STALLED = 1e-4
"""A distribution this narrow in each dimension has nothing left to find."""


@dataclass(frozen=True)
class Rates:
    """How fast a distribution learns: by its dimension and the points of a generation (Hansen, table 1)."""

    dimension: int
    size: int

    @cached_property
    def _raw(self) -> Vector:
        return np.asarray(np.log((self.size + 1) / 2) - np.log(np.arange(1, self.size + 1)))

    @cached_property
    def parents(self) -> int:
        """The better half, which the mean moves to."""
        return self.size // 2

    @cached_property
    def weight(self) -> float:
        """The effective number of parents."""
        good = self._raw[: self.parents]
        return float(good.sum() ** 2 / (good**2).sum())

    @cached_property
    def path(self) -> float:
        """Of the covariance's path."""
        n = self.dimension
        return (4 + self.weight / n) / (n + 4 + 2 * self.weight / n)

    @cached_property
    def one(self) -> float:
        """Of the covariance from its path."""
        return 2 / ((self.dimension + 1.3) ** 2 + self.weight)

    @cached_property
    def many(self) -> float:
        """Of the covariance from the points."""
        wanted = 2 * (self.weight - 2 + 1 / self.weight) / ((self.dimension + 2) ** 2 + self.weight)
        return float(min(1 - self.one, wanted))

    @cached_property
    def step_path(self) -> float:
        """Of the step size's path."""
        return (self.weight + 2) / (self.dimension + self.weight + 5)

    @cached_property
    def damping(self) -> float:
        """Of the step size."""
        return 1 + 2 * max(0.0, math.sqrt((self.weight - 1) / (self.dimension + 1)) - 1) + self.step_path

    @cached_property
    def weights(self) -> Vector:
        """Of the points, best first; the worse half's are below 0."""
        raw, good, n = self._raw, self._raw > 0, self.dimension
        bad = raw[self.parents :]
        weight = float(bad.sum() ** 2 / (bad**2).sum())
        room = [1 + self.one / self.many, 1 + 2 * weight / (self.weight + 2)] if self.many else [0.0]
        room += [(1 - self.one - self.many) / (n * self.many)] if self.many else []
        scale = np.where(good, 1 / raw[good].sum(), min(room) / max(-raw[~good].sum(), 1e-12))
        return np.asarray(raw * scale)

    @cached_property
    def length(self) -> float:
        """The expected length of a standard normal vector."""
        n = self.dimension
        return math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))


@dataclass(frozen=True)
class Normal:
    """A distribution, and the paths by which it learns.

    Attributes:
        mean: (n,) within the unit cube, or a little outside.
        sigma: the step size.
        covariance: (n, n).
        path, step_path: (n,) where the mean has been going.
        generation: from 0.
        size: points of a generation.
    """

    mean: Vector
    sigma: float
    covariance: Matrix
    path: Vector
    step_path: Vector
    generation: int
    size: int

    @classmethod
    def first(cls, mean: Vector, size: int) -> Normal:
        """A wide one around a point."""
        n = len(mean)
        return cls(mean, SIGMA, np.eye(n), np.zeros(n), np.zeros(n), 0, size)

    @cached_property
    def _axes(self) -> tuple[Vector, Matrix]:
        squares, axes = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        return np.sqrt(np.maximum(squares, 1e-16)), axes

    @property
    def spread(self) -> Vector:
        """(n,) the standard deviation of each coordinate."""
        return np.asarray(self.sigma * np.sqrt(np.diag(self.covariance)))

    def stalled(self, steps: Vector) -> bool:
        """Whether points drawn from it would hardly differ.

        Args:
            steps: (n,) the room of one value in each dimension; 0 in a continuous one.
        """
        return bool(np.all(self.spread < np.maximum(_STALLED, 0.1 * steps)))

    def draw(self, random: np.random.Generator, steps: Vector) -> Vector:
        """A point in the unit cube.

        In a dimension of few values it varies by a part of one at least, or it would never leave the one it is at.
        """
        lengths, axes = self._axes
        more = np.sqrt(np.maximum(0.0, (0.3 * steps) ** 2 - self.spread**2))
        point = self.mean
        for _ in range(10 * len(self.mean)):
            normal, extra = random.standard_normal((2, len(self.mean)))
            point = self.mean + self.sigma * (axes @ (lengths * normal)) + more * extra
            if np.all((point >= 0) & (point <= 1)):
                break
        return np.clip(point, 0.0, 1.0)

    def learn(self, points: Matrix) -> Normal:
        """The next distribution.

        Args:
            points: (size, n) of a generation, best first.
        """
        n, rates = len(self.mean), Rates(len(self.mean), self.size)
        lengths, axes = self._axes
        steps = (points - self.mean) / self.sigma
        standard = steps @ axes / lengths
        norms = np.linalg.norm(standard, axis=1)
        cut = np.minimum(1.0, (math.sqrt(n) + 2 * n / (n + 2)) / np.maximum(norms, 1e-12))
        steps, standard = steps * cut[:, None], standard * cut[:, None]
        weights = rates.weights
        good = weights[: rates.parents]
        move, standard_move = good @ steps[: rates.parents], axes @ (good @ standard[: rates.parents])
        c = rates.step_path
        step_path = (1 - c) * self.step_path + math.sqrt(c * (2 - c) * rates.weight) * standard_move
        norm = float(np.linalg.norm(step_path))
        sigma = self.sigma * math.exp(min(1.0, c / rates.damping * (norm / rates.length - 1)))
        settled = norm / math.sqrt(1 - (1 - c) ** (2 * (self.generation + 2)))
        going = 1.0 if settled < (1.4 + 2 / (n + 1)) * rates.length else 0.0
        d = rates.path
        path = (1 - d) * self.path + going * math.sqrt(d * (2 - d) * rates.weight) * move
        # Bad points count by their direction alone, so that a far one can't make the matrix indefinite.
        lengths_of_bad = np.maximum((norms * cut) ** 2, 1e-12)
        signed = np.where(weights >= 0, weights, weights * n / lengths_of_bad)
        kept = 1 + rates.one * (1 - going) * d * (2 - d) - rates.one - rates.many * weights.sum()
        covariance = kept * self.covariance + rates.one * np.outer(path, path)
        covariance = covariance + rates.many * (steps.T * signed) @ steps
        return Normal(
            mean=self.mean + self.sigma * move,
            # Wider than the cube is no use.
            sigma=min(sigma, 1.0 / math.sqrt(max(float(np.diag(covariance).max()), 1e-12))),
            covariance=covariance,
            path=path,
            step_path=step_path,
            generation=self.generation + 1,
            size=self.size,
        )
