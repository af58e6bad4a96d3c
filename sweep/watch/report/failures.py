"""Why attempts failed, those with one cause together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sweep.core.study import StudyMachine
from sweep.core.trial import Attempt, Trial, TrialState
from sweep.store.paths import StudyPaths
from sweep.watch.tails import alike, tail
from sweep.watch.text import last_line


@dataclass(frozen=True)
class Cause:
    """Attempts that failed for the same reason.

    Attributes:
        text: what the first of them died of, in a line.
        attempts: (trial, attempt), in order.
        trials_failed: how many trials it ended.
        log: of the last of them, the file.
        tail: its last lines.
    """

    text: str
    attempts: list[tuple[int, int]]
    trials_failed: int
    log: Path
    tail: str


def causes(study: StudyMachine, paths: StudyPaths) -> list[Cause]:
    """The causes of failed and lost attempts, the most frequent first.

    Errors whose last lines differ in numbers only are the same.
    """
    groups: dict[str, list[tuple[Trial, Attempt | None, str]]] = {}
    for trial in study.trials.values():
        for attempt, text in _errors(trial):
            groups.setdefault(alike(text), []).append((trial, attempt, text))
    found = []
    for group in groups.values():
        numbers = [(trial.number, attempt.number if attempt else 0) for trial, attempt, _ in group]
        failed = {trial.number for trial, _, _ in group if trial.state is TrialState.FAILED}
        log = paths.trial(numbers[-1][0]).attempt_log(max(1, numbers[-1][1]))
        found.append(Cause(group[0][2], numbers, len(failed), log, tail(log)))
    return sorted(found, key=lambda cause: -len(cause.attempts))


def _errors(trial: Trial) -> list[tuple[Attempt | None, str]]:
    found: list[tuple[Attempt | None, str]] = [
        (attempt, last_line(attempt.error or "") or f"the attempt was {attempt.outcome}")
        for attempt in trial.attempts
        if attempt.outcome in ("failed", "lost")
    ]
    if trial.state is TrialState.FAILED and not found:
        # It never reported its metric, or a person's request ended it.
        found.append((trial.attempt, trial.reason))
    return found
