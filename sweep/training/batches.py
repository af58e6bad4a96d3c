"""Batches from decoded images: where they lie, their order and normalisation, functions of explicit generators."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sweep.training.augment import Augment, augmented
from sweep.training.data.images import ImageData, TensorPair

RESIDENT_PART = 0.25
"""Of a trial's share of the GPU's memory: up to this much holds its data; the rest is for model and activations."""


def place(pair: TensorPair, device: torch.device) -> TensorPair:
    """The split where its batches are cut: on the GPU when it fits, with what is there already, in `RESIDENT_PART`.

    What doesn't fit stays where it is, mapped from the disk and shared with other trials; pinned memory for all of it
    would be this process's alone. `training_batches` then pins and copies batch by batch.
    """
    if device.type != "cuda" or not fits(pair.images.nbytes + pair.labels.nbytes, device):
        return pair
    return TensorPair(pair.images.to(device), pair.labels.to(device))


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of data may lie on a GPU, given the trial's share of it and what others left free."""
    free, total = torch.cuda.mem_get_info(device)
    share = total * torch.cuda.get_per_process_memory_fraction(device)
    return torch.cuda.memory_allocated(device) + size <= RESIDENT_PART * share and size <= RESIDENT_PART * free


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; a copy to a GPU goes on while this process does something else."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.pin_memory()  # of pageable memory the copy would wait; torch keeps and reuses pinned blocks
    return tensor.to(device, non_blocking=True)


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


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Whole batches in an epoch; one when there are fewer samples than a batch holds."""
    return max(1, samples // batch_size)


def shuffled(count: int, batch_size: int, generator: torch.Generator, device: torch.device) -> Iterator[torch.Tensor]:
    """Indices of each batch of an epoch, on `device`; the last, smaller one is left out."""
    order = torch.randperm(count, generator=generator, device=generator.device).to(device)
    for step in range(steps_per_epoch(count, batch_size)):
        yield order[step * batch_size : (step + 1) * batch_size]


def training_batches(
    pair: TensorPair, batch_size: int, *, augment: Augment, generator: torch.Generator, cutout: float = 0.0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled batches of one epoch, on the generator's device.

    The last, smaller batch is left out: batch norm can't learn from a single image.

    Args:
        pair: a split, as `place` returns it.
        batch_size: images a batch.
        augment: see `sweep.training.augment.augmented`.
        generator: draws order and augmentation.
        cutout: side of a black square, in units of the image's; 0 for none.

    Yields:
        uint8 images (N, C, H, W) and their labels (N,).
    """
    device = generator.device
    for chosen in shuffled(len(pair.labels), batch_size, generator, pair.images.device):
        images = augmented(on_device(pair.images[chosen], device), augment, generator, cutout_part=cutout)
        yield images, on_device(pair.labels[chosen], device)
