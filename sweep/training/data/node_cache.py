"""Decoded datasets on a node's disk: decoded by one process, mapped into memory by every other.

::

    CACHE/image_folder-4f0c.../manifest.json     what it is, its mean, std and fingerprint
                               train-images.npy  uint8 (N, C, H, W); train-labels.npy: int64 (N,); val and test alike
    CACHE/.image_folder-4f0c....lock             held, by the operating system, by the process that decodes
    CACHE/.image_folder-4f0c....77.building      what process 77 is writing, or was when it was killed

CACHE is `sweep.store.paths.data_cache`. A folder is complete or not
there: it is written beside, synced and renamed. Where it can't be written (no permission, disk full), the process
decodes for itself, and says so.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from filelock import FileLock, Timeout

from sweep.store.files import publish_folder
from sweep.store.paths import DATA_CACHE, data_cache
from sweep.training.data.images import SPLITS, ImageData, Recipe, Split, TensorPair

MANIFEST = "manifest.json"
UNUSED_DAYS = 30
"""What no process has opened for so long is deleted when something new is decoded."""


def fetch(name: str, options: Mapping[str, Any], files: Iterable[Path], read: Callable[[], Recipe]) -> ImageData:
    """A dataset from the cache; decoded into it first if it isn't there.

    Args:
        name: of the dataset.
        options: what its loader is given.
        files: what it is read from, always in the same order.
        read: its loader, called only when it has to be decoded.

    Raises:
        TrainingError: whatever the loader raises.
    """
    if os.environ.get(DATA_CACHE) == "":
        return read().in_memory()
    try:
        root = data_cache()
        folder = root / _key(name, options, files)
        return _open(folder) or _decode_once(folder, read)
    except (OSError, NotImplementedError) as error:  # the latter is filelock's, of a disk without locks
        _say(f"{name} can't be kept on disk, so this process decodes it for itself: {error}. See {DATA_CACHE}.")
        return read().in_memory()


def _key(name: str, options: Mapping[str, Any], files: Iterable[Path]) -> str:
    """A folder name that another dataset, option, source file, decoder or version of our loaders changes.

    A source file counts by path, size and time of change, as make and rsync do: reading a large dataset to compare its
    bytes would take as long as decoding it. What a checkpoint states is `ImageData.fingerprint`, of all pixels.
    """
    digest = hashlib.sha256()
    decoders = [PIL.__version__, version("torchvision"), version("scikit-learn")]  # pillow-simd has another name
    digest.update(repr((name, sorted((key, str(value)) for key, value in options.items()), decoders)).encode())
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    for file in files:
        with suppress(FileNotFoundError):  # a link to nothing: the loader's affair
            facts = file.stat()
            digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return f"{name}-{digest.hexdigest()[:20]}"


def _open(folder: Path) -> ImageData | None:
    """The dataset in a folder; None if it isn't there, or damaged."""
    try:
        data = _mapped(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):  # a missing or cut file; no JSON; another JSON
        return None
    with suppress(OSError):  # a cache that may only be read is as good
        os.utime(folder / MANIFEST)
    return data


def _mapped(folder: Path, facts: Mapping[str, Any]) -> ImageData:
    pairs = {name: TensorPair(*(_map(folder / file) for file in _files(name))) for name in facts["splits"]}
    options = {key: Path(value) if key == "folder" else value for key, value in facts["options"].items()}
    data = ImageData(facts["name"], pairs["train"], pairs["val"], pairs.get("test"), tuple(facts["classes"]), options)
    if "fingerprint" in facts:
        # What these cached properties would compute from all pixels, each process anew.
        vars(data).update(
            fingerprint=facts["fingerprint"], mean=tuple(facts["mean"]), std=tuple(facts["std"])
        )  # fmt: skip
    return data


def _files(split: str) -> tuple[str, str]:
    return f"{split}-images.npy", f"{split}-labels.npy"


def _map(file: Path) -> torch.Tensor:
    # Copy on write: who writes into a tensor has pages of his own from then on; with a read-only map he would crash.
    try:
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        # Larger than this machine's memory: Linux gives no map that all of it might be written into.
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _decode_once(folder: Path, read: Callable[[], Recipe]) -> ImageData:
    """Decode into the folder, or wait until the process that does so has finished."""
    root = folder.parent
    root.mkdir(parents=True, exist_ok=True)
    _delete_unused(root)  # first, for it makes room
    with _locked(folder):
        data = _open(folder)
        if data is not None:  # another process was quicker
            return data
        for left in (folder, *root.glob(f".{folder.name}.*.building")):  # damaged, or of a builder that was killed
            _delete(left)
        beside = root / f".{folder.name}.{os.getpid()}.building"
        began = time.monotonic()
        try:
            beside.mkdir()
            _write(read(), beside)
            publish_folder(beside, folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        _say(f"decoded once for this node in {time.monotonic() - began:.1f} s: {folder}")
    data = _open(folder)
    if data is None:
        raise OSError(f"{folder} was deleted at once")
    return data


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say(f"waiting for the process that decodes {folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write(recipe: Recipe, folder: Path) -> None:
    for name, split in recipe.splits.items():
        images, labels = _files(name)
        _write_images(folder / images, split)
        np.save(folder / labels, split.labels.numpy())
    facts: dict[str, Any] = {
        "name": recipe.name,
        "options": {key: str(value) if key == "folder" else value for key, value in recipe.options.items()},
        "classes": recipe.classes,
        "splits": {name: len(recipe.splits[name].labels) for name in SPLITS if name in recipe.splits},
    }
    data = _mapped(folder, facts)
    facts |= {"fingerprint": data.fingerprint, "mean": data.mean, "std": data.std}
    (folder / MANIFEST).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _write_images(path: Path, split: Split) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split.labels), *split.image_shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        # Written, not mapped: on a full disk that is an OSError, and in a mapping the end of the process (SIGBUS).
        for block in split.blocks():
            file.write(block.contiguous().numpy().data)


def _delete_unused(root: Path) -> None:
    """Delete datasets that nobody has opened for long, and what killed builders left of others.

    A process that has one mapped keeps it: its pages go when the last mapping does.
    """
    for folder in root.iterdir():
        left = folder.name.startswith(".") and folder.suffix == ".building"
        stamp = folder / MANIFEST
        try:
            if not left and time.time() - stamp.stat().st_mtime < UNUSED_DAYS * 24 * 3600:
                continue
            key = folder.name[1:].rsplit(".", 2)[0] if left else folder.name
            with FileLock(root / f".{key}.lock", timeout=0):
                _delete(folder)
        except OSError:  # no dataset; or somebody builds it (Timeout)
            continue


def _delete(folder: Path) -> None:
    """Delete a folder, if it is there; a reader finds all of it or nothing, so the manifest goes first."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _say(line: str) -> None:
    """One line for the attempt's log."""
    sys.stderr.write(f"data: {line}\n")
