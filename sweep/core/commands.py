"""What a study asks its driver to do: the only output of `StudyMachine.handle`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sweep.core.objectives import Result
from sweep.core.pool import Demand
from sweep.core.protocols import Decision
from sweep.core.schedulers.scheduler import Copy


@dataclass(frozen=True)
class AskConfig:
    """Ask the sampler for the config of this trial; the answer is TrialCreated or SpaceExhausted."""

    trial: int


@dataclass(frozen=True)
class AskAdvice:
    """Ask the sampler what a free place is used for: a new trial of this number, or a paused one that goes on.

    The answer is TrialCreated, WentOn or NoneWentOn.

    Attributes:
        trial: None when no new trial may come.
    """

    trial: int | None


@dataclass(frozen=True)
class StartAttempt:
    """Place this attempt, which is to hold `demand`; it goes on from the checkpoint, if there is one."""

    trial: int
    attempt: int
    checkpoint: str | None
    batch_split: int = 1
    demand: Demand = field(default_factory=Demand)


@dataclass(frozen=True)
class CreateRepeat:
    """Make this trial, which trains a finalist's config with another seed; the answer is TrialCreated."""

    trial: int
    of: int


@dataclass(frozen=True)
class EndAttempt:
    """End this attempt now, whatever its process does; the answer is AttemptEnded."""

    trial: int
    attempt: int


@dataclass(frozen=True)
class Relearn:
    """Make the sampler anew and tell it what is known: trials that it was told the end of have been opened again."""


@dataclass(frozen=True)
class Answer:
    """Give this decision to the trial whose report was handled."""

    trial: int
    t: int
    decision: Decision


@dataclass(frozen=True)
class GoOn:
    """Say why a paused trial goes on; its next attempt is started by a command of its own."""

    trial: int
    t: int
    decision: Decision


@dataclass(frozen=True)
class CopyCheckpoint:
    """Give a paused trial another's checkpoint, and say so: the answer is Exploited."""

    trial: int
    copy: Copy
    reason: str


@dataclass(frozen=True)
class ReportToSampler:
    """Intermediate values for the sampler."""

    trial: int
    t: int
    result: Result


@dataclass(frozen=True)
class PauseInSampler:
    """A trial pauses, or goes on, for the sampler."""

    trial: int
    paused: bool


@dataclass(frozen=True)
class TellSampler:
    """The end of a trial for the sampler."""

    trial: int
    state: Literal["complete", "stopped", "failed"]
    result: Result | None


@dataclass(frozen=True)
class EndRun:
    """Nothing runs and nothing will be placed; `complete` when there is nothing left to resume."""

    reason: str
    complete: bool


@dataclass(frozen=True)
class ChooseShare:
    """Say that trials get this share from now on, and why; so many of them fit at once."""

    gpu: float
    slots: int
    reason: str


Command = (
    AskConfig
    | AskAdvice
    | StartAttempt
    | CreateRepeat
    | EndAttempt
    | Relearn
    | Answer
    | GoOn
    | CopyCheckpoint
    | ChooseShare
    | ReportToSampler
    | PauseInSampler
    | TellSampler
    | EndRun
)
