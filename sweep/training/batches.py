"""Batches from decoded images: order, augmentation and normalisation, each a function of explicit generators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch.nn import functional

from sweep.training.data.images import ImageData, TensorPair

Augment = Literal["none", "crop", "crop_flip"]

RESIDENT_BYTES = 2**30
"""Splits up to this size are copied to the GPU once; of larger ones each batch is copied when it is due."""


def place(pair: TensorPair, device: torch.device) -> TensorPair:
    """The split where its batches are cut: on the GPU when it is small, in pinned memory when it isn't."""
    if device.type != "cuda":
        return pair
    if pair.images.nbytes <= RESIDENT_BYTES:
        return TensorPair(pair.images.to(device), pair.labels.to(device))
    return TensorPair(pair.images.pin_memory(), pair.labels.pin_memory())


def epoch_generator(seed: int, epoch: int, device: torch.device) -> torch.Generator:
    """A generator that depends on seed and epoch alone, so that a resumed epoch sees what the first would have.

    Seeds of different pairs differ as long as there are fewer than a million epochs.
    """
    return torch.Generator(device).manual_seed(seed * 1_000_000 + epoch)


class Normalise:
    """uint8 images to floats of mean 0 and standard deviation 1 over the training images."""

    def __init__(self, data: ImageData, device: torch.device) -> None:
        self.mean = torch.tensor(data.mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(data.std, device=device).view(1, -1, 1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) uint8 to float32 of the same shape."""
        return (images.float() / 255 - self.mean) / self.std


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches in an epoch; one when there are fewer images than a batch holds."""
    return max(1, images // batch_size)


def training_batches(
    pair: TensorPair, batch_size: int, *, augment: Augment, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled batches of one epoch, on the generator's device.

    The last, smaller batch is left out: batch norm can't learn from a single image.

    Args:
        pair: a split, as `place` returns it.
        batch_size: images a batch.
        augment: see `augmented`.
        generator: draws order and augmentation.

    Yields:
        uint8 images (N, C, H, W) and their labels (N,).
    """
    device = generator.device
    order = torch.randperm(len(pair.labels), generator=generator, device=device).to(pair.images.device)
    for step in range(steps_per_epoch(len(order), batch_size)):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        images = pair.images[chosen].to(device, non_blocking=True)
        yield augmented(images, augment, generator), pair.labels[chosen].to(device, non_blocking=True)


def augmented(images: torch.Tensor, augment: Augment, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to an eighth of its size (black moves in), and mirrored half of the time.

    Args:
        images: (N, C, H, W) on the generator's device.
        augment: "none", "crop" (moved) or "crop_flip" (moved and mirrored).
        generator: draws one offset and one coin for each image.
    """
    if augment == "none":
        return images
    images = _shifted(images, max(1, images.shape[-1] // 8), generator)
    if augment == "crop_flip":
        coins = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5  # noqa: PLR2004
        images = torch.where(coins, images.flip(-1), images)
    return images


def _shifted(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    count, _, height, width = images.shape
    padded = functional.pad(images, (most, most, most, most))
    offsets = torch.randint(0, 2 * most + 1, (2, count, 1), generator=generator, device=images.device)
    rows = offsets[0] + torch.arange(height, device=images.device)  # (N, H)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (N, W)
    which = torch.arange(count, device=images.device)[:, None, None]
    # Indices apart from the channel's come first in the result: (N, H, W, C).
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
