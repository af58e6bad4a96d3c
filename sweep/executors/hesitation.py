"""A breath before the next worker, where workers die before they have begun anything.

Where a cluster goes down, or an image lacks what workers need, each dies at once, and with it one of the losses that a
trial may have in a row: all were used up within a moment, and the trials failed for what is no fault of theirs.
"""

from __future__ import annotations

FIRST_S, MOST_S = 0.5, 5.0


class Hesitation:
    """When another worker may be tried: twice as long after each death, at most `MOST_S`, until one has begun."""

    def __init__(self) -> None:
        self._wait = FIRST_S
        self._until = 0.0

    def died(self, now: float) -> None:
        """A worker died that had begun nothing; those that die while we wait count as one with it."""
        if self.over(now):
            self._until, self._wait = now + self._wait, min(2 * self._wait, MOST_S)

    def began(self) -> None:
        """One has begun an attempt."""
        self._wait, self._until = FIRST_S, 0.0

    def over(self, now: float) -> bool:
        """Whether there is nothing to wait for."""
        return now >= self._until
