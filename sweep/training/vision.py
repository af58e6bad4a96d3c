"""Image classification: the training function of `search_spaces/vit.yaml`, and its evaluation.

Each config key, its default and its meaning is a field of `sweep.training.settings.Settings`. Reported each epoch:

=============== =======================================================
epoch           finished epochs, from 1
train_loss      mean over the epoch's steps, with label smoothing
val_loss        cross entropy over the val split
val_accuracy    0..1, over the val split
learning_rate   of the epoch's last step
images_per_s    training images a second, without the evaluation
=============== =======================================================

A trial that goes on from a checkpoint ends with the same weights, bit for bit on the CPU, as one that was never
interrupted: order and augmentation depend on seed and epoch alone, dropout's generator is in the checkpoint.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from sweep.errors import CheckpointError, TrainingError
from sweep.store import checkpoints
from sweep.training import states
from sweep.training.batches import Normalise, epoch_generator, on_device, place, steps_per_epoch, training_batches
from sweep.training.data import ImageData, TensorPair, load
from sweep.training.models import build
from sweep.training.settings import Settings

if TYPE_CHECKING:
    from sweep.training.context import Context

EVALUATION_BATCH = 512


def train(config: dict[str, Any], ctx: Context) -> None:
    """Train an image classifier; see the module's head for what it reports.

    Args:
        config: the fields of `Settings`.
        ctx: of the trial; its checkpoints say how to rebuild the model, and from which data it learned.

    Raises:
        TrainingError: a config key, dataset or model that is wrong, in words.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    settings = Settings.parse(config, ctx.max_t)
    data = ctx.data(settings.data, **settings.data_options)
    run = _Run(settings, data, ctx)
    state = ctx.restore()
    if state is not None:
        run.load(state)
    for epoch in range(ctx.t + 1, min(settings.epochs, ctx.max_t) + 1):
        metrics = {"epoch": epoch, **run.train_epoch(epoch), **run.validate()}
        ctx.report(metrics, checkpoint=run.state)


class _Run:
    """Model, optimizer and schedule of one attempt."""

    def __init__(self, settings: Settings, data: ImageData, ctx: Context) -> None:
        self.settings, self.ctx = settings, ctx
        self.train_split, self.val_split = place(data.train, ctx.device), place(data.val, ctx.device)
        self.normalise = Normalise(data, ctx.device)
        self.memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
        shape = {
            "num_classes": len(data.classes),
            "in_channels": data.channels,
            "image_size": data.image_size,
        }
        ctx.describe(model={"name": settings.model, **shape, "options": settings.model_options})
        model = build(settings.model, **shape, **settings.model_options)
        self.model = model.to(ctx.device).to(memory_format=self.memory_format)
        self.trained = ctx.wrap(self.model)
        self.optimizer = make_optimizer(self.model, settings)
        steps = steps_per_epoch(len(data.train.labels), settings.batch_size)
        self.schedule = LambdaLR(self.optimizer, lambda step: lr_factor(step / steps, settings))

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Go once through the training images."""
        began = time.perf_counter()
        self.model.train()
        losses, seen = [], 0
        generator = epoch_generator(self.ctx.seed, epoch, self.ctx.device)
        for images, labels in training_batches(
            self.train_split,
            self.settings.batch_size,
            augment=self.settings.augment,
            generator=generator,
            cutout=self.settings.cutout,
        ):
            rate = self.optimizer.param_groups[0]["lr"]
            losses.append(self._step(images, labels))
            seen += len(labels)
        train_loss = self.ctx.mean(torch.stack(losses).mean())  # waits for the GPU, so the time is true
        return {
            "train_loss": train_loss,
            "learning_rate": rate,
            "images_per_s": seen / (time.perf_counter() - began),
        }

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        size = len(labels)
        # Each rank cuts its part of the same batch, which is computed as a whole: the result is one process's.
        images, labels = self.ctx.shard(images, labels)
        inputs = self.normalise(images).contiguous(memory_format=self.memory_format)
        with self.ctx.autocast():
            loss = functional.cross_entropy(self.trained(inputs), labels, label_smoothing=self.settings.label_smoothing)
        loss = loss * (len(labels) * self.ctx.world_size / size)
        self.ctx.backward_and_step(loss, self.optimizer, clip_norm=self.settings.clip_norm, scheduler=self.schedule)
        return loss.detach()

    def validate(self) -> dict[str, float]:
        """Loss and accuracy on the val split."""
        part = TensorPair(*self.ctx.shard(self.val_split.images, self.val_split.labels))
        with self.ctx.autocast():
            loss, accuracy = score(self.model, part, self.normalise)
        count = len(part.labels)
        return {"val_loss": self.ctx.mean(loss, count), "val_accuracy": self.ctx.mean(accuracy, count)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds; the context adds generators and GradScaler."""
        return self.ctx.state(model=self.model, optimizer=self.optimizer, schedule=self.schedule)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, with weight decay on weights of two and more dimensions only.

    It is fused, one kernel for all parameters, on the CPU too: AdamW's step on `vit_tiny` then takes 0.6 ms, not 1.5.

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
    if settings.optimizer == "sgd":
        nesterov = settings.momentum > 0
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov, fused=True)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.lr, betas=(settings.momentum, settings.beta2), fused=True)


