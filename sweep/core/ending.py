"""Why a study takes no new trials, and what becomes of that when a person or a driver goes on with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sweep.core.books import Books
from sweep.core.limits import Limits
from sweep.core.objectives import objectives
from sweep.core.progress import Progress
from sweep.core.rivals import Rivals
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState

Cause = Literal[
    "trials", "space", "time", "gpu_hours", "cost", "failures", "target", "patience", "converged",
    "stop", "cancel", "interrupt",
]  # fmt: skip
"""What ended it: a limit of its budget, the search itself, or a person."""

SEARCHED: tuple[Cause, ...] = ("trials", "space", "target", "patience", "converged")
"""Ends of the search that leave room for repeats; after the others nothing more is to be spent."""

HOPELESS_AFTER = 3
"""When at least this many trials (and as many as run at once) have failed and none has worked, the study ends."""


@dataclass(frozen=True)
class Ending:
    """Why no new trial is created, and what that means for those at work.

    drain: they run to their ends; halt: they stop at their next report; interrupt: so they do, and a resume goes on.
    """

    kind: Literal["drain", "halt", "interrupt"]
    cause: Cause
    reason: str


class Endings:
    """What may end a study, and which of several endings stands.

    Attributes:
        ending: the one that stands; None while new trials are taken.
        targeted: whether a trial that reaches the target ends the study.
    """

    def __init__(self, spec: StudySpec, *, books: Books, limits: Limits, progress: Progress, rivals: Rivals) -> None:
        self._metric = objectives(spec)
        self._failures = spec.budget.failures
        self._books = books
        self._limits = limits
        self._progress = progress
        self._rivals = rivals
        self.ending: Ending | None = None
        self.targeted = self._metric.targets()
        self._before_interrupt: Ending | None = None
        self._failed_before = 0

    @property
    def halted(self) -> bool:
        """Whether those at work stop at their next report."""
        return self.ending is not None and self.ending.kind != "drain"

    @property
    def drained(self) -> bool:
        """Whether those at work run to their ends, and nobody comes after them."""
        return self.ending is not None and self.ending.kind == "drain"

    @property
    def stopped(self) -> bool:
        """Whether paused trials stay where they are: those of a study that halts, or that a person has stopped."""
        return self.ending is not None and (self.ending.kind != "drain" or self.ending.cause == "stop")

    def end(self, kind: Literal["drain", "halt"], cause: Cause, reason: str) -> None:
        """Something ends the study: an earlier reason stands, but "stop now" is stronger than "take no more"."""
        if self.ending is None or (self.drained and kind == "halt"):
            self.ending = Ending(kind, cause, reason)

    def interrupt(self, reason: str) -> None:
        """A person ends the run; what had ended the study before it will do so again."""
        if self.ending is None or self.ending.kind != "interrupt":
            self._before_interrupt = self.ending
        self.ending = Ending("interrupt", "interrupt", reason)

    def begin(self) -> None:
        """A driver begins: an interrupt is over."""
        if self.ending and self.ending.kind == "interrupt":
            self.ending, self._before_interrupt = self._before_interrupt, None

    def extended(self) -> None:
        """A person has extended the study, whatever had ended it: what led there is counted anew."""
        if self.ending is not None and self.ending.cause == "target":
            self.targeted = False
        self.ending = self._before_interrupt = None
        self._failed_before = self._books.failed
        self._progress.restart()

    # What ends it

    def look_at_time(self) -> None:
        """A limit of time, GPU-hours or money halts the study."""
        spent = self._limits.spent()
        if spent is not None:
            self.end("halt", *spent)

    def look_at_trials(self) -> None:
        """With as many trials proposed as may be, the study takes no more."""
        count = self._books.proposed
        if self.ending is None and count >= (self._limits.trials or math.inf):
            self.end("drain", "trials", f"budget.trials is used up: {count} trial{'s' if count != 1 else ''}")

    def look_at_failures(self, slots: int) -> None:
        """Too many failures halt the study; so do the first `slots` trials, if none of them came to anything."""
        failed = self._books.failed - self._failed_before
        limit = self._failures
        if limit is not None and failed >= limit:
            reason = f"budget.failures is used up: {failed} trial{'s' if failed != 1 else ''} failed"
            self.end("halt", "failures", reason)
        if limit is None and not self._books.worked and failed >= max(HOPELESS_AFTER, slots):
            reason = f"the first {failed} trials all failed; set budget.failures to go on regardless"
            self.end("halt", "failures", reason)

    def look_at_progress(self, trial: Trial) -> None:
        """With the end or the pause of this trial it may be plain that the study gets no better: it takes no more then.

        Repeats, and trials that a person has ended, say nothing of that.
        """
        if trial.repeat_of is not None or trial.dismissal is not None or self.halted:
            return
        if trial.state is TrialState.FAILED and self._progress.leads(trial.number):
            self._progress.correct(self._rivals.by_values()[:1])
        self._progress.finished(trial)
        exhausted = self._progress.exhausted(self._limits.trials)
        if exhausted is not None:
            self.end("drain", *exhausted)

    def look_at_target(self, trial: Trial, metrics: Mapping[str, float]) -> str | None:
        """A report that reaches the target halts the study; the reason, if this one does."""
        if not self.targeted or trial.repeat_of is not None or not self._metric.reached(metrics):
            return None
        targets = [metric for metric in self._metric.goals if metric.target is not None]
        told = ", ".join(f"{each.name} {metrics[each.name]:g} (target {each.target:g})" for each in targets)
        reason = f"trial {trial.number} reached the target: {told}"
        self.end("halt", "target", reason)
        return reason
