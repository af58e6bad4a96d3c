"""Asks a cluster for machines that a study could use: by reservations that wait, which Ray's autoscaler answers.

Each is a placement group of one attempt's size. It is granted when a machine has come that holds it, and is then given
back at once, for attempts have books of their own of who is where. Reservations belong to this process's job: they end
with it, however it ends, and those of several studies add up.
"""

from __future__ import annotations

import math
import time
from typing import Any

import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from sweep.core.pool import Demand

MOST = 32
"""Attempts that are asked for at once beyond what there is room for; more when those have come."""

LOOK_S = 2.0
"""How often it is looked whether something was granted."""

_GRANTED = ("CREATED", "RESCHEDULING")

REST_S = 10.0
"""How long nothing is asked for after a reservation was granted: the machine that it shows is about to be seen, and
the study's own attempts come first there."""


class Wishes:
    """What is asked for at the moment."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Demand, Any]] = {}
        self._next = 0.0

    def due(self) -> bool:
        """Whether the last question is long enough ago."""
        return time.monotonic() >= self._next

    def ask(self, attempts: float, share: Demand) -> None:
        """Ask for room for so many attempts more, and for no others.

        Args:
            attempts: beyond those that there is room for.
            share: what each holds.
        """
        self._next = time.monotonic() + LOOK_S
        if self._waiting and self._granted():
            self._next = time.monotonic() + REST_S
            return
        for key in [key for key, (demand, _) in self._waiting.items() if demand != share]:
            self._drop(key)
        wanted = math.ceil(min(attempts, MOST))
        for key in list(self._waiting)[wanted:]:
            self._drop(key)
        for _ in range(wanted - len(self._waiting)):
            group = placement_group([_bundle(share)])
            self._waiting[group.id.hex()] = (share, group)

    def end(self) -> None:
        """Ask for nothing any more."""
        for key in list(self._waiting):
            self._drop(key)

    def _granted(self) -> bool:
        """Give back what was granted; whether something was."""
        # One by one: the table of all has those, too, that the cluster ever had.
        groups = [(key, group) for key, (_, group) in self._waiting.items()]
        granted = [key for key, group in groups if placement_group_table(group).get("state") in _GRANTED]
        for key in granted:
            self._drop(key)
        return bool(granted)

    def _drop(self, key: str) -> None:
        _, group = self._waiting.pop(key)
        remove_placement_group(group)


def can_grow() -> bool:
    """Whether more machines may come: not to a Ray that this process has started for itself."""
    node = ray._private.worker.global_worker.node  # noqa: SLF001 - Ray has no public way to ask
    return node is not None and not node.head


def _bundle(share: Demand) -> dict[str, float]:
    return {name: amount for name, amount in (("CPU", share.cpu), ("GPU", share.gpu)) if amount}
