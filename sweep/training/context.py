"""The context: all that a training function needs to know, report and keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.core.protocols import Channel, Decision, LeavingChannel, Placement, WritingChannel
from sweep.core.seeds import derive
from sweep.errors import NonFiniteLossError, TrainingError
from sweep.store import checkpoints
from sweep.store.paths import TrialPaths
from sweep.training import memory, process_state, states
from sweep.training.group import Group

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sweep.training.data import ImageData
    from sweep.training.precision import Precision

MEMORY = "gpu_memory_gib"
"""The metric that is added to each report on a GPU."""

State = Mapping[str, Any] | Path | str
"""A checkpoint's content: a mapping of tensors and plain values, or a folder that the training function filled."""


RESERVED = frozenset({"study", "trial", "attempt", "time_attr", "t", "seed", "config", "metrics", "format", "files"})
"""What each checkpoint's manifest says by itself; `Context.describe` adds under other names."""

MAX_FIDELITY = 2**53
"""Up to here a float, as which each metric travels, counts without gaps."""


class StopTrial(BaseException):
    """Raised by `Context.report` when the trial need not go on; `run_attempt` catches it.

    Like GeneratorExit it is no Exception, so that a training function's `except Exception` lets it pass.

    Attributes:
        decision: the driver's answer, "stop", "finish", "pause" or "move", with its reason.
    """

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        super().__init__(decision.reason)


