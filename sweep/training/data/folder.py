"""Any images: one folder a class, in torchvision's ImageFolder layout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sweep.errors import TrainingError
from sweep.training.data.images import SPLITS, Recipe, Split, TensorPair, assemble, hold_out

VAL_SHARE = 10
"""One in this many images is held out as val where the folder has no split of its own, and as many as test."""
BLOCK = 512
"""Images decoded together: all that is held in memory at once."""


def image_folder(folder: Path, *, image_size: int = 64, grey: bool = False) -> Recipe:
    """Images from `folder/train/CLASS/*`, `folder/val/CLASS/*` and, if there, `folder/test/CLASS/*`.

    Without train/ and val/, from `folder/CLASS/*`: a tenth of each class becomes val, a tenth test. Each image is
    scaled so that its shorter side has `image_size` pixels, and cut to the square in its middle. All are kept decoded,
    3 * image_size**2 bytes each (1 for grey): at 64 pixels a million images are 12 GB.

    Args:
        folder: the root.
        image_size: pixels.
        grey: one channel instead of three.

    Raises:
        TrainingError: no such folder, no images, or splits of different classes; a broken image, when it is decoded.
    """
    if not folder.is_dir():
        raise TrainingError(f"data: there is no folder {folder}. Set data_dir to one with a folder for each class.")
    if (folder / "train").is_dir():
        names = [name for name in SPLITS if (folder / name).is_dir()]
        parts = {name: _Listed(folder / name, image_size, grey) for name in names}
        classes = parts["train"].classes
        for name, part in parts.items():
            if part.classes != classes:
                odd = ", ".join(sorted(set(classes) ^ set(part.classes)))
                raise TrainingError(f"data: {folder}/{name} and train have different classes: {odd}.")
        splits = [parts[name].split(parts[name].everything) if name in parts else None for name in SPLITS]
        if splits[1] is None:
            splits[:2] = map(parts["train"].split, _hold_out_tenth(parts["train"], parts["train"].everything))
    else:
        whole = _Listed(folder, image_size, grey)
        classes = whole.classes
        rest, test = _hold_out_tenth(whole, whole.everything)
        train, val = hold_out(rest, len(test.labels), str(folder))
        splits = [whole.split(each) for each in (train, val, test)]
    return assemble("image_folder", splits, classes, image_size=image_size, folder=folder, grey=grey or None)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and its subfolders, in order, those behind links too: as ImageFolder goes through them."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()  # os.walk goes on in this order
        yield from (Path(parent, name) for name in sorted(names))


class _Listed:
    """A folder of classes whose files are known, and not opened so far.

    Attributes:
        classes: the folders' names, sorted.
        everything: index and label of each file.
    """

    def __init__(self, folder: Path, size: int, grey: bool) -> None:
        from torchvision.datasets import ImageFolder
        from torchvision.transforms import v2

        steps: list[Any] = [v2.PILToTensor(), v2.Resize(size, antialias=True), v2.CenterCrop(size)]
        if grey:
            steps.insert(0, v2.Grayscale())
        self.folder = folder
        self._shape = (1 if grey else 3, size, size)
        try:
            self._dataset = ImageFolder(folder, transform=v2.Compose(steps))
        except OSError as error:  # a class without images
            raise TrainingError(f"data: {folder} can't be read: {error}") from error
        self.classes: list[str] = list(self._dataset.classes)
        self.everything = TensorPair(torch.arange(len(self._dataset)), torch.tensor(self._dataset.targets))

    def split(self, chosen: TensorPair) -> Split:
        """The images of some of `everything`."""
        return Split(chosen.labels, self._shape, partial(self._decode, chosen.images.tolist()))

    def _decode(self, indices: list[int]) -> Iterator[torch.Tensor]:
        # Threads, for Pillow and torch let go of the interpreter's lock while they decode and scale.
        with ThreadPoolExecutor(_cores()) as pool:
            for start in range(0, len(indices), BLOCK):
                try:
                    block = list(pool.map(self._image, indices[start : start + BLOCK]))
                except OSError as error:  # one that Pillow cannot read
                    raise TrainingError(f"data: {self.folder} can't be read: {error}") from error
                yield torch.stack(block)

    def _image(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self._dataset[index][0]
        return image


def _hold_out_tenth(part: _Listed, pair: TensorPair) -> tuple[TensorPair, TensorPair]:
    count = max(len(part.classes), len(pair.labels) // VAL_SHARE)
    return hold_out(pair, count, str(part.folder))


def _cores() -> int:
    """Those that this process may use: a trial's own share of them isn't asked, for the others wait for this."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
