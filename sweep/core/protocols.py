"""The seams: what an executor, a sampler and a training process owe to the driver, and the driver to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from sweep.core.events import Cause, Outcome
from sweep.core.objectives import Result
from sweep.core.pool import Demand, Node


@dataclass(frozen=True)
class Decision:
    """The answer to one report. It can't be made without a reason.

    advance: go on; stop: the trial lost; finish: it has reached its end; pause: end here, a later attempt goes on;
    move: end here, the next attempt goes on at once on another node.
    """

    action: Literal["advance", "stop", "finish", "pause", "move"]
    reason: str
    rung: int | None = None

    @property
    def outcome(self) -> Outcome | None:
        """How an attempt ends that is given this decision; None when it goes on."""
        outcomes: dict[str, Outcome] = {
            "stop": "stopped",
            "finish": "returned",
            "pause": "interrupted",
            "move": "moved",
        }
        return outcomes.get(self.action)

    @property
    def goes_on(self) -> bool:
        """Whether the trial goes on later: then what a worker has trained meanwhile isn't thrown away."""
        return self.action in ("pause", "move")


@dataclass(frozen=True)
class Placement:
    """One attempt of one trial, complete: everything that a training process needs.

    Plain values only, for it travels between processes.

    Attributes:
        study: the study's name.
        trial: number of the trial, from 0.
        attempt: number of this attempt, from 1.
        config: parameter name to value.
        entrypoint: `package.module:function` or `/abs/path/file.py:function`; "" where there is a command.
        seed: of this trial, the same in each attempt; 0 <= seed < 2**31.
        time_attr: the metric that counts fidelity, e.g. "epoch".
        max_t: the fidelity at which a trial is complete.
        trial_dir: absolute folder of the trial: attempt logs, checkpoints, tensorboard.
        checkpoint: absolute folder of the checkpoint to go on from.
        checkpoint_every: a checkpoint is written when t is a multiple of this, and at max_t.
        gpu: share of one GPU (0 < gpu <= 1), or a number of whole GPUs; 0 for CPU only.
        cpu: CPU cores.
        env: environment variables for the training function.
        working_dir: absolute folder that is put first on sys.path.
        device: "cuda" or "cpu" to insist, "auto" for CUDA where there is one.
        label: the parameters that vary, for people: "lr=0.0003 width=64".
        batch_split: into how many parts a batch is to be computed, one after the other, so that it fits into memory;
            the sum of their gradients is the batch's.
        judged: fidelities at which the scheduler may end the trial, beside max_t; None for any.
        saved: fidelities at which a checkpoint is written too, whatever `checkpoint_every` says: where the trial may
            pause.
        profile: whether a part of the training is to be traced.
        command: the words of a script, macros left in, that is run in place of the entrypoint.
        metrics: what a script's report has to have, when it is read from the lines that it prints.
        objectives: those of the metrics that have a goal, in the file's order.
    """

    study: str
    trial: int
    attempt: int
    config: Mapping[str, Any]
    entrypoint: str
    seed: int
    time_attr: str
    max_t: int
    trial_dir: str
    checkpoint: str | None = None
    checkpoint_every: int = 1
    gpu: float = 0
    cpu: float = 1
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    device: str = "auto"
    label: str = ""
    batch_split: int = 1
    judged: tuple[int, ...] | None = None
    saved: tuple[int, ...] = ()
    profile: bool = False
    command: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()

    def saves(self, before: int, t: int) -> bool:
        """Whether a checkpoint is due with the report at fidelity `t`, the one before having been at `before`."""
        due = t % self.checkpoint_every == 0 or t >= self.max_t
        return due or any(before < rung <= t for rung in self.saved)

    def awaited(self, before: int, t: int) -> bool:
        """Whether the decision on a report at fidelity `t` is waited for, the one before having been at `before`.

        Training goes past the others: nothing can be decided on them but that the whole study ends.
        """
        return self.judged is None or t >= self.max_t or any(before < rung <= t for rung in self.judged)


