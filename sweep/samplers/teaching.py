"""Tells a sampler, or Optuna's journal, what is known of a study: how a resume brings them back to where they were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from sweep.core.study import StudyMachine
from sweep.core.trial import ENDS


class Learner(Protocol):
    """What a sampler and Optuna's journal have in common."""

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """A trial was created."""
        ...

    def report(self, trial: int, t: int, value: float) -> None:
        """An intermediate value."""
        ...

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], value: float | None) -> None:
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
            learner.add(trial.number, trial.config)
            for report in trial.reports:
                value = report.metrics.get(metric.name, math.nan)
                if math.isfinite(value):
                    learner.report(trial.number, report.t, value)
            if trial.state in ENDS:
                learner.tell(trial.number, ENDS[trial.state], trial.value(metric))
