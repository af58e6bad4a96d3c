"""MNIST and Fashion-MNIST from their idx files (http://yann.lecun.com/exdb/mnist describes the format)."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import torch

from sweep.errors import TrainingError
from sweep.training.data.images import Recipe, TensorPair, assemble, hold_out

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
VAL_SHARE = 12
"""One in this many of the official training images is held out as val: 5,000 of 60,000."""


def mnist(folder: Path, *, image_size: int | None = None) -> Recipe:
    """70,000 grey 28x28 digits: 55,000 train, 5,000 val, the official 10,000 test.

    Args:
        folder: holds train-images-idx3-ubyte and its three siblings, .gz or not, or torchvision's MNIST/raw/ with them.
        image_size: pixels to scale to; 28 by default.

    Raises:
        TrainingError: a file is missing or damaged.
    """
    return _load("mnist", "MNIST", folder, tuple("0123456789"), image_size)


def fashion_mnist(folder: Path, *, image_size: int | None = None) -> Recipe:
    """70,000 grey 28x28 pictures of clothes (Xiao et al. 2017, arXiv 1708.07747), split and stored like `mnist`.

    Debian's package dataset-fashion-mnist puts them into /usr/share/datasets/fashion-mnist.
    """
    return _load("fashion_mnist", "FashionMNIST", folder, FASHION_CLASSES, image_size)


def idx_files(folder: Path) -> list[Path]:
    """The idx files that a `folder` of MNIST or Fashion-MNIST holds, in any of the places where they are looked for."""
    return [
        file
        for part in (".", "MNIST/raw", "FashionMNIST/raw")
        for file in sorted((folder / part).glob("*-ubyte*"))
        if file.is_file()
    ]


def _load(name: str, torchvision_name: str, folder: Path, classes: tuple[str, ...], size: int | None) -> Recipe:
    raw = folder / torchvision_name / "raw"
    place = raw if raw.is_dir() else folder
    official = _read_pair(place, "train", name)
    test = _read_pair(place, "t10k", name)
    train, val = hold_out(official, max(len(classes), len(official.labels) // VAL_SHARE), name)
    return assemble(name, (train, val, test), classes, image_size=size, folder=folder)


def _read_pair(folder: Path, prefix: str, name: str) -> TensorPair:
    images = _read(folder, f"{prefix}-images-idx3-ubyte", 3, name)
    labels = _read(folder, f"{prefix}-labels-idx1-ubyte", 1, name)
    if len(images) != len(labels):
        raise TrainingError(f"data: {folder} has {len(images)} {prefix} images and {len(labels)} labels.")
    return TensorPair(torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64)))


def _read(folder: Path, stem: str, dimensions: int, name: str) -> np.ndarray:
    plain, packed = folder / stem, folder / f"{stem}.gz"
    if plain.is_file():
        content = plain.read_bytes()
    elif packed.is_file():
        content = gzip.decompress(packed.read_bytes())
    else:
        raise TrainingError(
            f"data: {name} needs {stem} (or {stem}.gz) in {folder}, beside its images, labels, train and t10k "
            "siblings. Put the four files there, or set data_dir to where they are."
        )
    # Two zero bytes, the type (8: unsigned byte), the number of dimensions, each of them big-endian, then the values.
    header = 4 + 4 * dimensions
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) != header + math.prod(shape):
        raise TrainingError(f"data: {folder / stem} is no complete idx file of {dimensions} dimensions. Get it again.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
