"""Which parameters mattered, and how sure that is.

A forest learns the trials' values from their configs, and is asked about trials that it hasn't seen. A parameter is as
important as the forest becomes worse when its values are shuffled among those (Breiman 2001, permutation importance),
in parts of the variance that it explains. The trials are split several times; the spread over the splits is how sure it
is. A forest that explains nothing of unseen trials says so, and then no parameter is important.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.core.space import Space
from sweep.core.study import StudyMachine
from sweep.watch.report.axes import Axis, axes
from sweep.watch.report.comparing import ENOUGH, Compared, compared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TREES = 48
FOLDS = 5
SHUFFLES = 4
MOST_TRIALS = 1000
"""Of which a forest learns: the latest say where the search looked, the first are the most even."""


@dataclass(frozen=True)
class Weight:
    """What a parameter meant.

    Attributes:
        axis: the parameter.
        mean: its part of what is lost when parameters are shuffled, all together 1; a little below 0 when it means
            nothing.
        low, high: between these it was in 8 of 10 splits and shuffles.
    """

    axis: Axis
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Influence:
    """What was learned of a study's parameters.

    Attributes:
        compared: of which trials, at which fidelity.
        axes: the parameters that varied, in the file's order.
        weights: each one's, the largest first.
        explained: parts of the variance among unseen trials that the forest explains, at least 0.
    """

    compared: Compared
    axes: list[Axis]
    weights: list[Weight]
    explained: float
    _forest: Any = field(repr=False)
    _places: NDArray[np.float64] = field(repr=False)

    def along(self, axis: Axis, points: int = 24) -> tuple[list[float], list[float]]:
        """Places along a parameter, and the value that the forest expects there, averaged over the trials' others."""
        import numpy as np

        column = self.axes.index(axis)
        places = _grid(axis, points)
        others = self._sample(64)
        rows = np.repeat(others, len(places), axis=0)
        rows[:, column] = np.tile(places, len(others))
        expected = self._forest.predict(rows).reshape(len(others), len(places)).mean(axis=0)
        return places, [float(each) for each in expected]

    def over(self, x: Axis, y: Axis, points: int = 28) -> tuple[list[float], list[float], list[list[float]]]:
        """Places along two parameters, and what the forest expects at each pair: a row for each place of `y`."""
        import numpy as np

        wide, high = _grid(x, points), _grid(y, points)
        others = self._sample(24)
        rows = np.repeat(others, len(wide) * len(high), axis=0)
        grid_x, grid_y = np.meshgrid(wide, high)
        rows[:, self.axes.index(x)] = np.tile(grid_x.ravel(), len(others))
        rows[:, self.axes.index(y)] = np.tile(grid_y.ravel(), len(others))
        expected = self._forest.predict(rows).reshape(len(others), len(high), len(wide)).mean(axis=0)
        return wide, high, [[float(each) for each in row] for row in expected]

    def _sample(self, number: int) -> NDArray[np.float64]:
        import numpy as np

        chosen = np.linspace(0, len(self._places) - 1, min(number, len(self._places))).round().astype(int)
        sample: NDArray[np.float64] = self._places[chosen]
        return sample


def influence(study: StudyMachine) -> Influence | None:
    """What the study's trials say of its parameters; None of fewer than twelve, or of values that are all the same."""
    found = compared(study)
    if len(found.trials) < ENOUGH or len(set(found.values)) == 1:
        return None
    varied = axes(Space(study.spec), [trial.config for trial in found.trials])
    if not varied:
        return None
    return _learned(_thinned(found), varied, best_first=study.metric.goal == "minimize")


def _thinned(found: Compared) -> Compared:
    extra = len(found.trials) - MOST_TRIALS
    if extra <= 0:
        return found
    kept = [*range(MOST_TRIALS // 2), *range(len(found.trials) - MOST_TRIALS // 2, len(found.trials))]
    return Compared(found.t, [found.trials[each] for each in kept], [found.values[each] for each in kept])


def _learned(found: Compared, varied: list[Axis], *, best_first: bool) -> Influence:
    import numpy as np
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    places = np.array([[_cell(axis, trial.config) for axis in varied] for trial in found.trials])
    values = _tamed(np.array(found.values), best_first=best_first)
    forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=0)
    drops: list[Any] = []
    scores = []
    for number, (seen, unseen) in enumerate(KFold(FOLDS, shuffle=True, random_state=0).split(places)):
        forest.fit(places[seen], values[seen])
        scores.append(forest.score(places[unseen], values[unseen]))
        shuffled = permutation_importance(
            forest, places[unseen], values[unseen], n_repeats=SHUFFLES, random_state=number
        )
        drops.append(shuffled["importances"])
    each: NDArray[np.float64] = np.concatenate(drops, axis=1)
    means = each.mean(axis=1)
    each /= np.maximum(means, 0).sum() or 1.0
    low, high = np.quantile(each, [0.1, 0.9], axis=1)
    weights = [
        Weight(axis, float(each[row].mean()), float(low[row]), float(high[row])) for row, axis in enumerate(varied)
    ]
    forest.fit(places, values)
    explained = max(0.0, float(np.mean(scores)))
    return Influence(found, varied, sorted(weights, key=lambda one: -one.mean), explained, forest, places)


def _cell(axis: Axis, config: dict[str, Any]) -> float:
    place = axis.place(config)
    # Trees cut between places: one below all others sets those apart that don't have the parameter.
    return axis.low - max(1.0, axis.high - axis.low) if place is None else place


def _tamed(values: NDArray[np.float64], *, best_first: bool) -> NDArray[np.float64]:
    """Values without the far end of the bad ones: a training that went wild says no more than that it was bad."""
    import numpy as np

    best, middle = np.min(values) if best_first else np.max(values), np.median(values)
    worst = middle + 2 * (middle - best)
    return np.minimum(values, worst) if best_first else np.maximum(values, worst)


def _grid(axis: Axis, points: int) -> list[float]:
    if axis.listed:
        return [float(place) for place in range(round(axis.high) + 1)]
    return [axis.low + (axis.high - axis.low) * step / (points - 1) for step in range(points)]
