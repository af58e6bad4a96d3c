"""ASHA in its stopping form: a trial that reaches a rung goes on only among the best 1/reduction_factor there.

Losers stop at once and nobody waits. (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning",
arXiv 1810.05934, describes the form that pauses and promotes: `sweep.core.schedulers.pausing`. The stopping form is the
one of Ray Tune and Syne Tune.) Where we differ from theirs: a rung judges a trial once; NaN and missing values never go
on; the bracket comes from the study's seed; with several objectives the rank at a rung is that of MO-ASHA (Schmucker et
al. 2021, arXiv 2106.12639), whose epsilon-net we measure in each objective's own range.
"""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core import spec
from sweep.core.objectives import Objectives
from sweep.core.protocols import Decision
from sweep.core.schedulers.on_rungs import OnRungs
from sweep.core.schedulers.rungs import draw_bracket
from sweep.core.trial import Trial


class Asha(OnRungs):
    """The rungs of a study and what was recorded at each."""

    def __init__(self, scheduler: spec.Scheduler, metric: Objectives, *, seed: int) -> None:
        super().__init__(scheduler, metric)
        self._seed = seed

    def bracket(self, trial: int) -> int:
        """Drawn from the study's seed."""
        return draw_bracket(self._rules, self._seed, trial)

    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """Advance or stop it, if it has come to a rung."""
        standing = self.rungs.arrive(trial, t, metrics)
        if isinstance(standing, Decision):
            return standing
        # At least one place, or the first arrivals would all stop.
        places = max(1, standing.seen // self._rules.reduction_factor)
        if standing.place <= places:
            return Decision("advance", f"{standing}: within the best {places}", standing.rung)
        return Decision("stop", f"{standing}: not within the best {places}", standing.rung)
