"""The loop that images and text share: epochs, steps, averages, checkpoints and reports of one attempt."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sweep.errors import NonFiniteLossError, first_line
from sweep.training import compiling, graphs, scoring, weights
from sweep.training.batches import epoch_generator, steps_per_epoch
from sweep.training.settings import LoopSettings

if TYPE_CHECKING:
    from sweep.training.context import Context


class Loop(ABC):
    """Model, optimizer and schedule of one attempt; who derives from it knows the data.

    Attributes:
        RATE: the metric that counts training samples a second.
        val_split: samples (N, ...) and labels (N,) that trials are compared on.
        model: the one that is trained; with several GPUs each rank has it.
        average: with `ema`, the moving average of its weights, which is evaluated and promoted.

    Args:
        settings: the trial's config.
        ctx: of the trial.
        model: with fresh weights, on the context's device.
        samples: of an epoch, before the last, smaller batch is left out.
    """

    RATE: ClassVar[str]
    val_split: tuple[torch.Tensor, torch.Tensor]

    def __init__(self, settings: LoopSettings, ctx: Context, model: nn.Module, samples: int) -> None:
        self.settings, self.ctx, self.model = settings, ctx, model
        self.average = average(model, settings.ema) if settings.ema else None
        self._whole = ctx.wrap(model)
        self.optimizer = make_optimizer(model, settings)
        steps = steps_per_epoch(samples, settings.batch_size)
        self.schedule = LambdaLR(self.optimizer, lambda step: lr_factor(step / steps, settings))
        wanted = compiling.pays(model, ctx.device) if settings.compile == "auto" else settings.compile
        self._forward: Callable[..., Any] = compiling.compiled(self._whole) if wanted else self._whole
        self._quiet: graphs.QuietStep | None = None
        self._tally: scoring.Tally = scoring.tally_of(self.judged, self.prepare, ctx.autocast)
        if not wanted and self._records():
            recorder = graphs.CudaRecorder(ctx.device)
            self._quiet = graphs.QuietStep(self._parts, self.optimizer, recorder, clip_norm=settings.clip_norm)
            self._tally = scoring.RecordedTally(self._tally, recorder)

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """An epoch's batches on the device: what the model takes, and labels (B,) or their probabilities (B, K)."""

    @abstractmethod
    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """Samples of the val split, on the device, to what the model takes."""

    @property
    def judged(self) -> nn.Module:
        """The model that is evaluated and promoted."""
        return self.model if self.average is None else self.average.module

    def show(self) -> None:  # noqa: B027 - not every kind of data can be looked at
        """Leave something to look at, at the end of a trial that came to it."""

    def run(self) -> None:
        """Train from the last checkpoint, or the start, to the end of `epochs` or `max_t`; report each epoch.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite.
            TrainingError: the file of `weights` isn't there, or nothing in it fits.
        """
        state = self.ctx.restore()
        if state is not None:
            self.load(state)
        elif self.settings.weights is not None:
            weights.start_from(self.model, self.settings.weights)
        for epoch in range(self.ctx.t + 1, min(self.settings.epochs, self.ctx.max_t) + 1):
            metrics = {"epoch": epoch, **self.train_epoch(epoch), **self.validate()}
            if epoch == min(self.settings.epochs, self.ctx.max_t) and self.ctx.is_main:
                self.show()
            self.ctx.report(metrics, checkpoint=self.state)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Go once through the training samples."""
        began = time.perf_counter()
        self.model.train()
        losses, seen = [], 0
        for inputs, targets in self.batches(epoch_generator(self.ctx.seed, epoch, self.ctx.device)):
            rate = self.optimizer.param_groups[0]["lr"]
            losses.append(self._step(inputs, targets))
            seen += len(targets)
        values = torch.stack(losses)
        train_loss = self.ctx.mean(values.mean())  # waits for the GPU, so the time is true
        if self._quiet is not None and not math.isfinite(train_loss):
            raise self._broken_off(values.tolist(), epoch)
        return {"train_loss": train_loss, "learning_rate": rate, self.RATE: seen / (time.perf_counter() - began)}

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on the val split."""
        self.judged.eval()
        samples, labels = self.ctx.shard(*self.val_split)
        loss, accuracy = scoring.score(self._tally, samples, labels, self.ctx.device)
        count = len(labels)
        return {"val_loss": self.ctx.mean(loss, count), "val_accuracy": self.ctx.mean(accuracy, count)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds; the context adds generators and GradScaler. "model" is what gets promoted."""
        parts: dict[str, Any] = {"model": self.model}
        if self.average is not None:
            parts = {"model": self.average.module, "trained": self.model, "averaged": self.average.n_averaged}
        return self.ctx.state(**parts, optimizer=self.optimizer, schedule=self.schedule)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        if self.average is None:
            self.model.load_state_dict(state["model"])
        else:
            self.model.load_state_dict(state["trained"])
            self.average.module.load_state_dict(state["model"])
            self.average.n_averaged.copy_(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _records(self) -> bool:
        """Whether steps and evaluations are CUDA graphs: where that is wanted and possible."""
        wanted = graphs.pays(self.model) if self.settings.cuda_graphs == "auto" else self.settings.cuda_graphs
        return wanted and self._alone_on_a_gpu() and graphs.can_stand_still(self.optimizer)

    def _alone_on_a_gpu(self) -> bool:
        """fp16's scale is read back in each step, and ranks wait for each other between kernels."""
        return self.ctx.device.type == "cuda" and self.ctx.world_size == 1 and self.ctx.precision.scaler is None

    def _broken_off(self, losses: list[float], epoch: int) -> NonFiniteLossError:
        step = next(step for step, loss in enumerate(losses) if not math.isfinite(loss))
        rate = self.settings.lr * lr_factor(epoch - 1 + step / len(losses), self.settings)
        return self.ctx.non_finite(losses[step], step=step + 1, rate=rate)

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        try:
            loss = self._descend(inputs, targets)
        except RuntimeError as error:
            if self._forward is self._whole or not compiling.failed(error):
                raise
            sys.stderr.write(f"compile: the compiler failed, so the trial goes on without it: {first_line(error)}\n")
            self._forward = self._whole
            self.optimizer.zero_grad()
            loss = self._descend(inputs, targets)
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss

    def _descend(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self._quiet is not None:
            loss = self._quiet(inputs, targets)
            self.schedule.step()
            return loss
        losses: list[torch.Tensor] = []

        def parts() -> Iterator[torch.Tensor]:
            for loss in self._parts(inputs, targets):
                losses.append(loss.detach())
                yield loss

        self.ctx.backward_and_step(parts(), self.optimizer, clip_norm=self.settings.clip_norm, scheduler=self.schedule)
        return torch.stack(losses).sum()

    def _parts(self, inputs: torch.Tensor, targets: torch.Tensor) -> Iterator[torch.Tensor]:
        """The losses whose sum is the batch's; each is asked for when the one before has gone backward."""
        settings = self.settings
        for part, share in self.ctx.parts(inputs, targets, accumulate=settings.accumulate):
            # Each rank cuts its slice of the same part, so that all go backward equally often.
            some, wanted = self.ctx.shard(*part)
            weight = share * len(wanted) * self.ctx.world_size / len(part[1])
            with self.ctx.autocast():
                logits = self._forward(some)
                loss = weight * functional.cross_entropy(logits, wanted, label_smoothing=settings.label_smoothing)
            yield loss


def average(model: nn.Module, decay: float) -> AveragedModel:
    """A moving average of a model's weights and statistics, as `update_parameters` finds them.

    Its decay rises with the number of updates n before, min(decay, (1 + n) / (10 + n)), as TensorFlow's and timm's:
    with 0.999 throughout, a trial of some hundred steps would be judged by weights from its first ones.
    """

    def update(averages: Any, currents: Any, count: Any) -> None:
        before = int(count)
        lerp = get_ema_multi_avg_fn(min(decay, (1 + before) / (10 + before)))  # type: ignore[no-untyped-call]
        lerp(averages, currents, count)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def make_optimizer(model: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, with weight decay on weights of two and more dimensions only.

    It is fused, one kernel for all parameters, on the CPU too: AdamW's step on `vit_tiny` then takes 0.6 ms, not 1.5.
    Where torch has no such kernel it takes the foreach form.

    Args:
        model: whose parameters it moves.
        settings: optimizer, lr, weight_decay, momentum, beta2.
    """
    named = list(model.named_parameters())
    # Biases and norms are vectors; positions are (1, T, dim), and are no weights either.
    decays = [p for name, p in named if p.ndim > 1 and not name.endswith(("positions", "pos_embedding", "class_token"))]
    kept = {id(p) for p in decays}
    groups = [
        {"params": decays, "weight_decay": settings.weight_decay},
        {"params": [p for _, p in named if id(p) not in kept], "weight_decay": 0.0},
    ]
    options: dict[str, Any]
    kind: type[torch.optim.Optimizer]
    if settings.optimizer == "sgd":
        kind, options = torch.optim.SGD, {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
    else:
        kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
        options = {"betas": (settings.momentum, settings.beta2)}
    try:
        return kind(groups, lr=settings.lr, fused=True, **options)
    except RuntimeError:  # a device or a dtype without that kernel
        return kind(groups, lr=settings.lr, foreach=True, **options)


RISE, FIRST, LAST = 0.3, 1 / 25, 1 / 250_000
"""onecycle: the part of the epochs in which the rate rises, and where it begins and ends; as in torch's OneCycleLR."""


def lr_factor(epoch: float, settings: LoopSettings) -> float:
    """The learning rate at a moment, in units of `settings.lr`: 0..1.

    Args:
        epoch: epochs since the start, with fractions.
        settings: epochs, warmup_epochs, schedule.
    """
    if settings.schedule == "onecycle":
        part = min(1.0, epoch / settings.epochs)
        if part < RISE:
            return 1.0 - (1.0 - FIRST) * _half_cosine(part / RISE)
        return LAST + (1.0 - LAST) * _half_cosine((part - RISE) / (1 - RISE))
    warmup = min(settings.warmup_epochs, settings.epochs)
    if epoch < warmup:
        # Not from 0 exactly: the very first step should move too.
        return max(epoch / warmup, 1e-3)
    if settings.schedule == "constant":
        return 1.0
    return _half_cosine(min(1.0, (epoch - warmup) / max(settings.epochs - warmup, 1e-9)))


def _half_cosine(progress: float) -> float:
    """From 1 down to 0, as progress goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))
