"""What schedulers have in common that compare trials on rungs: where they judge, and where trials pause if they do."""

from __future__ import annotations

from sweep.core import spec
from sweep.core.objectives import Objectives
from sweep.core.schedulers.rungs import Rungs, Standing
from sweep.core.schedulers.scheduler import Scheduler
from sweep.core.trial import Trial, TrialState


class OnRungs(Scheduler):
    """Judges trials at the rungs of their ladders, and nowhere else.

    Attributes:
        rungs: the ladders, and who stood where.
    """

    def __init__(self, scheduler: spec.Scheduler, metric: Objectives) -> None:
        self.rungs = Rungs(scheduler, metric)
        self._rules = scheduler

    def judged(self, trial: Trial) -> tuple[int, ...]:
        """At its rungs."""
        return self.rungs.ladder(trial.bracket)

    def ended(self, trial: Trial) -> None:
        """A failed one leaves its rungs."""
        if trial.state is TrialState.FAILED:
            self.rungs.forget(trial.number)


class PausingOnRungs(OnRungs):
    """Lets trials pause on their rungs, and remembers how each stood when it did."""

    def __init__(self, scheduler: spec.Scheduler, metric: Objectives) -> None:
        super().__init__(scheduler, metric)
        self._paused: dict[int, Standing] = {}

    def saved(self, trial: Trial) -> tuple[int, ...]:
        """At its rungs."""
        return self.judged(trial)

    def ended(self, trial: Trial) -> None:
        """It isn't paused any more; a failed one leaves its rungs."""
        self._paused.pop(trial.number, None)
        super().ended(trial)

    def left(self, trial: Trial) -> str:
        """Where it stood at last."""
        return f"{self._paused[trial.number]}: its turn never came"
