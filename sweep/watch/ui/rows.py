"""The table of trials: a short row each, and which have changed since when."""

from __future__ import annotations

import itertools
from typing import Any

from sweep.core import events as ev
from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial, TrialState
from sweep.watch.text import plain
from sweep.watch.words import trial_state

_OF_ONE = (
    ev.TrialCreated, ev.AttemptStarted, ev.Reported, ev.Decided, ev.WentOn, ev.Exploited, ev.AttemptEnded,
)  # fmt: skip
"""Events that change the trial that they name."""


class Rows:
    """The rows of a study that is followed.

    The first column is the trial's number.
    """

    def __init__(self) -> None:
        self._rows: dict[int, list[Any]] = {}
        self._revisions: dict[int, int] = {}
        self._changed: set[int] = set()
        self._open: dict[int, TrialState] = {}
        self._all = False

    def seen(self, event: ev.AnyEvent) -> None:
        """Note whose row an event changes."""
        if isinstance(event, _OF_ONE):
            self._changed.add(event.trial)
        elif isinstance(event, ev.Controlled | ev.RunStarted):
            # A person's request may open ended trials again.
            self._all = True

    def all_changed(self) -> None:
        """Each row may have changed."""
        self._all = True

    def renew(self, study: StudyMachine, revision: int, *, live: bool) -> None:
        """Write the changed rows anew."""
        # The end of a study moves trials that no event names.
        moved = {number for number, state in self._open.items() if study.trials[number].state is not state}
        names = _parameters(study)
        for number in study.trials if self._all else sorted(self._changed | moved):
            trial = study.trials[number]
            row = _row(study, trial, names, live=live)
            if trial.state.final:
                self._open.pop(number, None)
            else:
                self._open[number] = trial.state
            if row != self._rows.get(number):
                self._rows[number] = row
                # Taken out first, so that they stand in the order of their changes.
                self._revisions.pop(number, None)
                self._revisions[number] = revision
        self._changed.clear()
        self._all = False

    def since(self, revision: int) -> list[list[Any]]:
        """Rows that have changed after a revision, by number."""
        latest_first = reversed(self._revisions.items())
        changed = itertools.takewhile(lambda each: each[1] > revision, latest_first)
        return [self._rows[number] for number in sorted(number for number, _ in changed)]

    def revision(self, number: int) -> int:
        """When a trial's row changed last; 0 where there is none."""
        return self._revisions.get(number, 0)

    def columns(self, study: StudyMachine) -> list[dict[str, Any]]:
        """Each column's title and kind, in the rows' order."""
        goals = [
            {"title": goal.name, "kind": "metric", "best": "low" if goal.goal == "minimize" else "high"}
            for goal in study.metric.goals
        ]
        return [
            {"title": "trial", "kind": "trial"},
            {"title": "state", "kind": "state"},
            {"title": study.spec.scheduler.time_attr, "kind": "number"},
            *goals,
            *({"title": name, "kind": "parameter"} for name in _parameters(study)),
            {"title": "seconds", "kind": "seconds"},
            {"title": "why", "kind": "text"},
        ]


def _parameters(study: StudyMachine) -> list[str]:
    same = constants(study.spec)
    return [name for name in study.spec.parameters if name not in same]


def _row(study: StudyMachine, trial: Trial, names: list[str], *, live: bool) -> list[Any]:
    report = trial.best(study.metric) or (trial.reports[-1] if trial.reports else None)
    metrics = report.metrics if report else {}
    row = [
        trial.number,
        trial_state(trial, live=live).value,
        trial.t,
        *(metrics.get(goal.name) for goal in study.metric.goals),
        *(trial.config.get(name) for name in names),
        round(trial.duration_s, 1),
        f"repeats trial {trial.repeat_of}" if trial.repeat_of is not None and not trial.why else trial.why,
    ]
    found: list[Any] = plain(row)
    return found
