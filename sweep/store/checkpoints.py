"""Checkpoints on disk: a folder that is complete and checked, or not there at all.

A checkpoint is whatever files its writer puts in, and a `manifest.json` with the size and SHA-256 of each. It is
written beside its place, fsynced and renamed, so a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweep.errors import CheckpointError
from sweep.store.files import publish_folder, sha256_file

MANIFEST = "manifest.json"
FORMAT = 1


def write(folder: Path, fill: Callable[[Path], None], meta: Mapping[str, Any]) -> None:
    """Make a checkpoint; one that an earlier attempt left at the same place is replaced.

    Args:
        folder: where it will be; its parents are made.
        fill: writes the files into the folder that it is given.
        meta: facts for the manifest, JSON values; must not use the keys "format" and "files".
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        fill(beside)
        facts = {**meta, "format": FORMAT, "files": _digests(beside)}
        (beside / MANIFEST).write_text(json.dumps(facts, indent=2) + "\n")
        if folder.exists():
            # An attempt that goes over the same fidelity again writes what is already there; the older one goes first,
            # under a hidden name, since a folder can't be replaced in one step.
            remove(folder)
        publish_folder(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def copy(source: Path, target: Path) -> None:
    """Copy a complete checkpoint; one that is at the target is replaced.

    Its manifest says what the original's does: by whom it was trained.

    Raises:
        OSError: the disk refused; the target is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        shutil.copytree(source, beside)
        if target.exists():
            remove(target)
        publish_folder(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in files
    }


def is_complete(folder: Path) -> bool:
    """Whether the checkpoint was written to its end; its bytes are not read."""
    return (folder / MANIFEST).is_file()


def manifest(folder: Path) -> dict[str, Any]:
    """The checkpoint's manifest; its files are not looked at.

    Raises:
        CheckpointError: it is missing, or no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: no complete checkpoint here ({MANIFEST} is missing).")
    return parsed(path.read_bytes(), str(path))


def parsed(data: bytes, where: str) -> dict[str, Any]:
    """A manifest from its bytes.

    Raises:
        CheckpointError: it is none; the text names `where`.
    """
    try:
        found: dict[str, Any] = json.loads(data)
        found["files"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{where}: not the manifest of a checkpoint ({error}).") from error
    return found


def verify(folder: Path) -> dict[str, Any]:
    """The checkpoint's manifest, after each file was compared with its digest.

    Raises:
        CheckpointError: the manifest or a file is missing, or a file was changed.
    """
    found = manifest(folder)
    for name, facts in found["files"].items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{folder}: {name} is missing.")
        if sha256_file(file) != facts["sha256"]:
            raise CheckpointError(f"{file}: changed since it was written (its SHA-256 differs from the manifest's).")
    return found


def remove(folder: Path) -> None:
    """Delete a checkpoint; it vanishes in one step, so nobody can read half of it."""
    # A name of its own: of an earlier one of this folder something may be left, where a machine has a file of it open.
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.gone")
    try:
        folder.rename(hidden)
    except FileNotFoundError:
        return
    shutil.rmtree(hidden, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Delete what killed writers left in a trial's checkpoint folder; nobody may be writing there."""
    for left in folder.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


def complete_ones(folder: Path) -> list[Path]:
    """The complete checkpoints in a trial's checkpoint folder, in no order."""
    if not folder.is_dir():
        return []
    return [child for child in folder.iterdir() if not child.name.startswith(".") and is_complete(child)]
