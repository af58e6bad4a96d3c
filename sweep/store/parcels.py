"""Checkpoints on their way to a bucket and back: there complete, their manifest coming last, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from sweep.errors import CheckpointError
from sweep.store import checkpoints
from sweep.store.buckets import Bucket, Entry
from sweep.store.checkpoints import MANIFEST

_IN_USE = ".in-use"


def upload(bucket: Bucket, key: str, folder: Path) -> None:
    """Put a complete checkpoint into a bucket; one that an earlier attempt left there is replaced.

    Raises:
        BucketError: the store refused; what is there isn't complete then.
        CheckpointError: the checkpoint isn't complete.
    """
    names = list(checkpoints.manifest(folder)["files"])
    # Or the old one's manifest would speak of new files.
    bucket.delete([f"{key}/{MANIFEST}"])
    for name in names:
        bucket.put(f"{key}/{name}", folder / name)
    bucket.put(f"{key}/{MANIFEST}", (folder / MANIFEST).read_bytes())


def download(bucket: Bucket, key: str, folder: Path) -> None:
    """Bring a checkpoint from a bucket, unless this very one is here; every byte of it is compared.

    Raises:
        BucketError: the store refused.
        CheckpointError: it isn't there, or is damaged.
    """
    written = bucket.get(f"{key}/{MANIFEST}")
    if written is None:
        raise CheckpointError(f"{bucket.url}/{key}: no complete checkpoint here ({MANIFEST} is missing).")
    with suppress(FileNotFoundError):
        if (folder / MANIFEST).read_bytes() == written:
            # Among what is kept here it is the one that was wanted last.
            os.utime(folder / MANIFEST)
            return
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        (beside / MANIFEST).write_bytes(written)
        for name in checkpoints.manifest(beside)["files"]:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise CheckpointError(f"{bucket.url}/{key}: its manifest names {name}, outside of it.")
            if not bucket.fetch(f"{key}/{name}", beside / path):
                raise CheckpointError(f"{bucket.url}/{key}: {name} is missing.")
        checkpoints.verify(beside)
        checkpoints.remove(folder)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def in_use(trial: Path) -> Iterator[None]:
    """Say, as long as this process lives, that an attempt of a trial is at work on this machine."""
    trial.mkdir(parents=True, exist_ok=True)
    with (trial / _IN_USE).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def free(trial: Path) -> Iterator[bool]:
    """Whether no attempt of a trial is at work on this machine; if so, none begins meanwhile."""
    with (trial / _IN_USE).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def forget(trials: Path, keep: int) -> None:
    """Remove copies of checkpoints, all but those that were written or wanted last, and those of trials in use.

    Args:
        trials: the folder of a study's trials, here.
        keep: so many stay.
    """
    found = []
    for manifest in trials.glob(f"*/checkpoints/*/{MANIFEST}"):
        with suppress(FileNotFoundError):
            found.append((manifest.stat().st_mtime_ns, manifest.parent))
    for _, folder in sorted(found, reverse=True)[keep:]:
        with suppress(FileNotFoundError), free(folder.parent.parent) as is_free:
            if is_free:
                checkpoints.remove(folder)


def copy(bucket: Bucket, key: str, to: str) -> bool:
    """Copy a complete checkpoint within a bucket; one that is at the target is replaced. False where there is none."""
    names = [entry.key.removeprefix(f"{key}/") for entry in bucket.entries(key)]
    if MANIFEST not in names:
        return False
    bucket.delete([f"{to}/{MANIFEST}"])
    try:
        for name in (*(each for each in names if each != MANIFEST), MANIFEST):
            bucket.copy(f"{key}/{name}", f"{to}/{name}")
    except FileNotFoundError:
        return False
    return True


def remove(bucket: Bucket, key: str) -> None:
    """Remove a checkpoint; its manifest goes first, so that nobody reads half of it."""
    bucket.delete([f"{key}/{MANIFEST}"])
    bucket.delete(entry.key for entry in bucket.entries(key))


def sorted_out(entries: Iterable[Entry], trials: str) -> tuple[set[str], set[str]]:
    """Of a listing, the keys of complete checkpoints, and of those that killed writers left.

    Args:
        entries: what is in the bucket.
        trials: the folder of the trials, as keys have it.
    """
    found: dict[str, bool] = {}
    for entry in entries:
        parts = entry.key.split("/")
        if len(parts) > 4 and parts[0] == trials and parts[2] == "checkpoints":  # noqa: PLR2004 - trials/N/checkpoints/NAME/FILE
            key = "/".join(parts[:4])
            found[key] = found.get(key, False) or parts[4:] == [MANIFEST]
    return {key for key, complete in found.items() if complete}, {key for key, there in found.items() if not there}
