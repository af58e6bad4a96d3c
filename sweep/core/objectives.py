"""What a report is worth: one objective or several, and the bounds that a result has to keep within."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from sweep.core.ranking import layers
from sweep.core.spec import Metric, StudySpec

if TYPE_CHECKING:
    from sweep.core.trial import Report, Trial


@dataclass(frozen=True)
class Result:
    """What a sampler is told of a report.

    Attributes:
        values: one for each objective, in the file's order and the user's own direction; finite.
        excess: one for each bound, how far the metric is beyond it: at most 0 where it keeps within. Infinite where it
            wasn't reported.
    """

    values: tuple[float, ...]
    excess: tuple[float, ...] = ()

    @property
    def value(self) -> float:
        """The first objective."""
        return self.values[0]

    @property
    def feasible(self) -> bool:
        """Whether all bounds are kept."""
        return all(each <= 0 for each in self.excess)


class Score(NamedTuple):
    """A report as ranks compare it: the smaller the better, the bounds first.

    Attributes:
        excess: by how much bounds are broken, summed; 0 where all are kept.
        values: the objectives, each turned so that lower is better.
    """

    excess: float
    values: tuple[float, ...]


class Objectives:
    """The metrics of a study: those with a goal, and those with a bound.

    Where only one value counts (a target, a table's column, the order within a front) it is the first objective.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.goals = tuple(metric for metric in metrics if metric.goal is not None)
        self.bounds = tuple(metric for metric in metrics if metric.bounded)
        self.first = self.goals[0]
        self._signs = tuple(1 if metric.goal == "minimize" else -1 for metric in self.goals)
        # With one objective and no bounds, as in most studies, a report is rated without further ado: a resume does it
        # for each report of each trial.
        self._plain = len(self.goals) == 1 and not self.bounds

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' names, in the file's order."""
        return tuple(metric.name for metric in self.goals)

    @property
    def name(self) -> str:
        """The first objective's name."""
        return self.first.name

    @property
    def goal(self) -> Literal["minimize", "maximize"]:
        """Which way the first objective is better."""
        return "maximize" if self.first.goal == "maximize" else "minimize"

    @property
    def several(self) -> bool:
        """Whether the result is a front rather than one trial."""
        return len(self.goals) > 1

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is a strictly better value of the first objective than `b`."""
        return self.first.better(a, b)

    def problem(self, metrics: Mapping[str, float]) -> str | None:
        """Why a report can't be compared with others; None when it can."""
        for metric in self.goals:
            value = metrics.get(metric.name)
            if value is None:
                return f"{metric.name} is missing"
            if math.isnan(value):
                return f"{metric.name} is nan"
        return None

    def excess(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """How far each bound is exceeded."""
        return tuple(metric.excess(metrics.get(metric.name, math.nan)) for metric in self.bounds)

    def score(self, metrics: Mapping[str, float]) -> Score:
        """How a report without a `problem` ranks."""
        if self._plain:
            return Score(0, (self._signs[0] * metrics[self.first.name],))
        values = self.turned(tuple(metrics[metric.name] for metric in self.goals))
        return Score(sum(max(0.0, each) for each in self.excess(metrics)), values)

    def turned(self, values: Iterable[float]) -> tuple[float, ...]:
        """The objectives' values, each turned so that lower is better."""
        return tuple(sign * value for sign, value in zip(self._signs, values, strict=True))

    def result(self, metrics: Mapping[str, float]) -> Result | None:
        """What a sampler is told; None unless each objective is a finite number."""
        if self._plain:
            value = metrics.get(self.first.name, math.nan)
            return Result((value,)) if math.isfinite(value) else None
        values = tuple(metrics.get(metric.name, math.nan) for metric in self.goals)
        return Result(values, self.excess(metrics)) if all(map(math.isfinite, values)) else None

    def rated(self, metrics: Mapping[str, float]) -> Score | None:
        """How a report ranks; None unless each objective is a finite number."""
        if self._plain:
            value = metrics.get(self.first.name, math.nan)
            return Score(0, (self._signs[0] * value,)) if math.isfinite(value) else None
        return None if self.result(metrics) is None else self.score(metrics)

    def reached(self, metrics: Mapping[str, float]) -> bool:
        """Whether a report has come up to every target that the file names, within all bounds."""
        targets = [metric for metric in self.goals if metric.target is not None]
        return (
            bool(targets)
            and all(each <= 0 for each in self.excess(metrics))
            and all(_at_target(metric, metrics.get(metric.name, math.nan)) for metric in targets)
        )

    def broken(self, metrics: Mapping[str, float]) -> str:
        """The bounds that a report breaks, in words; empty when there are none."""
        pairs = zip(self.bounds, self.excess(metrics), strict=True)
        return ", ".join(metric.told(metrics.get(metric.name)) for metric, excess in pairs if excess > 0)

    def kept(self, report: Report | None) -> bool:
        """Whether there is such a report, and it keeps within all bounds."""
        return report is not None and not any(each > 0 for each in self.excess(report.metrics))

    def targets(self) -> bool:
        """Whether the file names a target."""
        return any(metric.target is not None for metric in self.goals)


def objectives(spec: StudySpec) -> Objectives:
    """The objectives of a search file."""
    return Objectives(spec.metrics)


def _at_target(metric: Metric, value: float) -> bool:
    return not math.isnan(value) and metric.target is not None and not metric.better(metric.target, value)


def ranked(trials: Iterable[Trial], metric: Objectives) -> list[Trial]:
    """Trials that have a value, best first: those within the bounds before the others, of equals the earlier one.

    Of several objectives, the front comes first, then the front of the rest, and so on; within one by the first
    objective.
    """
    return in_order(_scored(trials, metric), metric)


def front(trials: Iterable[Trial], metric: Objectives) -> list[Trial]:
    """The trials within the bounds that no other beats in every objective, by the first objective.

    With one objective it is the best trial alone.
    """
    return foremost(_scored(trials, metric), metric)


def in_order(scored: Sequence[tuple[Score, Trial]], metric: Objectives) -> list[Trial]:
    """Trials in the order of these scores; see `ranked`."""
    if not metric.several:
        return [trial for _, trial in sorted(scored, key=_by_score)]
    within = [item for item in scored if not item[0].excess]
    beyond = [item for item in scored if item[0].excess]
    layer = layers([score.values for score, _ in within])
    order = sorted(range(len(within)), key=lambda i: (layer[i], _by_score(within[i])))
    return [*(within[i][1] for i in order), *(trial for _, trial in sorted(beyond, key=_by_score))]


def foremost(scored: Sequence[tuple[Score, Trial]], metric: Objectives) -> list[Trial]:
    """The best by these scores; see `front`."""
    within = [item for item in scored if not item[0].excess]
    if not metric.several:
        return [min(within, key=_by_score)[1]] if within else []
    layer = layers([score.values for score, _ in within], most=1)
    best = [item for item, place in zip(within, layer, strict=True) if place == 0]
    return [trial for _, trial in sorted(best, key=_by_score)]


def _scored(trials: Iterable[Trial], metric: Objectives) -> list[tuple[Score, Trial]]:
    found = ((trial.best(metric), trial) for trial in trials)
    return [(metric.score(best.metrics), trial) for best, trial in found if best is not None]


def _by_score(item: tuple[Score, Trial]) -> tuple[Score, int]:
    score, trial = item
    return score, trial.number
