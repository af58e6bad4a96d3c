"""Tells a sampler, or Optuna's journal, what is known of a study: how a resume brings them back to where they were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from sweep.core.objectives import Result
from sweep.core.study import StudyMachine
from sweep.core.trial import TrialState


class Learner(Protocol):
    """What a sampler and Optuna's journal have in common."""

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """A trial was created."""
        ...

    def report(self, trial: int, t: int, result: Result) -> None:
        """Intermediate values."""
        ...

    def pause(self, trial: int, *, paused: bool) -> None:
        """A trial waits for its turn, or goes on."""
        ...

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], result: Result | None) -> None:
        """The trial's end."""
        ...


def teach(study: StudyMachine, learners: Sequence[Learner]) -> None:
    """Tell each trial, in order: its config, its values, its end."""
    metric = study.metric
    for learner in learners:
        for trial in study.trials.values():
            if trial.repeat_of is not None:
                # No sampler has proposed it.
                continue
            learner.add(trial.number, trial.config_in(1))
            # Of a trial that took up another's work only what it has shown before says something of its config.
            own = trial.lineage[0].attempt if trial.lineage else math.inf
            for report in trial.reports:
                result = metric.result(report.metrics)
                if result is not None and report.attempt < own:
                    learner.report(trial.number, report.t, result)
            if trial.state is TrialState.PAUSED:
                learner.pause(trial.number, paused=True)
            if trial.end is not None:
                best = None if trial.lineage else trial.best(metric)
                learner.tell(trial.number, trial.end, metric.result(best.metrics) if best else None)
