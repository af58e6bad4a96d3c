"""Augmentation of whole batches, on the device where they lie: no loop over images, each a function of its generator.

They take images (B, C, H, W), uint8 or float, and a generator on the same device; what they return is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import functional

Augment = Literal["none", "crop", "crop_flip"]


def augmented(
    images: torch.Tensor, augment: Augment, generator: torch.Generator, *, cutout_part: float = 0.0
) -> torch.Tensor:
    """What a config's `augment` and `cutout` ask for.

    Args:
        images: (B, C, H, W) on the generator's device.
        augment: "none", "crop" (moved by up to an eighth of its size) or "crop_flip" (moved and mirrored).
        generator: draws for each image.
        cutout_part: see `cutout`; 0 for none.
    """
    if augment != "none":
        images = augmented_each(images[None], augment, [generator])[0]
    return cutout(images, cutout_part, generator) if cutout_part > 0 else images


def augmented_each(images: torch.Tensor, augment: Augment, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Batches augmented at once, each by draws of its own generator, as `augmented` would with it alone.

    Args:
        images: (K, B, C, H, W).
        augment: see `augmented`.
        generators: K, on the images' device.
    """
    if augment == "none":
        return images
    many = crop(images.flatten(0, 1), max(1, images.shape[-1] // 8), *generators)
    if augment == "crop_flip":
        many = flip(many, *generators)
    return many.view(images.shape)


def crop(images: torch.Tensor, most: int, generator: torch.Generator, *others: torch.Generator) -> torch.Tensor:
    """Each image moved by up to `most` pixels in both directions, every offset as likely; black (0) moves in.

    Of several generators each draws for its part of the images, all of which have one size.
    """
    count, _, height, width = images.shape
    generators = (generator, *others)
    shape = (2, count // len(generators), 1)
    draws = [torch.randint(0, 2 * most + 1, shape, generator=each, device=each.device) for each in generators]
    offsets = torch.cat(draws, dim=1)
    padded = functional.pad(images, (most, most, most, most))
    rows = offsets[0] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1] + torch.arange(width, device=images.device)  # (B, W)
    which = torch.arange(count, device=images.device)[:, None, None]
    # Indices apart from the channel's come first in the result: (B, H, W, C).
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def flip(images: torch.Tensor, generator: torch.Generator, *others: torch.Generator) -> torch.Tensor:
    """Each image mirrored left to right, half of the time; several generators as in `crop`."""
    generators = (generator, *others)
    shape = (len(images) // len(generators), 1, 1, 1)
    coins = torch.cat([torch.rand(shape, generator=each, device=each.device) < 0.5 for each in generators])  # noqa: PLR2004
    return torch.where(coins, images.flip(-1), images)


def cutout(images: torch.Tensor, part: float, generator: torch.Generator) -> torch.Tensor:
    """A square of each image set to 0, wherever it falls (DeVries & Taylor 2017, arXiv 1708.04552).

    Its centre may be any pixel, so that it often reaches over the edge: there it hides less. The paper fills normalised
    images with 0, which is their mean; uint8 images get black here, as at the edges of a `crop`.

    Args:
        images: (B, C, H, W).
        part: the square's side, in units of the image's; above 0, at most 1. One pixel at least is hidden.
        generator: draws a centre for each image.
    """
    return images.masked_fill(_boxes(images, torch.full((), part, device=images.device), generator), 0)


def mixup(
    images: torch.Tensor, labels: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Each image mixed with another of the batch (Zhang et al. 2018, arXiv 1710.09412).

    The loss is `weight * loss(labels_a) + (1 - weight) * loss(labels_b)`. As in the authors' code one weight holds for
    the whole batch. It stays on the device, so that nobody waits for it.

    Args:
        images: (B, C, H, W) floats, normalised.
        labels: (B,).
        alpha: above 0; the weight is drawn from Beta(alpha, alpha).
        generator: draws the weight, then each image's partner.

    Returns:
        images (B, C, H, W), labels_a (B,), labels_b (B,), and the weight of labels_a: a scalar in [0, 1].
    """
    weight = _beta(alpha, images.device, generator)
    partner = torch.randperm(len(images), generator=generator, device=images.device)
    return weight * images + (1 - weight) * images[partner], labels, labels[partner], weight


def cutmix(
    images: torch.Tensor, labels: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A square of each image replaced by that of another in the batch (Yun et al. 2019, arXiv 1905.04899).

    Like `mixup` in all but this: the weight is the share of pixels that an image keeps. Where the square lies is
    drawn for each image (the paper: for each batch), so what is kept differs by how much it reaches over the edge.

    Args:
        images: (B, C, H, W).
        labels: (B,).
        alpha: above 0; the share to keep is drawn from Beta(alpha, alpha).
        generator: draws the share, each image's partner and each square's centre.

    Returns:
        images (B, C, H, W), labels_a (B,), labels_b (B,), and the weight of each one's labels_a: (B,) in [0, 1].
    """
    keep = _beta(alpha, images.device, generator)
    partner = torch.randperm(len(images), generator=generator, device=images.device)
    box = _boxes(images, (1 - keep).sqrt(), generator)
    return torch.where(box, images[partner], images), labels, labels[partner], 1 - box.float().mean(dim=(1, 2, 3))


def _beta(alpha: float, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """A scalar from Beta(alpha, alpha)."""
    # What torch.distributions.Beta calls; that one takes no generator.
    return torch._sample_dirichlet(torch.full((2,), alpha, device=device), generator=generator)[0]  # noqa: SLF001


def _boxes(images: torch.Tensor, part: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(B, 1, H, W): true in a square around a random pixel of each image; `part` of the image's side is its own."""

    def inside(size: int) -> torch.Tensor:
        side = (part * size).round().clamp(min=1)
        centre = torch.randint(0, size, (len(images), 1), generator=generator, device=images.device)
        distance = torch.arange(size, device=images.device) - (centre - (side / 2).floor())
        return (distance >= 0) & (distance < side)

    return (inside(images.shape[-2])[:, :, None] & inside(images.shape[-1])[:, None, :])[:, None]