class Context:
    """One attempt of one trial, as its training function sees it.

    Attributes:
        config: parameter name to value.
        trial: number of the trial, from 0.
        attempt: number of this attempt, from 1.
        seed: of the trial, the same in each attempt; python's, numpy's and torch's generators are seeded with it.
        time_attr: the metric that counts fidelity, e.g. "epoch".
        max_t: the fidelity at which the trial is complete.
        t: the last fidelity that was reported or restored; 0 at the very start.
    """

    def __init__(
        self,
        placement: Placement,
        channel: Channel,
        generators: Any = process_state,
        group: Group | None = None,
        end: type[StopTrial] = StopTrial,
    ) -> None:
        self.config: dict[str, Any] = dict(placement.config)
        self.trial = placement.trial
        self.attempt = placement.attempt
        self.seed = placement.seed
        self.time_attr = placement.time_attr
        self.max_t = placement.max_t
        self.t = 0
        self._placement = placement
        self._channel = channel
        # Lanes of fused trials (sweep.training.fused) have generators of their own.
        self._generators = generators
        self._group = group or Group()
        self._end = end
        self._paths = TrialPaths(Path(placement.trial_dir))
        self._described: dict[str, Any] = {}
        self._step = 0
        self._split_seen = False
        self._smallest_batch: int | None = None
        self._after_report: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<Context trial {self.trial}, attempt {self.attempt}, {self.time_attr} {self.t} of {self.max_t}>"

    # Where and how it runs.

    @cached_property
    def log_dir(self) -> Path:
        """The trial's TensorBoard folder, the same in each attempt; created on first use."""
        folder = self._paths.tensorboard
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @cached_property
    def device(self) -> torch.device:
        """Where tensors belong: CUDA when the trial has a share of a GPU and there is one, else the CPU.

        Of several GPUs, the one of this process.

        Raises:
            TrainingError: CUDA was insisted on and isn't there.
        """
        import torch

        wanted = self._placement.device
        if wanted == "auto":
            wanted = "cuda" if self._placement.gpu > 0 and torch.cuda.is_available() else "cpu"
        if wanted.startswith("cuda") and not torch.cuda.is_available():
            raise TrainingError(
                f"{self.where()}: device {wanted} was asked for, and torch {torch.__version__} finds no CUDA here. "
                'Use device "auto" to run on the CPU where there is no GPU.'
            )
        return self._group.place(torch.device(wanted))

    @cached_property
    def precision(self) -> Precision:
        """The arithmetic that `config["precision"]` (auto, bf16, fp16 or fp32) means on this device.

        Raises:
            TrainingError: an unknown name, or fp16 on the CPU.
        """
        from sweep.training.precision import Precision

        return Precision(self.config.get("precision", "auto"), self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The mixed precision region for a forward pass and its loss; leave it before the backward pass."""
        return self.precision.autocast()

    def data(self, name: str, **options: Any) -> ImageData:
        """A dataset by name, decoded once on this node; see `sweep.training.data.load`.

        Each later checkpoint says which data it was trained on.
        """
        from sweep.training.data import load

        data = load(name, **options)
        self.describe(data=data.description, classes=list(data.classes))
        return data

    # Several processes, one for each GPU of the trial.

    @property
    def rank(self) -> int:
        """This process's number among those that train the trial, from 0."""
        return self._group.rank

    @property
    def world_size(self) -> int:
        """How many processes train the trial: one for each of its GPUs, else 1."""
        return self._group.world_size

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0: whose metrics and checkpoints count, and who should write what there is one of."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to compute training losses with: its gradients are the mean over the ranks.

        With one process it is the model itself. With several it is in DistributedDataParallel, all start with rank 0's
        weights, and batch norm becomes one over the whole batch on CUDA (on the CPU it stays each rank's own). Its
        state is the bare model's. Evaluate with the bare model: ranks may then compute different numbers of batches.

        From here on the global generators of the ranks differ, so that dropout does.

        Args:
            model: on `device`.
        """
        wrapped = self._group.wrap(model, self.device)
        self._diverge()
        return wrapped

    def shard(self, *batch: Any) -> tuple[Any, ...]:
        """This rank's part of a batch: of each argument the same slice, as nearly equal in size as can be.

        Where the sizes differ, the mean over the ranks of their mean losses isn't quite the batch's: a factor of
        `len(part) * ctx.world_size / len(batch)` on the loss makes it so.

        Args:
            batch: what can be sliced, samples first: tensors (n, ...), or a list of indices; n at least `world_size`.

        Raises:
            TrainingError: they differ in n, or there are fewer samples than ranks.
        """
        sizes = sorted({len(each) for each in batch})
        if len(sizes) != 1 or sizes[0] < self.world_size:
            raise TrainingError(
                f"{self.where()}: shard got {' and '.join(map(str, sizes)) or 'no'} samples for {self.world_size} "
                "ranks. Give what belongs to one batch, at least one sample for each rank."
            )
        (size,) = sizes
        part = slice(size * self.rank // self.world_size, size * (self.rank + 1) // self.world_size)
        return tuple(each[part] for each in batch)

    def mean(self, value: Any, weight: float = 1.0) -> float:
        """The weighted mean of a number over all ranks, the same on each; every rank must call it.

        Args:
            value: a number, or a tensor of one element.
            weight: 0 or more, e.g. of how many samples it is the mean.
        """
        return self._group.mean(self._number("mean", value), weight)

    def _diverge(self) -> None:
        """Give the other ranks generators of their own, functions of what rank 0's checkpoint knows.

        So a trial that goes on from a checkpoint draws on each rank what it would have drawn.
        """
        if self.rank and self._group.wrapped:
            process_state.seed(derive(self.seed, "rank", self.rank, self.t))

    # A batch in parts, after memory ran out.

    @property
    def batch_split(self) -> int:
        """Into how many parts to compute each batch, so that it fits into memory; 1 unless memory ran out."""
        self._split_seen = True
        return self._placement.batch_split

    def parts(self, *tensors: torch.Tensor, accumulate: int = 1) -> Iterator[tuple[tuple[torch.Tensor, ...], float]]:
        """A batch in `batch_split` parts, each with its weight: its share of the samples, so the weights' sum is 1.

        The gradients of each part's mean loss times its weight add up to those of the whole batch's mean loss::

            for (images, labels), weight in ctx.parts(images, labels):
                (weight * cross_entropy(model(images), labels)).backward()
            optimizer.step()

        Args:
            tensors: (n, ...) each, samples first; n at least 1. What is computed over a batch as a whole, such as
                batch norm's statistics, is over each part.
            accumulate: into how many parts the batch is to be computed anyway, at least 1; `batch_split` multiplies it.

        Raises:
            TrainingError: none was given, or they differ in n.
        """
        sizes = sorted({len(each) for each in tensors})
        if len(sizes) != 1 or sizes[0] == 0:
            raise TrainingError(
                f"{self.where()}: parts got tensors of {' and '.join(map(str, sizes)) or 'no'} samples. "
                "Give the tensors of one batch, which have the same first dimension, at least 1."
            )
        (size,) = sizes
        smallest = -(-size // accumulate)
        self._smallest_batch = min(smallest, self._smallest_batch or smallest)
        count = min(self.batch_split * accumulate, size)
        for index in range(count):
            part = slice(size * index // count, size * (index + 1) // count)
            yield tuple(each[part] for each in tensors), (part.stop - part.start) / size

    def cannot_shrink(self) -> str | None:
        """Why a further split of the batch can't help, in words; None where it may."""
        split = self._placement.batch_split
        if split == 1:
            return None
        if not self._split_seen:
            return (
                f"The batch was to be computed in {split} parts (retries.on_oom: shrink_batch), but the training "
                "function never looks at ctx.batch_split. Use ctx.parts, or set on_oom: fail."
            )
        if self._smallest_batch is not None and split >= self._smallest_batch:
            return f"The batch is already computed in {split} parts, one sample at a time."
        return None

    # One optimizer step.

    def backward_and_step(
        self,
        loss: torch.Tensor | Iterable[torch.Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float | None = None,
        parameters: Iterable[torch.Tensor] | None = None,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    ) -> None:
        """Go one step down the gradient: backward, unscale, clip, step, clear.

        Args:
            loss: scalar, computed inside `autocast`; or the scalars whose sum it is, a batch's parts. Each is asked for
                when the one before has gone backward, so that a generator holds one part's activations at a time.
            optimizer: moved once; its gradients are cleared afterwards.
            clip_norm: largest 2-norm of all gradients together; None leaves them as they are.
            parameters: what `clip_norm` measures; all of the optimizer's by default.
            scheduler: stepped too, unless fp16's gradients overflowed and the optimizer stood still.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite. Neither weights nor optimizer have moved.
        """
        self._step += 1
        losses = self._finite(loss, optimizer)
        moved = self.precision.step(losses, optimizer, clip_norm=clip_norm, parameters=parameters)
        if scheduler is not None and moved:
            scheduler.step()

    def _finite(
        self, loss: torch.Tensor | Iterable[torch.Tensor], optimizer: torch.optim.Optimizer
    ) -> Iterator[torch.Tensor]:
        from torch import Tensor

        for part in (loss,) if isinstance(loss, Tensor) else loss:
            value = part.detach().item()
            if not math.isfinite(value):
                optimizer.zero_grad()  # those of the parts before it
                raise self.non_finite(value, step=self._step, rate=float(optimizer.param_groups[0]["lr"]))
            yield part

    def non_finite(self, value: float, *, step: int, rate: float) -> NonFiniteLossError:
        """The end of a trial whose loss is NaN or infinite, for a function that looks at its losses itself.

        Args:
            value: of the loss.
            step: since the attempt began, or within the epoch, from 1.
            rate: the learning rate there.
        """
        return NonFiniteLossError(
            f"{self.where()}, {self.time_attr} {self.t + 1}, step {step}: the loss is {value}. "
            f"Lower lr (now {rate:.3g}), clip gradients (clip_norm: 1.0), or use precision: fp32."
        )

    # Reports and checkpoints.

    def report(self, metrics: Mapping[str, Any], checkpoint: State | Callable[[], State] | None = None) -> None:
        """Tell the driver how the trial does, once a fidelity step, and go on if it says so.

        With several processes each must call it: they wait for each other, and rank 0's metrics and checkpoint count.

        Args:
            metrics: name to number; tensors and arrays of one element will do, NaN too. The fidelity is read from
                `time_attr` if it is among them (whole, rising, from 1), and is one more than the last otherwise. On a
                GPU the most memory held so far is added as `gpu_memory_gib`.
            checkpoint: the state to go on from: a mapping of tensors and plain values, a folder (it is copied), or a
                function that returns either and is called only when a checkpoint is due. Generators and
                GradScaler are saved with it. It is copied before this returns, so it may change at once; where the
                trial runs on Ray it is written while training goes on. It is complete on disk before the report is
                delivered, and the next report waits for that.

        Raises:
            TrainingError: a metric's name is no text or its value no number, the fidelity didn't rise, the state
                can't be written, or one of several processes never called `wrap`.
            StopTrial: the trial ends here; let it pass.
        """
        values = {self._name(name): self._number(name, value) for name, value in metrics.items()}
        t = self._fidelity(values)
        values[self.time_attr] = t
        held = memory.used() if self._placement.gpu else None
        if held is not None:
            values.setdefault(MEMORY, held.peak / 2**30)
        self._check_wrapped()
        write = None
        if checkpoint is not None and self.is_main and (self._placement.saves(self.t, t) or self._leaving):
            write = self._writing(t, values, checkpoint)
        if write is None:
            decision = self._channel.report(values, None)
        elif isinstance(self._channel, WritingChannel):
            decision = self._channel.report_written(values, write)
        else:
            decision = self._channel.report(values, write())
        self.t = t
        self._step = 0
        self._diverge()
        self._after_report()
        if decision.action != "advance":
            raise self._end(decision)

    def after_reports(self, call: Callable[[], None]) -> None:
        """Have something called after each report that is to come."""
        self._after_report = call

    @property
    def _leaving(self) -> bool:
        return isinstance(self._channel, LeavingChannel) and self._channel.leaving

    def state(self, **parts: Any) -> dict[str, Any]:
        """A checkpoint's state: each part's `state_dict()`, or the part itself if it has none.

        The GradScaler isn't among them: `report` saves it, and `restore` loads it, with the generators.
        """
        return {name: part.state_dict() if hasattr(part, "state_dict") else part for name, part in parts.items()}

    def describe(self, **meta: Any) -> None:
        """Add JSON values to the manifest of each later checkpoint, e.g. which model can be rebuilt from it.

        Raises:
            TrainingError: a name that the manifest itself uses, see `RESERVED`.
        """
        if taken := sorted(RESERVED & meta.keys()):
            raise TrainingError(
                f"{self.where()}: describe got {', '.join(taken)}, which each checkpoint's manifest says by itself. "
                f"Use other names than {', '.join(sorted(RESERVED))}."
            )
        self._described.update(meta)

    def restore(self) -> Any:
        """The state to go on from, or None for a trial that starts.

        It comes from the last complete checkpoint, on `device`; a folder is returned as its path. Sets `t`, and
        brings back the generators of python, numpy and torch and the GradScaler as they were: create model
        and optimizer before.

        Raises:
            CheckpointError: the checkpoint is incomplete, damaged, or holds more than tensors and plain values.
        """
        if self._placement.checkpoint is None:
            return None
        folder = Path(self._placement.checkpoint)
        manifest = checkpoints.verify(folder)
        state = states.read(folder, lambda: self.device)
        kept = process_state.read(folder)
        if kept.get("scaler"):
            self.precision.load_state_dict(kept["scaler"])
        self._generators.restore(kept)
        self.t = int(manifest["t"])
        self._diverge()
        return state

    def _check_wrapped(self) -> None:
        if self.world_size > 1 and not self._group.wrapped:
            raise TrainingError(
                f"{self.where()}: the trial has {self.world_size} GPUs, and so {self.world_size} processes, but never "
                "called ctx.wrap: each would train a model of its own on the same data. Use model = ctx.wrap(model) "
                "and ctx.shard(batch), or set resources.gpu: 1."
            )

    def _writing(
        self, t: int, values: Mapping[str, float], checkpoint: State | Callable[[], State]
    ) -> Callable[[], str]:
        """What writes the checkpoint, whenever it is called; the state is taken now."""
        later = isinstance(self._channel, WritingChannel)
        content = states.Snapshot(checkpoint() if callable(checkpoint) else checkpoint, copied=later)
        folder = self._paths.checkpoint(self.time_attr, t)
        precision = self.__dict__.get("precision")  # not made just to be saved

        process = self._generators.capture(scaler=precision.state_dict() if precision else None)

        def fill(target: Path) -> None:
            content.write(target)
            process_state.write(target, process)

        meta = {
            "study": self._placement.study,
            "trial": self.trial,
            "attempt": self.attempt,
            "time_attr": self.time_attr,
            "t": t,
            "seed": self.seed,
            "config": dict(self.config),
            "metrics": dict(values),
            **self._described,
        }

        def write() -> str:
            checkpoints.write(folder, fill, meta)
            return str(folder)

        if isinstance(content.state, Path | str):
            # The function may fill it anew right after: it is copied at once.
            write()
            return lambda: str(folder)
        return write

    def _name(self, name: Any) -> str:
        if isinstance(name, str):
            try:
                name.encode()
            except UnicodeEncodeError:
                pass
            else:
                return name
        raise TrainingError(
            f"{self.where()}: {name!r} is no name for a metric. Use a text that can be written as UTF-8."
        )

    def _number(self, name: str, value: Any) -> float:
        # Of the texts that float() takes, none is a number that a training function meant to report.
        if not isinstance(value, str | bytes):
            try:
                # item(), since float() warns of a loss that still has its graph.
                return float(value.item() if hasattr(value, "item") else value)
            # torch raises RuntimeError for several elements.
            except (TypeError, ValueError, OverflowError, RuntimeError):
                pass
        raise TrainingError(
            f"{self.where()}: metric {name!r} is {states.kind(value)}, expected a number. "
            "Report one number a name; take a tensor's mean first."
        )

    def _fidelity(self, values: Mapping[str, float]) -> int:
        t = values.get(self.time_attr, self.t + 1)
        if not math.isfinite(t) or t != int(t) or t < 1:
            raise TrainingError(
                f"{self.where()}: {self.time_attr} is {t:g}, expected a whole number from 1. "
                f"Count finished {self.time_attr}s, or leave {self.time_attr} out and the context counts reports."
            )
        if t > MAX_FIDELITY:
            raise TrainingError(
                f"{self.where()}: {self.time_attr} is {t:g}, expected at most 2**53. Count in a larger unit."
            )
        if t <= self.t:
            raise TrainingError(
                f"{self.where()}: {self.time_attr} {int(t)} was reported after {self.t}; it must rise. "
                "Report once a step, and go on from ctx.t after ctx.restore()."
            )
        return int(t)

    def where(self) -> str:
        """How messages begin: which trial, which attempt."""
        return f"Trial {self.trial}, attempt {self.attempt}"


_active: list[Context] = []


def runs() -> bool:
    """Whether training code has a context in this process."""
    return bool(_active)


def current() -> Context:
    """The context of the training function that runs in this process.

    Raises:
        TrainingError: none runs.
    """
    if not _active:
        raise TrainingError(
            "No trial runs in this process. Call sweep.training.current() inside a training function that sweep "
            "started, or make a context with sweep.training.standalone(config)."
        )
    return _active[-1]


def activate(context: Context) -> None:
    """Make it the one that `current` returns."""
    _active.append(context)


def deactivate(context: Context) -> None:
    """Undo `activate`."""
    _active.remove(context)
