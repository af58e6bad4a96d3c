"""CIFAR-10 and CIFAR-100, read by torchvision from a folder that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sweep.errors import TrainingError
from sweep.training.data.images import Recipe, TensorPair, assemble, hold_out

VAL_SHARE = 10
"""One in this many of the official training images is held out as val: 5,000 of 50,000."""


def cifar10(folder: Path, *, image_size: int | None = None) -> Recipe:
    """60,000 colour 32x32 images in 10 classes: 45,000 train, 5,000 val, the official 10,000 test.

    Args:
        folder: holds cifar-10-batches-py/, as cifar-10-python.tar.gz unpacks.
        image_size: pixels to scale to; 32 by default.

    Raises:
        TrainingError: files are missing, or differ from the published ones. They are pickles, so torchvision compares
            them with their known digests first.
    """
    from torchvision.datasets import CIFAR10

    return _load("cifar10", CIFAR10, folder, image_size)


def cifar100(folder: Path, *, image_size: int | None = None) -> Recipe:
    """60,000 colour 32x32 images in 100 classes, split like `cifar10`; `folder` holds cifar-100-python/."""
    from torchvision.datasets import CIFAR100

    return _load("cifar100", CIFAR100, folder, image_size)


def cifar_files(folder: Path) -> list[Path]:
    """The files of CIFAR-10 and CIFAR-100 that a `folder` holds."""
    return [file for part in ("cifar-10-batches-py", "cifar-100-python") for file in sorted((folder / part).glob("*"))]


def _load(name: str, dataset: Any, folder: Path, image_size: int | None) -> Recipe:
    try:
        official, held_back = (dataset(folder, train=train, download=False) for train in (True, False))
    except RuntimeError as error:
        raise TrainingError(
            f"data: {name} isn't complete in {folder}. Get {dataset.url}, unpack it so that {folder} holds "
            f"{dataset.base_folder}/, or set data_dir to where that is."
        ) from error
    whole = _pair(official)
    train, val = hold_out(whole, max(len(official.classes), len(whole.labels) // VAL_SHARE), name)
    return assemble(name, (train, val, _pair(held_back)), official.classes, image_size=image_size, folder=folder)


def _pair(dataset: Any) -> TensorPair:
    # torchvision holds (N, H, W, C).
    images = torch.from_numpy(np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)))
    return TensorPair(images, torch.tensor(dataset.targets))
