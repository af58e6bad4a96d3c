"""Configs as points: the unit cube to search in, and the rows that the model compares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Array = NDArray[np.float64]

_ABSENT = 0.5
"""Where a number stands that a config doesn't have: in the middle, as far from both ends as can be."""


class _Number:
    """A range of numbers, or of places in an ordered list: one coordinate, one column."""

    columns = 1

    def __init__(self, known: FloatDistribution | IntDistribution) -> None:
        self._whole = isinstance(known, IntDistribution)
        self._step = known.step
        self._low, self._high = float(known.low), float(known.high)
        self._log = known.log
        # Each value of a grid gets an equal part of the cube, those at the ends too.
        half = 0.5 * self._step if self._step else 0.0
        self._from, self._to = self._scaled(self._low - half), self._scaled(self._high + half)

    def _scaled(self, value: Any) -> Any:
        return np.log(value) if self._log else value

    def values(self, units: Array) -> Array:
        """(N,) coordinates to the values there."""
        scaled = self._from + units * (self._to - self._from)
        found = np.exp(scaled) if self._log else scaled
        if self._step:
            found = self._low + np.round((found - self._low) / self._step) * self._step
        return np.asarray(np.clip(found, self._low, self._high))

    def unit(self, value: Any) -> float:
        """A value's coordinate; that of the nearer end for one outside the range."""
        inside = min(max(float(value), self._low), self._high)
        return float((self._scaled(inside) - self._from) / (self._to - self._from))

    def rows(self, units: Array) -> Array:
        """(N,) coordinates to (N, 1) columns: those of the values that they stand for."""
        return np.asarray((self._scaled(self.values(units)) - self._from) / (self._to - self._from))[:, None]

    def value(self, unit: float) -> int | float:
        """The value at a coordinate."""
        found = float(self.values(np.array([unit]))[0])
        return round(found) if self._whole else found

    def row(self, value: Any) -> Array:
        """(1,) the column of a value."""
        return np.array([self.unit(value)])

    @property
    def absent(self) -> Array:
        """(1,) the column of a config without it."""
        return np.array([_ABSENT])


class _Choice:
    """A list without order: one coordinate, a column for each value, all as far from each other."""

    def __init__(self, known: CategoricalDistribution) -> None:
        self._choices = known.choices
        self.columns = len(known.choices)

    def unit(self, value: Any) -> float:
        """A value's coordinate: the middle of its part."""
        return (self._place(value) + 0.5) / self.columns

    def rows(self, units: Array) -> Array:
        """(N,) coordinates to (N, K) columns, two different values at a distance of 1."""
        places = np.minimum((units * self.columns).astype(int), self.columns - 1)
        return np.asarray(np.eye(self.columns)[places] / math.sqrt(2))

    def value(self, unit: float) -> Any:
        """The value at a coordinate."""
        return self._choices[min(int(unit * self.columns), self.columns - 1)]

    def row(self, value: Any) -> Array:
        """(K,) the columns of a value."""
        return np.asarray(self.rows(np.array([self.unit(value)]))[0])

    def _place(self, value: Any) -> int:
        return next(place for place, known in enumerate(self._choices) if _same(known, value))

    @property
    def absent(self) -> Array:
        """(K,) the columns of a config without it."""
        return np.zeros(self.columns)


class Encoding:
    """The search space as the model sees it.

    Attributes:
        names: of the parameters, in the order of the coordinates.
        groups: for each parameter the columns that it has in a row.
        nominal: (d,) which of them are lists without order.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.names = list(space)
        self._axes = [_axis(known) for known in space.values()]
        ends = np.cumsum([0, *(axis.columns for axis in self._axes)])
        self.groups = [np.arange(start, end) for start, end in itertools.pairwise(ends)]
        self.nominal = np.array([isinstance(axis, _Choice) for axis in self._axes], dtype=bool)

    def units(self, params: Mapping[str, Any]) -> Array:
        """(d,) the coordinates of a config; the middle for what it lacks."""
        pairs = zip(self.names, self._axes, strict=True)
        return np.array([axis.unit(params[name]) if name in params else _ABSENT for name, axis in pairs])

    def row(self, params: Mapping[str, Any]) -> Array:
        """(D,) a config's row."""
        pairs = zip(self.names, self._axes, strict=True)
        return np.concatenate([axis.row(params[name]) if name in params else axis.absent for name, axis in pairs])

    def rows(self, units: Array) -> Array:
        """(N, d) coordinates to (N, D) rows of the configs that they stand for."""
        return np.concatenate([axis.rows(units[:, place]) for place, axis in enumerate(self._axes)], axis=1)

    def params(self, units: Array) -> dict[str, Any]:
        """The config at (d,) coordinates."""
        return {name: axis.value(float(unit)) for name, axis, unit in zip(self.names, self._axes, units, strict=True)}


def _axis(known: BaseDistribution) -> _Number | _Choice:
    if isinstance(known, CategoricalDistribution):
        return _Choice(known)
    if isinstance(known, FloatDistribution | IntDistribution):
        return _Number(known)
    raise TypeError(f"{known!r} is no distribution of Optuna's")


def _same(a: Any, b: Any) -> bool:
    # 1 and True are equal, and two values.
    return type(a) is type(b) and (a == b or (a != a and b != b))  # noqa: PLR0124 - NaN
