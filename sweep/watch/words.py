"""The words for how studies, trials and attempts stand.

An event log ends where its driver does: what ran then is still at work in the replayed state. Whether it is, only the
study's lock can tell, so each word asks for `live`: whether a driver holds it.
"""

from __future__ import annotations

from typing import Literal

from sweep.core.events import Decided
from sweep.core.study import StudyMachine
from sweep.core.trial import Attempt, Trial, TrialState

StudyWord = Literal["running", "paused", "complete", "interrupted"]

_PAUSES = ("pause", "move")

STUDY_STYLES = {"running": "cyan", "paused": "yellow", "complete": "green", "interrupted": "yellow"}


def state_word(study: StudyMachine, *, live: bool) -> StudyWord:
    """How a study stands.

    running: a driver is at work; paused: it is, and starts nothing until `sweep resume`; complete: nothing is left to
    do; interrupted: its driver was stopped or died, or never began, and `sweep resume` goes on.
    """
    if live:
        return "paused" if study.paused else "running"
    return "complete" if study.ended is not None and study.ended.complete else "interrupted"


def trial_state(trial: Trial, *, live: bool) -> TrialState:
    """How a trial stands: one that ran under a driver that is gone waits for the next."""
    return TrialState.WAITING if trial.state is TrialState.RUNNING and not live else trial.state


def outcome_word(attempt: Attempt, *, live: bool) -> str:
    """How an attempt ended, or that it runs; one whose driver is gone is lost, as a resume will note."""
    if attempt.paused and attempt.outcome == "interrupted":
        return "paused"
    return attempt.outcome or ("running" if live else "lost")


class News:
    """Which decisions tell something.

    That a trial goes on between two rungs does not. Nor does what is answered to the steps that a trial had done ahead
    when it was told to pause or to move: that it does so.
    """

    def __init__(self) -> None:
        self._before: dict[int, Decided] = {}

    def tells(self, event: Decided) -> bool:
        """Whether this one does; asked of each, in their order."""
        before = self._before.get(event.trial)
        self._before[event.trial] = event
        if event.rung is not None:
            return True
        return event.action != "advance" and not (
            event.action in _PAUSES and before is not None and before.action == event.action
        )


def trial_counts(study: StudyMachine, *, live: bool) -> dict[str, int]:
    """How many trials are in each state."""
    counts = {state.value: count for state, count in study.counts().items()}
    if not live:
        counts["waiting"] += counts["running"]
        counts["running"] = 0
    return counts


def counts_text(counts: dict[str, int], *, live: bool) -> str:
    """The states that trials are in: "3 complete, 1 waiting to go on"."""
    words = {} if live else {"waiting": "waiting to go on"}
    return ", ".join(f"{count} {words.get(state, state)}" for state, count in counts.items() if count)
