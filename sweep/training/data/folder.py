"""Any images: one folder a class, in torchvision's ImageFolder layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sweep.errors import TrainingError
from sweep.training.data.images import ImageData, TensorPair, assemble, hold_out

VAL_SHARE = 10
"""One in this many images is held out as val where the folder has no split of its own, and as many as test."""


def image_folder(folder: Path, *, image_size: int = 64, grey: bool = False) -> ImageData:
    """Images from `folder/train/CLASS/*`, `folder/val/CLASS/*` and, if there, `folder/test/CLASS/*`.

    Without train/ and val/, from `folder/CLASS/*`: a tenth of each class becomes val, a tenth test. Each image is
    scaled so that its shorter side has `image_size` pixels, and cut to the square in its middle. All are kept decoded,
    3 * image_size**2 bytes each (1 for grey): at 64 pixels a million images are 12 GB.

    Args:
        folder: the root.
        image_size: pixels.
        grey: one channel instead of three.

    Raises:
        TrainingError: no such folder, no images, a broken image, or splits of different classes.
    """
    if not folder.is_dir():
        raise TrainingError(f"data: there is no folder {folder}. Set data_dir to one with a folder for each class.")
    if (folder / "train").is_dir():
        names = [name for name in ("train", "val", "test") if (folder / name).is_dir()]
        read = {name: _read(folder / name, image_size, grey) for name in names}
        classes = read["train"][1]
        for name, (_, others) in read.items():
            if others != classes:
                odd = ", ".join(sorted(set(classes) ^ set(others)))
                raise TrainingError(f"data: {folder}/{name} and train have different classes: {odd}.")
        splits = [read[name][0] if name in read else None for name in ("train", "val", "test")]
        if splits[1] is None and splits[0] is not None:
            splits[:2] = hold_out(splits[0], _tenth(splits[0], classes), f"{folder}/train")
    else:
        everything, classes = _read(folder, image_size, grey)
        count = _tenth(everything, classes)
        rest, test = hold_out(everything, count, str(folder))
        splits = [*hold_out(rest, count, str(folder)), test]
    # Already of that size: kept as an option, so that the data can be loaded again.
    return assemble("image_folder", splits, classes, image_size=image_size, folder=folder, grey=grey or None)


def _tenth(pair: TensorPair, classes: list[str]) -> int:
    return max(len(classes), len(pair.labels) // VAL_SHARE)


def _read(folder: Path, size: int, grey: bool) -> tuple[TensorPair, list[str]]:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    steps: list[Any] = [v2.PILToTensor(), v2.Resize(size, antialias=True), v2.CenterCrop(size)]
    if grey:
        steps.insert(0, v2.Grayscale())
    try:
        dataset = ImageFolder(folder, transform=v2.Compose(steps))
        images = torch.empty(len(dataset), 1 if grey else 3, size, size, dtype=torch.uint8)
        for index in range(len(dataset)):
            images[index] = dataset[index][0]
    except OSError as error:  # a class without images, or one that PIL cannot read
        raise TrainingError(f"data: {folder} can't be read: {error}") from error
    return TensorPair(images, torch.tensor(dataset.targets)), list(dataset.classes)
