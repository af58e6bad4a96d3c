"""The control file: what people ask of a study from other processes, a line of JSON each, appended and never changed.

The driver looks into it as time passes. That a request was taken up, and with what answer, is an event of the study.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from sweep.core.events import Request
from sweep.errors import StorageError

LOOK_EVERY_S = 0.5
"""How often the file is looked into, however often somebody asks."""

_LOG = logging.getLogger(__name__)


def append(path: Path, request: Request) -> None:
    """Put a request into a study's control file, on the disk.

    Raises:
        StorageError: it can't be written.
    """
    line = request.model_dump_json(exclude_none=True).encode() + b"\n"
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Somebody may have died in the middle of a line; it must not swallow ours.
            if file.seek(0, os.SEEK_END) and _last_byte(file.fileno()) != b"\n":
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{path}: can't be written ({error.strerror}). Nothing was asked of the study.") from error


def _last_byte(file: int) -> bytes:
    return os.pread(file, 1, os.fstat(file).st_size - 1)


class Inbox:
    """The requests that have come since the last look.

    Args:
        path: of the control file; it need not be there.
        every_s: the least time between two looks.
        clock: seconds that only rise.
    """

    def __init__(
        self, path: Path, *, every_s: float = LOOK_EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._every_s = every_s
        self._clock = clock
        self._read = self._line = 0
        self._looked: float | None = None

    def __call__(self) -> list[Request]:
        """Complete lines that are new; none when the last look was a moment ago."""
        now = self._clock()
        if self._looked is not None and now - self._looked < self._every_s:
            return []
        self._looked = now
        try:
            # Opened each time: on a network's disk that asks for the file as it is, and `stat` may not.
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._read += len(complete)
        return [request for line in complete.splitlines() if (request := self._parsed(line)) is not None]

    def _parsed(self, line: bytes) -> Request | None:
        self._line += 1
        try:
            return Request.model_validate_json(line) if line.strip() else None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            _LOG.warning("%s:%d: no request (%s); it is passed over.", self._path, self._line, first["msg"])
            return None
