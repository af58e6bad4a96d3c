"""Successive halving in which the sampler says who goes on, and how far: its model has seen the curves, not just ranks.

A new trial, and one that goes on, is told the rung it is on its way to (`Trial.until`). There it pauses; when a place
is free the sampler decides whether a paused trial goes on or a new one begins (`sweep.samplers.curves`). Its decisions
are events, so that the same history gives the same study without the model.

A training function that writes no checkpoint has nothing to go on from. Its trials are judged where they would have
paused, as in ASHA's stopping form.
"""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core.protocols import Decision
from sweep.core.schedulers.on_rungs import PausingOnRungs
from sweep.core.trial import Trial


class Guided(PausingOnRungs):
    """See the module's head.

    A trial is judged at rungs below the one it is on its way to, too: where it has reported no number there, it stops.
    """

    advised = True

    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """Pause it where it was on its way to."""
        standing = self.rungs.arrive(trial, t, metrics)
        if isinstance(standing, Decision):
            return standing
        until = self._until(trial)
        if t < until:
            return Decision("advance", f"{standing}: on its way to rung {until}", standing.rung)
        if trial.reports[-1].checkpoint:
            self._paused[trial.number] = standing
            return Decision("pause", f"{standing}: it waits for its turn", standing.rung)
        places = max(1, standing.seen // self._rules.reduction_factor)
        standing_told = f"{standing}, without a checkpoint to wait with"
        if standing.place <= places:
            return Decision("advance", f"{standing_told}: within the best {places}", standing.rung)
        return Decision("stop", f"{standing_told}: not within the best {places}", standing.rung)

    def _until(self, trial: Trial) -> int:
        return self._rules.max_t if trial.until is None else trial.until
