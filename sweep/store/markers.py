"""Whether several machines have one folder in common: one leaves a file there, and the others look for it."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 5.0
"""How long a machine looks for a file that isn't there: some shared file systems show it only after a while."""

_LOOK_S = 0.25


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


@contextmanager
def marked(folder: Path) -> Iterator[Path | None]:
    """A file in the folder, or in the nearest above it that is there, as long as others look for it.

    Its name was never used before, so that nobody's leftover is taken for it. None where no file can be made, which
    tells nothing of others.
    """
    marker = existing(folder) / f".sweep-marker-{uuid.uuid4().hex}"
    try:
        marker.touch()
    except OSError:
        yield None
        return
    try:
        yield marker
    finally:
        with contextlib.suppress(OSError):
            marker.unlink()


def sees(marker: Path, patience_s: float = PATIENCE_S) -> bool:
    """Whether the file is there; runs on the machine that looks."""
    deadline = time.monotonic() + patience_s
    while not marker.is_file():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
    return True
