"""Runs attempts one after the other in this process: for tests, for pdb, and for a machine where Ray is too much."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sweep.core.capacity import grant
from sweep.core.events import Outcome
from sweep.core.limits import check_prices
from sweep.core.protocols import Capacity, Decision, Director, GpuMemory, Placement, RunAttempt
from sweep.core.spec import Resources
from sweep.executors.messages import Message, failure
from sweep.machine import this_machine

IDLE_S = 0.5
"""How often it is looked whether there is something to do again."""


class InlineExecutor:
    """See `sweep.core.protocols.Executor`; one slot."""

    name = "inline"

    def __init__(self, run_attempt: RunAttempt, resources: Resources) -> None:
        self._run_attempt = run_attempt
        self._resources = resources

    def open(self) -> Capacity:
        """One slot, here.

        Raises:
            ResourceError: this machine can't hold a trial.
        """
        here = this_machine(memory=self._resources.gpu_memory is not None)
        granted = grant(self._resources, [here])
        check_prices(self._resources, [here])
        notes = granted.notes
        if self._resources.isolation == "process":
            notes = (*notes, "resources.isolation: process has no effect here: inline runs trials in its own process")
        return Capacity(slots=1, gpu=granted.gpu, cpu=granted.cpu, notes=notes)

    def run(self, director: Director) -> None:
        """Run each attempt to its end before the next is taken."""
        while not director.finished:
            placement = director.next_placement()
            if placement is not None:
                self._attempt(director, placement)
            elif not director.finished:
                # The study is paused.
                time.sleep(IDLE_S)

    def _attempt(self, director: Director, placement: Placement) -> None:
        device = "cuda" if placement.gpu else "cpu"
        director.started(placement, node="this process", device=device)
        channel = _Direct(director, placement)
        outcome: Outcome = "failed"
        end = Message("end")
        try:
            outcome = self._run_attempt(placement, channel)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 - whatever a training function raises is the trial's failure
            end = failure(raised)
            outcome = end.outcome or "failed"
        if channel.defect is not None:
            raise channel.defect from None
        director.ended(placement, outcome, end.error, end.cause)

    def close(self) -> None:
        """Nothing to let go."""


class _Direct:
    """A channel that is a function call.

    What the driver raises goes through the training function, which may catch it; it must neither be lost there nor be
    taken for the function's own failure.
    """

    def __init__(self, director: Director, placement: Placement) -> None:
        self._director = director
        self._placement = placement
        self.defect: Exception | None = None

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        try:
            return self._director.reported(self._placement, metrics, checkpoint)
        except Exception as error:
            self.defect = error
            raise

    def measured(self, memory: GpuMemory) -> None:
        self._director.measured(self._placement, memory)
