"""Whether a study still gets better: patience, and what the rest of its budget would likely buy."""

from __future__ import annotations

import math
from typing import Literal

from sweep.core.convergence import CONFIDENCE, MIN_TRIALS, Outlook, outlook
from sweep.core.spec import StudySpec

_LOOK_AGAIN = 1.05
"""What more trials would buy is estimated anew when there are so many times the trials of the last time."""


class Progress:
    """The values of a study's trials in the order in which they ended, and how long ago the best one came.

    Attributes:
        fruitless: trials in a row that have ended since, none of them better.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._metric = spec.objective
        self._sign = 1 if self._metric.goal == "minimize" else -1
        self._patience = spec.budget.patience
        self._min_improvement = spec.budget.min_improvement
        self._values: list[float] = []
        self._best: tuple[float, int] | None = None
        self._next_look = float(MIN_TRIALS)
        self.fruitless = 0

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return len(self._values)

    def reported(self, trial: int, value: float) -> None:
        """A trial reported a finite value."""
        if self._best is None or self._sign * value < self._best[0]:
            self._best = (self._sign * value, trial)
            self.fruitless = 0

    def finished(self, trial: int, value: float | None) -> None:
        """A trial came to its end with this as its value; None for one that failed."""
        self._values.append(math.inf if value is None else self._sign * value)
        # A failed trial says nothing of what can be found.
        if value is not None and self._best is not None and self._best[1] != trial:
            self.fruitless += 1

    def leads(self, trial: int) -> bool:
        """Whether the best value so far is this trial's."""
        return self._best is not None and self._best[1] == trial

    def correct(self, trial: int | None, value: float | None) -> None:
        """The best so far has failed, and its value doesn't count: now this one leads, or nobody."""
        self._best = None if trial is None or value is None else (self._sign * value, trial)

    def restart(self) -> None:
        """A person has extended the study: it gets as much patience again."""
        self.fruitless = 0
        self._next_look = max(self._next_look, float(len(self._values) + MIN_TRIALS))

    def exhausted(self, limit: int | None) -> tuple[Literal["patience", "converged"], str] | None:
        """Which rule says that the study gets no better, and the words; asked when a trial has ended.

        Args:
            limit: trials that the study has in all, if that is limited.
        """
        if self._patience is not None and self.fruitless >= self._patience and self._best is not None:
            value, trial = self._best
            best = f"{self._metric.name} {self._sign * value:g} of trial {trial}"
            words = f"{self.fruitless} trial{'s' if self.fruitless != 1 else ''} in a row, none better than {best}"
            return "patience", f"budget.patience is used up: {words}"
        return self._converged(limit)

    def _converged(self, limit: int | None) -> tuple[Literal["patience", "converged"], str] | None:
        if self._min_improvement is None or self.ended < self._next_look:
            return None
        self._next_look = max(self.ended + 1, self.ended * _LOOK_AGAIN)
        left = self.ended if limit is None else limit - self.ended
        found = self.outlook(left) if left > 0 else None
        if found is None or found.high >= self._min_improvement:
            return None
        words = f"{left} more trial{'s' if left != 1 else ''} would improve {self._metric.name} by less than"
        sure = f"{(1 + CONFIDENCE) / 2:.0%} sure to be below {found.high:.2g}"
        return "converged", f"converged: {words} budget.min_improvement {self._min_improvement:g} ({sure})"

    def outlook(self, trials: int | None = None) -> Outlook | None:
        """What so many more trials would likely buy; as many again as have ended, when no number is given."""
        return outlook(self._values, self.ended if trials is None else trials)
