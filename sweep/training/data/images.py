"""What every dataset is here: decoded images, in splits that never change; and the recipe that they are made by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from sweep.errors import TrainingError

SPLIT_SEED = 20_250_101
"""Of every split that a dataset doesn't bring itself. Changing it makes old and new results incomparable."""

SPLITS = ("train", "val", "test")
"""Their names, in the order in which loaders hand them to `assemble`."""


class TensorPair(NamedTuple):
    """The images and labels of a split.

    Attributes:
        images: (N, C, H, W) uint8, C is 1 or 3. They may be mapped from a file that other processes read too, copy
            on write.
        labels: (N,) int64 in [0, number of classes).
    """

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class ImageData:
    """A dataset, decoded.

    Attributes:
        name: as in `sweep.training.data.DATASETS`.
        train: the images to learn from.
        val: the images that trials are compared on.
        test: images that no search has seen, or None.
        classes: a name for each label.
        options: what the loader was given, JSON values.
    """

    name: str
    train: TensorPair
    val: TensorPair
    test: TensorPair | None
    classes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height and width in pixels; all images are square."""
        return self.train.images.shape[2]

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """Of each channel over the training images, in units of the full range 0..1."""
        return tuple(float(channel.mean()) for channel in self._channels())

    @cached_property
    def std(self) -> tuple[float, ...]:
        """Of each channel over the training images, in units of the full range 0..1; never 0."""
        return tuple(max(float(channel.std()), 1e-6) for channel in self._channels())

    def _channels(self) -> Iterator[torch.Tensor]:
        # At most 10,000 images: enough for three digits, and float copies of a large set would not fit.
        step = max(1, len(self.train.images) // 10_000)
        return (self.train.images[::step, channel].double() / 255 for channel in range(self.channels))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all pixels, labels and class names: equal exactly when trials saw the same data."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for pair in (self.train, self.val, self.test):
            for tensor in pair or ():
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        """What a checkpoint's manifest says about its data: enough to load it again, and to prepare one image alike."""
        return {
            "name": self.name,
            "options": {key: str(value) if key == "folder" else value for key, value in self.options.items()},
            "fingerprint": self.fingerprint,
            "channels": self.channels,
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
        }


class Split(NamedTuple):
    """A split whose images are decoded block by block, so that they never need to be in memory together.

    Attributes:
        labels: (N,) int64 in [0, number of classes).
        image_shape: (C, H, W).
        blocks: starts an iteration over uint8 tensors (n, C, H, W), n as it comes, N images in the labels' order.
    """

    labels: torch.Tensor
    image_shape: tuple[int, int, int]
    blocks: Callable[[], Iterator[torch.Tensor]]


@dataclass(frozen=True)
class Recipe:
    """A dataset that is yet to be decoded: into memory, or into the node's cache.

    Attributes:
        name: as in `sweep.training.data.DATASETS`.
        splits: "train", "val" and, if there is one, "test".
        classes: a name for each label.
        options: what the loader was given, JSON values and a `folder`.
    """

    name: str
    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    options: Mapping[str, Any]

    def in_memory(self) -> ImageData:
        """Decode everything into this process's memory."""
        pairs = {name: TensorPair(_gather(split), split.labels) for name, split in self.splits.items()}
        return ImageData(self.name, pairs["train"], pairs["val"], pairs.get("test"), self.classes, self.options)


def _gather(split: Split) -> torch.Tensor:
    images = torch.empty(len(split.labels), *split.image_shape, dtype=torch.uint8)
    end = 0
    for block in split.blocks():
        start, end = end, end + len(block)
        images[start:end] = block
    return images


def hold_out(pair: TensorPair, count: int, what: str) -> tuple[TensorPair, TensorPair]:
    """Split a set in two with the same share of each class in both.

    Args:
        pair: what to split.
        count: images that the second part gets; at least as many as there are classes.
        what: the dataset, for the message.

    Raises:
        TrainingError: a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    try:
        first, second = train_test_split(
            np.arange(len(pair.labels)),
            test_size=count,
            random_state=SPLIT_SEED,
            stratify=pair.labels.numpy(),
        )
    except ValueError as error:
        raise TrainingError(f"data: {what} can't be split into train and val: {error}") from error
    return select(pair, first), select(pair, second)


def select(pair: TensorPair, indices: Sequence[int] | np.ndarray) -> TensorPair:
    """The images of these indices, sorted by index."""
    chosen = torch.from_numpy(np.sort(np.asarray(indices)))
    return TensorPair(pair.images[chosen], pair.labels[chosen])


def resize(pair: TensorPair, size: int | None) -> TensorPair:
    """Scale images to size x size pixels, with antialiasing; as they are when that is None or their size already."""
    if size is None or pair.images.shape[-2:] == (size, size):
        return pair
    from torchvision.transforms.v2 import functional

    return TensorPair(functional.resize(pair.images, [size, size], antialias=True), pair.labels)


def assemble(
    name: str,
    splits: Sequence[TensorPair | Split | None],
    classes: Sequence[str],
    *,
    image_size: int | None,
    **options: Any,
) -> Recipe:
    """A dataset from its train, val and test splits; options of None are not kept.

    Decoded images are scaled to `image_size`; those of a `Split` have that size already.
    """
    named = {key: each for key, each in zip(SPLITS, splits, strict=True) if each is not None}
    if not {"train", "val"} <= named.keys():
        raise TrainingError(f"data: {name} has no images to train on or to compare trials on.")
    kept = {key: value for key, value in {"image_size": image_size, **options}.items() if value is not None}
    recipes = {key: each if isinstance(each, Split) else _at_once(each, image_size) for key, each in named.items()}
    return Recipe(name, recipes, tuple(classes), kept)


def _at_once(pair: TensorPair, image_size: int | None) -> Split:
    _, channels, height, width = pair.images.shape
    shape = (channels, height, width) if image_size is None else (channels, image_size, image_size)
    return Split(pair.labels, shape, lambda: iter((resize(pair, image_size).images,)))
