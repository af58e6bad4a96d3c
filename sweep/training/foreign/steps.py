"""Steps as other tools' code counts them, as a fidelity, which counts from 1."""

from __future__ import annotations

from sweep.training.context import Context
from sweep.training.scripts.folder import FROM_ZERO


class Steps:
    """Counts as the code does: from 0 when the first step that it names is 0, and one on from there.

    Args:
        context: each later checkpoint says so, for the attempt that goes on from it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._from_zero: bool | None = None

    def restored(self, *, from_zero: bool) -> None:
        """The trial goes on from a checkpoint, whose code counted like this."""
        self._from_zero = from_zero
        self._say()

    def fidelity(self, step: float) -> float:
        """The fidelity of a step."""
        if self._from_zero is None:
            self._from_zero = step == 0
            self._say()
        return step + 1 if self._from_zero else step

    def _say(self) -> None:
        if self._from_zero:
            self._context.describe(**{FROM_ZERO: True})
