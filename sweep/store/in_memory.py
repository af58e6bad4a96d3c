"""A study that leaves nothing on the disk: its log is a list, and its checkpoints are names. For simulated trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sweep.core.events import ANY_EVENT, AnyEvent, Outcome
from sweep.core.trial import Trial


class MemoryLog:
    """See `sweep.store.events.Log`.

    Attributes:
        lines: as `events.jsonl` would have them.
    """

    def __init__(self, lines: list[bytes] | None = None) -> None:
        self.lines: list[bytes] = lines or []

    def append(self, *lines: bytes) -> None:
        """Keep encoded events."""
        self.lines += lines

    def sync(self) -> None:
        """Nothing to wait for."""

    def events(self) -> Iterator[AnyEvent]:
        """What was kept, oldest first."""
        return map(ANY_EVENT.validate_json, self.lines)


class NoFiles:
    """See `sweep.store.trial_files.Files`; every checkpoint that was named is there."""

    def folder(self, trial: int) -> str:
        """A name."""
        return f"trials/{trial:04d}"

    def place(self, checkpoint: str) -> str:
        """As it is."""
        return checkpoint

    def usable(self, checkpoint: str) -> str | None:
        """Always."""
        return checkpoint

    def copy(self, checkpoint: str, trial: int) -> str | None:
        """A name of the trial's own, of the same fidelity."""
        return f"{self.folder(trial)}/checkpoints/{checkpoint.rpartition('/')[2]}"

    def check_room(self) -> None:
        """There is."""

    def created(self, trial: int, config: Mapping[str, Any]) -> None:
        """The event has the config."""

    def ended(self, trial: int, attempt: int, outcome: Outcome, error: str) -> None:
        """The event has the error."""

    def tidy(self, trial: Trial) -> None:
        """Nothing takes room."""

    def take_stock(self, trials: Mapping[int, Trial]) -> None:
        """There was nothing."""
