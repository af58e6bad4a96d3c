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

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from sweep.errors import CheckpointError
from sweep.store import checkpoints
from sweep.training import predictions, states
from sweep.training.augment import mixup
from sweep.training.batches import Normalise, on_device, place, training_batches
from sweep.training.data import ImageData, load, lookup
from sweep.training.loop import Loop
from sweep.training.models import build
from sweep.training.scoring import score, tally_of
from sweep.training.settings import Settings

if TYPE_CHECKING:
    from sweep.training.context import Context


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
    _Run(settings, ctx.data(settings.data, **settings.data_options), ctx).run()


class _Run(Loop):
    """The loop over images."""

    RATE = "images_per_s"
    settings: Settings

    def __init__(self, settings: Settings, data: ImageData, ctx: Context) -> None:
        self.train_split, self.val_split = place(data.train, ctx.device), place(data.val, ctx.device)
        self.normalise = Normalise(data, ctx.device)
        self.classes, self.class_names = len(data.classes), data.classes
        shape = {
            "num_classes": self.classes,
            "in_channels": data.channels,
            "image_size": data.image_size,
        }
        ctx.describe(model={"name": settings.model, **shape, "options": settings.model_options})
        model = build(settings.model, **shape, **settings.model_options)
        turned = settings.channels_last
        if turned == "auto":
            turned = ctx.device.type == "cuda" and is_convolutional(model)
        self.memory_format = torch.channels_last if turned else torch.contiguous_format
        model = model.to(ctx.device).to(memory_format=self.memory_format)
        super().__init__(settings, ctx, model, samples=len(data.train.labels))

    def batches(self, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Augmented, normalised, mixed: (B, C, H, W) floats; labels (B,), or probabilities (B, K) with mixup."""
        settings = self.settings
        for images, labels in training_batches(
            self.train_split,
            settings.batch_size,
            augment=settings.augment,
            generator=generator,
            cutout=settings.cutout,
        ):
            inputs, targets = self.normalise(images), labels
            if settings.mixup > 0:
                inputs, one, other, weight = mixup(inputs, labels, settings.mixup, generator)
                one, other = (functional.one_hot(each, self.classes).float() for each in (one, other))
                # The loss is linear in the probabilities: that of mixed labels is the mixture of their losses.
                targets = weight * one + (1 - weight) * other
            yield inputs.contiguous(memory_format=self.memory_format), targets

    @torch.no_grad()
    def show(self) -> None:
        """Some images of the val split, with what the model takes them for."""
        places = predictions.chosen(len(self.val_split[1]))
        images, labels = (part[places.to(part.device)] for part in self.val_split)
        self.judged.eval()
        with self.ctx.autocast():
            scores = self.judged(self.prepare(on_device(images, self.ctx.device)))
        sheet = predictions.picture(images.cpu(), labels.cpu(), scores.cpu(), self.class_names)
        predictions.write(self.ctx.log_dir, sheet, self.ctx.t + 1)

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """uint8 images to normalised floats."""
        return self.normalise(samples)


def is_convolutional(model: nn.Module) -> bool:
    """Whether it convolves more than once: a vision transformer only cuts its patches so."""
    return sum(isinstance(each, nn.Conv2d) for each in model.modules()) > 1


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
    data, pair = lookup.again(folder, manifest["data"], load, split)
    model = rebuild(manifest["model"])
    model.load_state_dict(states.read(folder, lambda: device)["model"])
    place_ = torch.device(device)
    tally = tally_of(model.to(place_).eval(), Normalise(data, place_))
    loss, accuracy = score(tally, pair.images, pair.labels, place_)
    return {f"{split}_loss": loss, f"{split}_accuracy": accuracy}


def rebuild(description: dict[str, Any]) -> nn.Module:
    """The model that a checkpoint's manifest describes, with fresh weights."""
    shape = {key: value for key, value in description.items() if key not in {"name", "options"}}
    return build(description["name"], **shape, **description["options"])