class Channel(Protocol):
    """The way of a training process to its driver."""

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """Deliver one report; the answer is the decision on it, or on the one before where reports are sent ahead.

        Args:
            metrics: finite or not, `time_attr` always among them.
            checkpoint: absolute folder of a checkpoint that is complete, or None.
        """
        ...


@runtime_checkable
class WritingChannel(Channel, Protocol):
    """A channel that writes checkpoints while training goes on.

    A report is delivered once its checkpoint is complete, so what the driver knows of is always there.
    """

    def report_written(self, metrics: Mapping[str, float], write: Callable[[], str]) -> Decision:
        """Deliver a report when its checkpoint is written.

        One checkpoint is written at a time: a report waits for the one before. What `write` raises is raised by the
        next report, or by `settle`.

        Args:
            metrics: as for `report`.
            write: writes the checkpoint and returns its absolute folder; called in another thread.
        """
        ...

    def settle(self) -> None:
        """Wait until nothing is being written and all reports are on their way."""
        ...


@runtime_checkable
class LeavingChannel(Channel, Protocol):
    """A channel of an attempt whose node may be about to go.

    While `leaving` is true, a checkpoint is written with each report, whatever `checkpoint_every` says, and the report
    waits for its decision.
    """

    @property
    def leaving(self) -> bool:
        """Whether the attempt had better be ready to go on elsewhere."""
        ...


@dataclass(frozen=True)
class GpuMemory:
    """What an attempt was measured to take of a GPU, in bytes.

    Attributes:
        peak: the most that its process held, CUDA's own part included.
        total: what the GPU has.
    """

    peak: int
    total: int


@runtime_checkable
class MeasuringChannel(Channel, Protocol):
    """A channel that takes word of the memory that an attempt took; at most once, before its end."""

    def measured(self, memory: GpuMemory) -> None:
        """The attempt is over, and took this much."""
        ...


RunAttempt = Callable[[Placement, Channel], Outcome]
"""Runs a placement's training function to its end.

Returns "returned", "stopped", "interrupted" or "moved"; raises whatever the training function raised.
It is importable by name, so that a worker process can be sent to it.
"""


@dataclass(frozen=True)
class Fusing:
    """How attempts train together in one process, each in a thread of its own.

    Attributes:
        lanes: how many at most.
        key: equal for placements that can train together; None for one that must have a process for itself.
        run_attempt: for those that have a key; importable by name, as every `RunAttempt`.
    """

    lanes: int
    key: Callable[[Placement], str | None]
    run_attempt: RunAttempt


@dataclass(frozen=True)
class NodeChange:
    """What became of a node of the cluster while attempts run.

    Attributes:
        change: see `sweep.core.events.NodeChanged`.
        node: which, and what it offers.
        slots: attempts at once from now on, of the share that `Capacity` named.
        machines: how many there are from now on that attempts may run on, or still do.
        hour: what an hour of all there are costs, as the cluster says.
        reason: why it goes, has gone or isn't used, where that is known.
    """

    change: Literal["joined", "barred", "draining", "left"]
    node: Node
    slots: int
    machines: int
    hour: float = 0.0
    reason: str = ""


