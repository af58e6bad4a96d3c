"""Why a study takes no new trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cause = Literal[
    "trials", "space", "time", "gpu_hours", "failures", "target", "patience", "converged", "stop", "cancel", "interrupt"
]
"""What ended it: a limit of its budget, the search itself, or a person."""

SEARCHED: tuple[Cause, ...] = ("trials", "space", "target", "patience", "converged")
"""Ends of the search that leave room for repeats; after the others nothing more is to be spent."""


@dataclass(frozen=True)
class Ending:
    """Why no new trial is created, and what that means for those at work.

    drain: they run to their ends; halt: they stop at their next report; interrupt: so they do, and a resume goes on.
    """

    kind: Literal["drain", "halt", "interrupt"]
    cause: Cause
    reason: str
