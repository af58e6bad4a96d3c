"""An attempt on a worker: how long it has been silent, and until when it has to end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from sweep.core.protocols import Decision, Placement
from sweep.executors.hosts import Host

STUCK_S = 60.0
"""How long a training function may take to end once it was told to, or FACTOR times its longest step."""

FACTOR = 5


@dataclass
class Work:
    """An attempt on a worker.

    Attributes:
        placement: what is run.
        host: the worker.
        stream: its messages.
        started: whether it has begun.
        oom_kills: how many processes the kernel had killed there for want of memory when it began, where that is known.
        decision: what ends it, once it was told.
        deadline: until when it has to end.
        last_report: when it was last heard of; before the first report, when it was sent to the worker.
        longest_s: its longest step.
    """

    placement: Placement
    host: Host
    stream: Any
    started: bool = False
    oom_kills: int | None = None
    decision: Decision | None = None
    deadline: float | None = None
    last_report: float = field(default_factory=time.monotonic)
    longest_s: float = 0.0

    @property
    def key(self) -> tuple[int, int]:
        """Trial and attempt."""
        return self.placement.trial, self.placement.attempt

    @property
    def batch(self) -> int | None:
        """Which attempts hold one share together: those that the worker trains as one batch."""
        return self.host.number if self.host.key is not None else None

    def reported(self, now: float) -> None:
        """A step has ended."""
        self.longest_s, self.last_report = max(self.longest_s, now - self.last_report), now

    def told(self, decision: Decision, now: float) -> None:
        """It has to end.

        That counts from the first word on: a function that swallows it, and goes on reporting, is stuck too.
        """
        self.decision = decision
        if self.deadline is None:
            self.deadline = now + max(STUCK_S, FACTOR * self.longest_s)

    def stuck(self, now: float) -> bool:
        """Whether it was told to end, and hasn't."""
        return self.deadline is not None and self.deadline < now

    def late(self, until: float) -> bool:
        """Whether it was sent to its worker before `until` and hasn't begun."""
        return not self.started and self.last_report < until