class Director(Protocol):
    """What an executor asks and tells: the study's side of the table. Called from one thread."""

    @property
    def finished(self) -> bool:
        """Nothing runs and nothing more will be placed."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """A region in which events are told together: they are on the disk when it ends.

        Without one, each is when its call returns. An answer given inside is acted on after it.
        """
        ...

    def next_placement(self) -> Placement | None:
        """The next attempt to start, or None when there is none at the moment."""
        ...

    def started(self, placement: Placement, *, node: str, device: str, batch: int | None = None) -> None:
        """The placement's process has begun; those of one batch hold one share together."""
        ...

    def reported(self, placement: Placement, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """The training function reported; the answer is final."""
        ...

    def measured(self, placement: Placement, memory: GpuMemory) -> None:
        """The attempt took this much memory of its GPU; called before `ended`, where it was measured."""
        ...

    def ended(
        self, placement: Placement, outcome: Outcome, error: str | None = None, cause: Cause | None = None
    ) -> None:
        """The attempt is over.

        Args:
            placement: whose.
            outcome: how.
            error: the traceback or the reason, for failed and lost ones.
            cause: of a failed one, when memory ran out.
        """
        ...

    def node_changed(self, change: NodeChange) -> None:
        """A node joined, is about to go, or is gone; called before anything is placed accordingly."""
        ...

    def delayed(self, attempts: int, reason: str) -> None:
        """So many attempts were given to workers a while ago and can't begin, for want of what others hold.

        Called once, until all of them have begun.
        """
        ...

    def tick(self) -> None:
        """Time passed; called at least once a second by executors that wait."""
        ...

    def unwanted(self) -> Collection[tuple[int, int]]:
        """Trial and attempt of each that is over for the study and may still be at work; each is told once.

        An executor that can end an attempt in the middle of a step does so, and says nothing more of it. Elsewhere the
        attempt hears of it at its next report.
        """
        ...

    def wanted(self) -> float:
        """How many attempts would be at work if there were room for all; infinite where nothing bounds them.

        An executor whose machines can become more asks for them, and lets go of those that it doesn't need.
        """
        ...

    def share(self) -> Demand:
        """What each of those would hold at the moment; `gpu: auto` changes it during a run."""
        ...


@dataclass(frozen=True)
class Capacity:
    """What an executor can do, known before the first trial.

    Attributes:
        slots: attempts at once, of the share below.
        gpu: share of a GPU that each gets here, unless the study says otherwise; 0 where there is none.
        cpu: cores that each gets.
        nodes: what there is, where attempts of different shares run at once; else `slots` alone counts.
        machines: how many there are that attempts run on.
        hour: what an hour of all there are costs, as the cluster says.
        notes: lines for the user, said once ("no GPU here: ...").
        dashboard: URL of a page that shows the attempts, if there is one.
    """

    slots: int
    gpu: float = 0
    cpu: float = 1
    nodes: tuple[Node, ...] = ()
    machines: int = 1
    hour: float = 0.0
    notes: tuple[str, ...] = ()
    dashboard: str | None = None


class Executor(Protocol):
    """Runs attempts somewhere."""

    name: str

    def open(self) -> Capacity:
        """Take hold of the machines and say what they can do.

        Raises:
            ResourceError: a trial's share that no node can grant.
        """
        ...

    def run(self, director: Director) -> None:
        """Place attempts until `director.finished`."""
        ...

    def close(self) -> None:
        """Let go of the machines, and end what runs there; harmless when called twice or without `open`."""
        ...


@dataclass(frozen=True)
class Advice:
    """What a free place is used for: a new config, or a paused trial that goes on.

    Attributes:
        config: of a new trial.
        trial: the number of the paused one; exactly one of the two is None.
        until: the fidelity where it pauses; max_t for its end.
        reason: why this one goes on.
    """

    config: dict[str, Any] | None
    trial: int | None
    until: int
    reason: str


class Sampler(Protocol):
    """Proposes configs and learns from what became of them."""

    def ask(self, trial: int) -> dict[str, Any] | None:
        """A config for the trial of this number; None when the space is exhausted."""
        ...

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """Take up a trial that was created earlier (a replayed one); `ask` does this by itself."""
        ...

    def report(self, trial: int, t: int, result: Result) -> None:
        """What a trial has shown at fidelity `t`: finite objectives, and how far it is beyond each bound."""
        ...

    def pause(self, trial: int, *, paused: bool) -> None:
        """A trial waits for its turn with what it has shown so far, perhaps for good; or it goes on."""
        ...

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], result: Result | None) -> None:
        """The trial's end; `result` is its best, None when it has none."""
        ...


@runtime_checkable
class Advisor(Sampler, Protocol):
    """A sampler that also says which paused trial goes on, and how far each is trained."""

    def advise(self, trial: int | None) -> Advice | None:
        """What a free place is used for; None when nothing is worth it.

        Args:
            trial: the number of a new trial; None when no new one may come.

        Raises:
            NoConfigError: no config was found that meets the constraints.
        """
        ...
