"""Finalists trained again with other seeds: which trial is the best when luck is taken out of it.

When the search has ended, each of its best trials (`search.finalists`) is trained `search.repeats` times more, with the
same config and other seeds. A finalist is then worth the mean of these repeats, made worse by its standard error: the
spread over the root of their number. The value that made it a finalist doesn't count: of many trials the best was also
lucky, and its repeats were not chosen for that.

Of several objectives each has its mean, and the front is that of what the finalists are worth. A bound is kept where
the mean over the repeats keeps it; one that isn't puts the finalist behind all trials that keep theirs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.core.objectives import Objectives, Score, foremost, front, in_order, objectives
from sweep.core.spec import Metric, StudySpec
from sweep.core.trial import Trial, TrialState


@dataclass(frozen=True)
class Worth:
    """What the repeats of a finalist say of one objective.

    Attributes:
        values: those of its repeats that came to one.
        mean: of them.
        spread: their standard deviation; 0 of a single one.
        worth: the mean, made worse by the standard error.
    """

    values: tuple[float, ...]
    mean: float
    spread: float
    worth: float


@dataclass(frozen=True)
class Verdict:
    """What the repeats of a finalist say of it.

    Attributes:
        objectives: one for each, in the file's order.
        score: by which finalists are ranked.
        broken: the bounds that the mean over the repeats breaks, in words; empty when it keeps them.
    """

    objectives: tuple[Worth, ...]
    score: Score
    broken: str

    @property
    def first(self) -> Worth:
        """Of the first objective."""
        return self.objectives[0]


class Repeats:
    """The finalists of a study and their repeats.

    Attributes:
        each: how many repeats a finalist gets.
        chosen: the finalists, best first, once the search has ended.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.each = spec.search.repeats
        self.chosen: tuple[int, ...] | None = None
        self._finalists = spec.search.finalists
        self._metric = objectives(spec)
        self._of: dict[int, list[Trial]] = {}

    def add(self, trial: Trial) -> None:
        """A repeat was created."""
        if trial.repeat_of is not None:
            self._of.setdefault(trial.repeat_of, []).append(trial)

    def of(self, finalist: int) -> list[Trial]:
        """The repeats of a trial; those that the end of a budget cut short don't count."""
        return [trial for trial in self._of.get(finalist, ()) if not _cut_short(trial)]

    def choose(self, ranked: Sequence[Trial]) -> None:
        """The search has ended, and these are its trials within the bounds, best first."""
        if self.each:
            self.chosen = tuple(trial.number for trial in ranked[: self._finalists])

    def reopen(self) -> None:
        """The search goes on: there will be other finalists."""
        self.chosen = None

    def due(self) -> int | None:
        """The finalist that is to have a further repeat; the one with the fewest, so that all have equally many."""
        counted = [(len(self.of(number)), place, number) for place, number in enumerate(self.chosen or ())]
        fewest = min(counted, default=None)
        return None if fewest is None or fewest[0] >= self.each else fewest[2]

    @property
    def settled(self) -> bool:
        """Whether each finalist has all its repeats, ended: only then can they be compared."""
        if not self.chosen:
            return False
        return all(
            len(found) >= self.each and all(trial.state.final for trial in found) for found in map(self.of, self.chosen)
        )

    def verdict(self, finalist: int) -> Verdict | None:
        """What its repeats say; None while none has come to a value."""
        complete = (trial for trial in self.of(finalist) if trial.state is TrialState.COMPLETE)
        best = [report.metrics for report in (trial.best(self._metric) for trial in complete) if report is not None]
        if not best:
            return None
        worths = tuple(_worth(metric, [metrics[metric.name] for metrics in best]) for metric in self._metric.goals)
        means = _means(self._metric, best)
        excess = sum(max(0.0, each) for each in self._metric.excess(means))
        values = {metric.name: each.worth for metric, each in zip(self._metric.goals, worths, strict=True)}
        return Verdict(worths, Score(excess, self._metric.score(values).values), self._metric.broken(means))

    def within(self, trial: Trial) -> bool:
        """Whether a trial keeps within the bounds, and its repeats do too, once they are through."""
        return self._metric.kept(trial.best(self._metric)) and not self.broken(trial)

    def broken(self, trial: Trial) -> str:
        """The bounds that a trial breaks or, once they are through, its repeats do, in words; empty without any."""
        report, verdict = trial.best(self._metric), self._settled_verdict(trial)
        own = self._metric.broken(report.metrics) if report is not None else ""
        if own or verdict is None or not verdict.broken:
            return own
        return f"{verdict.broken}, the mean of its repeats"

    def order(self, ranked: list[Trial]) -> list[Trial]:
        """Trials by their values, reordered by what the repeats say: finalists within the bounds come first."""
        if not self.settled:
            return ranked
        scored = self._scored(ranked)
        known = {trial.number for _, trial in scored}
        others = [trial for trial in ranked if trial.number not in known]
        kept = {trial.number for trial in others if self._metric.kept(trial.best(self._metric))}
        return [
            *in_order([item for item in scored if not item[0].excess], self._metric),
            *(trial for trial in others if trial.number in kept),
            *in_order([item for item in scored if item[0].excess], self._metric),
            *(trial for trial in others if trial.number not in kept),
        ]

    def front(self, trials: Sequence[Trial]) -> list[Trial]:
        """The front of these trials: of the finalists by what their repeats say, once they are through.

        Where none of them keeps within the bounds then, it is that of the others.
        """
        scored = self._scored(trials) if self.settled else []
        known = {trial.number for _, trial in scored}
        return foremost(scored, self._metric) or front([t for t in trials if t.number not in known], self._metric)

    def _scored(self, trials: Sequence[Trial]) -> list[tuple[Score, Trial]]:
        found = ((self._settled_verdict(trial), trial) for trial in trials)
        return [(verdict.score, trial) for verdict, trial in found if verdict is not None]

    def _settled_verdict(self, trial: Trial) -> Verdict | None:
        if trial.number not in (self.chosen or ()) or not self.settled:
            return None
        return self.verdict(trial.number)


def _worth(metric: Metric, values: Sequence[float]) -> Worth:
    mean = math.fsum(values) / len(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    error = spread / math.sqrt(len(values))
    return Worth(tuple(values), mean, spread, mean + error if metric.goal == "minimize" else mean - error)


def _means(metric: Objectives, reported: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each bounded metric; one that a repeat didn't report has none."""
    found = {}
    for bound in metric.bounds:
        values = [metrics.get(bound.name, math.nan) for metrics in reported]
        if not any(map(math.isnan, values)):
            # Not by fsum, which refuses infinities of both signs.
            found[bound.name] = sum(values) / len(values)
    return found


def _cut_short(trial: Trial) -> bool:
    return trial.state is TrialState.STOPPED and trial.dismissal is None
