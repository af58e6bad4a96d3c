"""No scheduler: each trial runs to its end."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core.protocols import Decision
from sweep.core.schedulers.scheduler import Scheduler
from sweep.core.trial import Trial


class NoScheduler(Scheduler):
    """Stops nobody: a NaN on the way may be followed by numbers, and one at the end is no result anyway."""

    def judged(self, trial: Trial) -> tuple[int, ...]:
        """Nowhere."""
        del trial
        return ()

    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """Go on."""
        del trial, t, metrics
        return Decision("advance", "scheduler.type is none: nobody is stopped")