def lr_factor(epoch: float, settings: Settings) -> float:
    """The learning rate at a moment, in units of `settings.lr`: 0..1.

    Args:
        epoch: epochs since the start, with fractions.
        settings: epochs, warmup_epochs, schedule.
    """
    warmup = min(settings.warmup_epochs, settings.epochs)
    if epoch < warmup:
        # Not from 0 exactly: the very first step should move too.
        return max(epoch / warmup, 1e-3)
    if settings.schedule == "constant":
        return 1.0
    progress = min(1.0, (epoch - warmup) / max(settings.epochs - warmup, 1e-9))
    return 0.5 * (1 + math.cos(math.pi * progress))


@torch.inference_mode()
def score(model: nn.Module, split: TensorPair, normalise: Normalise) -> tuple[float, float]:
    """Mean cross entropy, and accuracy (0..1), over a split; the model is left in evaluation mode."""
    model.eval()
    device = normalise.mean.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, len(split.labels), EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        targets = on_device(split.labels[part], device)
        logits = model(normalise(on_device(split.images[part], device))).float()
        loss += functional.cross_entropy(logits, targets, reduction="sum")
        correct += (logits.argmax(dim=1) == targets).sum()
    count = len(split.labels)
    return loss.item() / count, correct.item() / count


def evaluate(checkpoint: Path | str, split: str = "test", *, device: str = "cpu") -> dict[str, float]:
    """Loss and accuracy of a checkpoint's model, e.g. on the images that no search has seen.

    The search itself must not see them: it would choose the model that is luckiest there.

    Args:
        checkpoint: a folder that `train` wrote.
        split: "train", "val" or "test".
        device: where to compute, in fp32.

    Returns:
        "{split}_loss" and "{split}_accuracy" (0..1).

    Raises:
        CheckpointError: it is damaged, or another training function wrote it.
        TrainingError: the data isn't there any more, has no such split, or isn't what the model learned from.
    """
    folder = Path(checkpoint)
    manifest = checkpoints.verify(folder)
    if not {"model", "data"} <= manifest.keys():
        raise CheckpointError(f"{folder}: its manifest doesn't say which model and data it is of.")
    described = manifest["data"]
    data = load(described["name"], **described["options"])
    if data.fingerprint != described["fingerprint"]:
        raise TrainingError(f"data: {described['name']} has changed since {folder} was trained on it.")
    pair = {"train": data.train, "val": data.val, "test": data.test}.get(split)
    if pair is None:
        raise TrainingError(f"data: {data.name} has no split {split!r}.")
    model = rebuild(manifest["model"])
    model.load_state_dict(states.read(folder, lambda: device)["model"])
    place_ = torch.device(device)
    loss, accuracy = score(model.to(place_), pair, Normalise(data, place_))
    return {f"{split}_loss": loss, f"{split}_accuracy": accuracy}


def rebuild(description: dict[str, Any]) -> nn.Module:
    """The model that a checkpoint's manifest describes, with fresh weights."""
    shape = {key: value for key, value in description.items() if key not in {"name", "options"}}
    return build(description["name"], **shape, **description["options"])
