"""The hidden folder that a version is written in; a dead writer's one is recognised and removed."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.registry.layout import PROMOTING, ModelFolder

_LOCK = ".lock"


@contextmanager
def staging_folder(folder: ModelFolder) -> Iterator[Path]:
    """A folder to write a version in, removed at the end unless it was renamed.

    Its lock file is held by this process. The kernel lets go of it when the process dies, and so `remove_dead`
    knows a dead one's folder from a living one's.
    """
    beside = folder.root / f"{PROMOTING}{uuid.uuid4().hex}"
    lock = FileLock(_lock_of(beside))
    with folder.locked():
        lock.acquire()
    try:
        beside.mkdir()
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        _lock_of(beside).unlink(missing_ok=True)
        lock.release()


def remove_dead(folder: ModelFolder) -> list[str]:
    """Remove what killed promotions left, and name it."""
    if not any(folder.root.glob(f"{PROMOTING}*")):
        return []
    # Under the model's lock, for a living writer makes and takes its own lock file under it, too.
    with folder.locked():
        names = {path.name.removesuffix(_LOCK) for path in folder.root.glob(f"{PROMOTING}*")}
        return [name for name in sorted(names) if _remove_if_dead(folder.root / name)]


def _remove_if_dead(beside: Path) -> bool:
    lock = FileLock(_lock_of(beside))
    try:
        lock.acquire(timeout=0)
    except (Timeout, PermissionError):
        # Alive, or another user's, whose lock says nothing to us.
        return False
    try:
        shutil.rmtree(beside, ignore_errors=True)
        _lock_of(beside).unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def _lock_of(beside: Path) -> Path:
    return beside.with_name(beside.name + _LOCK)
