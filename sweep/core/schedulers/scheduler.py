"""What every scheduler answers: how a trial goes on from a report, and which of the paused ones goes on next."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.core.protocols import Decision
from sweep.core.trial import Trial


@dataclass(frozen=True)
class Room:
    """When a place is free.

    Attributes:
        arriving: whether new trials will come.
        idle: whether nothing runs, or waits to run: what is known now is all that will ever be known.
    """

    arriving: bool
    idle: bool


@dataclass(frozen=True)
class Copy:
    """Another trial's checkpoint, to go on from with another config.

    Attributes:
        source: whose checkpoint it is.
        t: its fidelity.
        checkpoint: its place in the study's folder.
        config: what the trial goes on with.
    """

    source: int
    t: int
    checkpoint: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Onward:
    """A paused trial that goes on, with the reason; from its own checkpoint unless there is a `copy`."""

    trial: int
    decision: Decision
    copy: Copy | None = None


class Scheduler(abc.ABC):
    """Judges trials while they run.

    What it is told, in the order of a study's events, is all that it knows: the same history gives the same decisions.
    Trials that it is given are as they are after the event that it hears of; it changes nothing in them.
    """

    advised = False
    """Whether the sampler says which paused trial goes on, and how far; `onward` is then never asked."""

    def bracket(self, trial: int) -> int:
        """Which ladder of rungs judges the trial of this number; asked once, when it is created."""
        del trial
        return 0

    @abc.abstractmethod
    def judged(self, trial: Trial) -> tuple[int, ...] | None:
        """The fidelities below max_t at which it can end an attempt; None for any.

        Training runs ahead between them: of reports at other fidelities nothing is decided but "advance".
        """

    def saved(self, trial: Trial) -> tuple[int, ...]:
        """The fidelities at which a trial may pause, and so has to have a checkpoint."""
        del trial
        return ()

    @abc.abstractmethod
    def report(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """Judge a report below max_t, which the trial already has.

        Args:
            trial: whose.
            t: the fidelity, above that of the trial's earlier ones.
            metrics: the objectives may be missing or NaN among them; with those no trial advances.
        """

    def onward(self, room: Room) -> Onward | None:
        """The paused trial that takes a free place; None when a new trial should, or nobody."""
        del room
        return None

    def copied(self, trial: Trial, source: Trial) -> None:
        """A trial goes on from another's checkpoint, as `onward` has said."""
        del trial, source

    def ended(self, trial: Trial) -> None:
        """A trial's story is over. What a failed one has shown counts no more, as if it had never been."""
        del trial

    def left(self, trial: Trial) -> str:
        """Why a paused trial never went on, when the study ends."""
        raise NotImplementedError(f"trial {trial.number} is paused, and this scheduler pauses none")
