"""Writing so that a crash at any moment leaves the old or the new, never a half: beside, fsync, rename."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_dir(folder: Path) -> None:
    """Make the names in a folder durable (a rename isn't, until its folder is synced)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make every file and name below a folder durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        fsync_dir(Path(parent))


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path`, replacing what was there in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def publish_folder(beside: Path, final: Path) -> None:
    """Give a finished folder its name; both must have the same parent.

    Raises:
        FileExistsError: `final` exists.
    """
    fsync_tree(beside)
    # rename(2) would silently replace an empty folder.
    if final.exists():
        raise FileExistsError(final)
    beside.rename(final)
    fsync_dir(final.parent)


def append_durably(path: Path, line: bytes) -> None:
    """Append one line to a file and wait until the disk has it."""
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
