"""Image datasets by name, decoded once on a node and shared by all trials there.

========================== ==================================================================================
digits                     1,797 grey 8x8 images in 10 classes, inside scikit-learn: needs no folder
mnist, fashion_mnist       70,000 grey 28x28 images; `folder` holds the idx files, .gz or not
cifar10, cifar100          60,000 colour 32x32 images; `folder` holds what torchvision downloads
image_folder               any images, one folder a class; ImageNet too, as long as it fits on the disk
========================== ==================================================================================

Splits don't depend on a trial's seed: every trial of every study is judged on the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sweep.errors import TrainingError
from sweep.training.data import lookup, node_cache
from sweep.training.data.cifar import cifar10, cifar100, cifar_files
from sweep.training.data.digits import digits
from sweep.training.data.folder import files_below, image_folder
from sweep.training.data.idx import fashion_mnist, idx_files, mnist
from sweep.training.data.images import ImageData, Recipe, TensorPair


class Dataset(NamedTuple):
    """How a dataset is read.

    Attributes:
        read: its options to what is to be decoded.
        files: its folder to the files that it is read from: when one of them changes, it is decoded anew.
    """

    read: Callable[..., Recipe]
    files: Callable[[Path], Iterable[Path]]


DATASETS = {
    "digits": Dataset(digits, lambda _: ()),
    "mnist": Dataset(mnist, idx_files),
    "fashion_mnist": Dataset(fashion_mnist, idx_files),
    "cifar10": Dataset(cifar10, cifar_files),
    "cifar100": Dataset(cifar100, cifar_files),
    "image_folder": Dataset(image_folder, files_below),
}

__all__ = ["DATASETS", "Dataset", "ImageData", "TensorPair", "load"]


def load(name: str, **options: Any) -> ImageData:
    """A dataset by name; a second call with the same options returns the same tensors, unless they were written into.

    The first call on a node decodes it, see `sweep.training.data.node_cache`; each other process maps what was decoded.

    Args:
        name: one of `DATASETS`.
        options: those of the loader of that name; None means its default. A `folder` may start with ~.

    Raises:
        TrainingError: an unknown name or option, or a folder that lacks files; it says which go where.
    """
    options, known = lookup.check(name, {each: dataset.read for each, dataset in DATASETS.items()}, options)
    missing = [key for key, each in known.items() if each.default is each.empty and key not in options]
    if missing:
        raise TrainingError(f"data: {name} needs {' and '.join(missing)}, e.g. data_dir: /data/{name}.")
    if "folder" in options:
        options["folder"] = Path(options["folder"]).expanduser().absolute()
    given = tuple(sorted(options.items()))
    data, versions = _load(name, given)
    if versions != _versions(data):
        # Another trial's affair: this one gets what was decoded.
        _load.cache_clear()
        data, _ = _load(name, given)
    return data


# Two, because a study trains on one dataset and a process may compare it with another: more would only fill memory.
@lru_cache(maxsize=2)
def _load(name: str, options: tuple[tuple[str, Any], ...]) -> tuple[ImageData, list[int]]:
    dataset, given = DATASETS[name], dict(options)
    files = dataset.files(given["folder"]) if "folder" in given else ()
    data = node_cache.fetch(name, given, files, lambda: dataset.read(**given))
    return data, _versions(data)


def _versions(data: ImageData) -> list[int]:
    """How often torch has written into each tensor; it counts for autograd's sake."""
    pairs = [pair for pair in (data.train, data.val, data.test) if pair is not None]
    return [tensor._version for pair in pairs for tensor in pair]  # noqa: SLF001 - there is no public way to ask
