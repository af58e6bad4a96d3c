"""A trial: one config under evaluation, its attempts, its reports, and the moves it may make.

::

    WAITING ──> RUNNING ──> COMPLETE   the training function came to its end, or reached max_t
       ^  │        │  ├───> STOPPED    the scheduler or the budget ended it (Optuna's PRUNED)
       │  │        │  └───> FAILED     it raised, too often
       │  │        v
       │  └─> STOPPED, WAITING         the study ended before it ran; lost, interrupted or retried
       ├───── FAILED                   a person has asked for a further attempt
       └───── PAUSED                   waits at a rung for its turn
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal

from sweep.core.events import Cause, Outcome
from sweep.core.objectives import Objectives, Score
from sweep.core.protocols import Decision


class TrialState(enum.Enum):
    """Where a trial stands."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the trial's story is over."""
        return self in ENDS


End = Literal["complete", "stopped", "failed"]
"""How a trial's story ended, as samplers are told it."""

ENDS: dict[TrialState, End] = {
    TrialState.COMPLETE: "complete",
    TrialState.STOPPED: "stopped",
    TrialState.FAILED: "failed",
}

_MOVES = {
    TrialState.WAITING: {TrialState.RUNNING, TrialState.STOPPED, TrialState.FAILED},
    TrialState.RUNNING: set(TrialState) - {TrialState.RUNNING},
    TrialState.PAUSED: {TrialState.WAITING, TrialState.STOPPED, TrialState.FAILED},
    TrialState.FAILED: {TrialState.WAITING},
}


class IllegalTransitionError(RuntimeError):
    """An event that can't happen to a trial in its state: a defect of sweep, never of its user."""


@dataclass(frozen=True)
class Report:
    """One report of a trial: at fidelity `t`, with the checkpoint written for it, if any."""

    t: int
    metrics: dict[str, float]
    checkpoint: str | None
    attempt: int
    time: float


@dataclass(frozen=True)
class Origin:
    """Where a trial took up another's work: from its attempt `attempt` on it has the config `after`.

    Attributes:
        time: when.
        attempt: the first one with the new config.
        source: the trial whose checkpoint was copied.
        t: its fidelity.
        checkpoint: the copy.
        before: the trial's config until then.
        after: its config since.
    """

    time: float
    attempt: int
    source: int
    t: int
    checkpoint: str
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass
class Attempt:
    """One placement of a trial.

    Attributes:
        paused: whether it ended because its trial paused; to its process, whose `outcome` that is, it was interrupted.
    """

    number: int
    started: float
    node: str = ""
    device: str = ""
    gpu: float | None = None
    batch_split: int = 1
    ended: float | None = None
    outcome: Outcome | None = None
    error: str | None = None
    cause: Cause | None = None
    paused: bool = False


@dataclass
class Trial:
    """One config under evaluation.

    Attributes:
        bracket: which ladder of rungs judges it.
        reports: by growing fidelity, at most one for each.
        verdict: the decision that ends the attempt at work, once there is one.
        reason: why the trial is in its final state.
        batch_split: into how many parts its next attempt computes each batch.
        gpu: the share of a GPU that it needs, once that was found to be more than what trials get.
        dismissal: the decision that ends it, once a person has asked for that.
        repeat_of: the finalist that it trains once more, with another seed.
        until: the rung that it was sent to, where the sampler says how far trials go.
        lineage: where it took up other trials' work (population based training), oldest first.
    """

    number: int
    config: dict[str, Any]
    bracket: int
    created: float
    state: TrialState = TrialState.WAITING
    attempts: list[Attempt] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    verdict: Decision | None = None
    reason: str = ""
    failures: int = 0
    losses: int = 0
    batch_split: int = 1
    gpu: float = 0.0
    dismissal: Decision | None = None
    repeat_of: int | None = None
    until: int | None = None
    lineage: list[Origin] = field(default_factory=list)

    def move(self, state: TrialState, reason: str = "") -> None:
        """Change the state.

        Raises:
            IllegalTransitionError: the trial can't go there from where it is; the text tells its whole story.
        """
        if state not in _MOVES.get(self.state, set()):
            raise IllegalTransitionError(f"trial {self.number}: {self.state.name} -> {state.name}. {self.story()}")
        self.state = state
        self.reason = reason if state.final else ""

    def story(self) -> str:
        """What happened to the trial, in a line."""
        attempts = ", ".join(f"{a.number}: {a.outcome or 'running'}" for a in self.attempts) or "none"
        return f"attempts {attempts}; {len(self.reports)} reports, last at t={self.t}; verdict {self.verdict}"

    @property
    def t(self) -> int:
        """The highest fidelity reported; 0 before the first."""
        return self.reports[-1].t if self.reports else 0

    @property
    def attempt(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def checkpoint(self) -> str | None:
        """The latest checkpoint: where the next attempt goes on."""
        return self._latest[1]

    @property
    def checkpoint_t(self) -> int:
        """The fidelity of the latest checkpoint; 0 without one."""
        return self._latest[0]

    @property
    def _latest(self) -> tuple[int, str | None]:
        origin = self.lineage[-1] if self.lineage else None
        for report in reversed(self.reports):
            if report.checkpoint and (origin is None or report.attempt >= origin.attempt):
                return report.t, report.checkpoint
        return (origin.t, origin.checkpoint) if origin else (0, None)

    def take_up(self, origin: Origin) -> None:
        """Go on from another trial's checkpoint with another config.

        What it has itself reported from that fidelity on is of a training that is given up: it counts no more.
        """
        self.reports = [report for report in self.reports if report.t < origin.t]
        self.config = dict(origin.after)
        self.lineage.append(origin)

    @property
    def end(self) -> End | None:
        """How its story ended, as samplers are told it; None as long as it goes on.

        A trial that took up another's work is told as stopped where it did: its result isn't of the config proposed.
        """
        end = ENDS.get(self.state)
        return "stopped" if end == "complete" and self.lineage else end

    def config_in(self, attempt: int) -> dict[str, Any]:
        """The config that an attempt trained with."""
        return next((origin.before for origin in self.lineage if attempt < origin.attempt), self.config)

    @property
    def why(self) -> str:
        """Why it is in its state, where that has a reason: an end, or a pause at a rung."""
        if self.state is TrialState.PAUSED and self.verdict is not None:
            return self.verdict.reason
        return self.reason if self.state.final else ""

    @property
    def duration_s(self) -> float:
        """Seconds that ended attempts took."""
        return sum(a.ended - a.started for a in self.attempts if a.ended is not None)

    @property
    def error(self) -> str | None:
        """What the last failed or lost attempt died of."""
        return next((a.error for a in reversed(self.attempts) if a.error), None)

    def best(self, metric: Objectives, *, with_checkpoint: bool = False) -> Report | None:
        """The best report of those with finite objectives; the earliest of equals.

        One within the bounds comes before one beyond; of several objectives the first counts, the others decide
        between equals.

        Args:
            metric: which values, and which way is better.
            with_checkpoint: only reports that have a checkpoint.
        """
        best: tuple[Score, Report] | None = None
        for report in self.reports:
            if with_checkpoint and not report.checkpoint:
                continue
            score = metric.rated(report.metrics)
            if score is not None and (best is None or score < best[0]):
                best = score, report
        return best[1] if best else None

    def value(self, metric: Objectives) -> float | None:
        """The trial's objective, the first of several: that of its best report, whose checkpoint one would take."""
        best = self.best(metric)
        return best.metrics[metric.name] if best else None
