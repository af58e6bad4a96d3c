"""Where a trial goes when its attempt is over: to its end, or to a further attempt."""

from __future__ import annotations

import difflib

from sweep.core import events as ev
from sweep.core.objectives import objectives
from sweep.core.protocols import Decision
from sweep.core.shares import Shares
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState

MAX_LOSSES_IN_A_ROW = 5
"""A trial that is lost this often without a report between has failed: it may be what kills its nodes."""

MAX_BATCH_SPLIT = 64
"""A batch is computed in at most so many parts; a trial that still doesn't fit has failed."""


class Fates:
    """The rules of retries, losses and memory, as the file sets them."""

    def __init__(self, spec: StudySpec, shares: Shares) -> None:
        self._spec = spec
        self._shares = shares
        self._metric = objectives(spec)

    def of(self, trial: Trial, event: ev.AttemptEnded) -> tuple[TrialState, str]:
        """The state that follows, with its reason where it is final; counts the trial's failures and losses."""
        verdict = trial.verdict
        if verdict is not None and verdict.action == "pause" and verdict.rung is not None:
            # The decision stands, however the process came to its end after it. An interrupt has no rung.
            return TrialState.PAUSED, ""
        if verdict is not None and verdict.action in ("stop", "finish"):
            return self._judged(trial, verdict)
        match event.outcome:
            case "returned":
                if trial.value(self._metric) is None:
                    return TrialState.FAILED, self._never_reported(trial)
                time_attr = self._spec.scheduler.time_attr
                return TrialState.COMPLETE, f"the training function returned at {time_attr} {trial.t}"
            case "failed":
                return self._failed(trial, event)
            case "lost":
                trial.losses += 1
                if trial.losses >= MAX_LOSSES_IN_A_ROW:
                    return TrialState.FAILED, f"lost {trial.losses} times in a row without a report between"
                return TrialState.WAITING, ""
            case "interrupted" | "stopped" | "moved":
                return TrialState.WAITING, ""

    def _judged(self, trial: Trial, verdict: Decision) -> tuple[TrialState, str]:
        if verdict is trial.dismissal:
            # Not for want of a metric.
            return TrialState.STOPPED, verdict.reason
        if trial.value(self._metric) is None:
            return TrialState.FAILED, self._never_reported(trial)
        return (TrialState.COMPLETE if verdict.action == "finish" else TrialState.STOPPED), verdict.reason

    def _failed(self, trial: Trial, event: ev.AttemptEnded) -> tuple[TrialState, str]:
        retries = self._spec.retries
        # A share that we have chosen ourselves is ours to mend.
        grow = retries.on_oom == "grow" or self._spec.resources.gpu == "auto"
        if event.cause == "gpu_memory" and grow and 0 < (held := self._shares.held(trial)) < 1:
            # No retry of the same either: at a whole GPU it is one.
            trial.gpu = min(1.0, 2 * held)
            return TrialState.WAITING, ""
        if event.cause is not None and retries.on_oom == "shrink_batch":
            split = 2 * trial.batch_split
            if split <= MAX_BATCH_SPLIT:
                # No retry of the same: the next attempt needs less. It is bounded by the number of parts.
                trial.batch_split = split
                return TrialState.WAITING, ""
        trial.failures += 1
        if trial.failures <= retries.max:
            return TrialState.WAITING, ""
        lines = (event.error or "it failed").strip().splitlines()
        return TrialState.FAILED, lines[-1]

    def left(self, trial: Trial, reason: str) -> tuple[TrialState, str]:
        """Where a paused trial goes when the study ends."""
        if trial.value(self._metric) is None:
            return TrialState.FAILED, self._never_reported(trial)
        return TrialState.STOPPED, reason

    def _never_reported(self, trial: Trial) -> str:
        seen = sorted({name for report in trial.reports for name in report.metrics} - {self._spec.scheduler.time_attr})
        missing = next((metric.name for metric in self._metric.goals if metric.name not in seen), None)
        if missing is None:
            names = [metric.name for metric in self._metric.goals]
            together = f"{' and '.join(names)} were never finite numbers at once"
            return together if len(names) > 1 else f"{names[0]} was never a finite number"
        near = difflib.get_close_matches(missing, seen, n=1)
        what = f"it reported {', '.join(seen)}" if seen else "it reported nothing"
        hint = f" Did you mean metric.name: {near[0]}?" if near else ""
        return f"the metric {missing} was never reported; {what}.{hint}"
