"""What the report's pictures are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.watch.report.importance import Influence
from sweep.watch.report.occupancy import Occupancy, Run


@dataclass(frozen=True)
class Subject:
    """What the pictures are of.

    Attributes:
        study: its state.
        runs: the drivers' work on it.
        occupancy: how machines were used.
        influence: of its parameters, where something was learned of it.
        fates: what became of each trial.
    """

    study: StudyMachine
    runs: list[Run]
    occupancy: Occupancy
    influence: Influence | None
    fates: Mapping[int, str]

    @property
    def metric(self) -> str:
        """The first objective's name."""
        return self.study.metric.name

    @property
    def time_attr(self) -> str:
        """What fidelity is counted in."""
        return self.study.spec.scheduler.time_attr

    def searched(self) -> list[Trial]:
        """The trials that the sampler proposed."""
        return [trial for trial in self.study.trials.values() if trial.repeat_of is None]

    def fate(self, trial: Trial) -> str:
        """What became of a trial."""
        return self.fates[trial.number]

    def worked(self, time: float) -> float:
        """Seconds that drivers had worked on the study at a time."""
        return sum(max(0.0, min(time, run.ended) - run.began) for run in self.runs)


def best_so_far(subject: Subject) -> list[tuple[float, float]]:
    """When the best value became better, and to what: (seconds since 1970, value)."""
    found: list[tuple[float, float]] = []
    for time, value in sorted(
        (report.time, report.metrics[subject.metric])
        for trial in subject.searched()
        if (report := trial.best(subject.study.metric))
    ):
        if not found or subject.study.metric.better(value, found[-1][1]):
            found.append((time, value))
    return found
