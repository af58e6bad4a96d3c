"""What attempts hold of the machines: the run's share, one that was measured, or a trial's own that has grown."""

from __future__ import annotations

import math

from sweep.core import events as ev
from sweep.core.commands import ChooseShare
from sweep.core.pool import Demand, count, share_of
from sweep.core.spec import Resources
from sweep.core.trial import Trial

MEMORY_MARGIN = 1.25
"""With `resources.gpu: auto` a trial gets this much more than the most that any was seen to take."""


class Shares:
    """How much the next attempt of a trial holds.

    Attributes:
        run: under which driver; there is nothing to hold without one.
    """

    def __init__(self, resources: Resources) -> None:
        self.run: ev.RunStarted | None = None
        self._resources = resources
        self._part = 0.0
        self._by_nodes = False

    def begin(self, event: ev.RunStarted) -> None:
        """A driver begins."""
        self.run = event
        self._by_nodes = bool(event.nodes)

    def changed(self, event: ev.NodeChanged) -> None:
        """The cluster is another: from now on it is as if the run had started so."""
        run = self.run
        if run is not None:
            nodes = [node for node in run.nodes if node.name != event.node.name]
            nodes += [event.node] if event.change == "joined" and self._by_nodes else []
            self.run = run.model_copy(update={"nodes": nodes, "slots": event.slots, "rates": event.rates})

    def demand(self, trial: Trial | None = None) -> Demand:
        """What the next attempt of a trial holds; of a new trial, when none is given."""
        if self.run is None:
            return Demand()
        # Where there is no GPU nobody gets a share, whatever was found out elsewhere.
        gpu = self.run.gpu
        if gpu and self._part:
            gpu = share_of(self._part)
        if gpu and trial:
            gpu = max(gpu, trial.gpu)
        return Demand(gpu, self.run.cpu)

    def held(self, trial: Trial) -> float:
        """The share that a trial's latest attempt has, or had."""
        gpu = trial.attempt.gpu if trial.attempt else None
        return self.demand(trial).gpu if gpu is None else gpu

    def measured(self, event: ev.AttemptEnded) -> list[ChooseShare]:
        """With `gpu: auto`: give trials the share that holds what the largest of them took, and a margin."""
        if self.run is None or self._resources.gpu != "auto" or not (event.peak_memory and event.gpu_memory):
            return []
        before = self.demand().gpu if self._part else None
        self._part = max(self._part, MEMORY_MARGIN * event.peak_memory / event.gpu_memory)
        share = self.demand()
        if share.gpu == before:
            return []
        slots = min(count(self.run.nodes, share), self._resources.max_concurrent or math.inf)
        used, there = event.peak_memory / 2**30, event.gpu_memory / 2**30
        reason = f"trial {event.trial} took {used:.1f} of {there:.1f} GiB"
        return [ChooseShare(share.gpu, int(slots) if self._by_nodes else self.run.slots, reason)]
