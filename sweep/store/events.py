"""The log of a study: append, flush, fsync; replay is how a study resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from sweep.core.events import ANY_EVENT, AnyEvent
from sweep.errors import StorageError, StudyError

PROBE_BYTES = 65536
"""A disk with less room than this is full."""


class Log(Protocol):
    """Where a driver writes what happens."""

    def append(self, *lines: bytes) -> None:
        """Write encoded events."""
        ...

    def sync(self) -> None:
        """Wait until they are safe."""
        ...


class EventLog:
    """Appends events to a file.

    What was appended survives the death of this process; what was synced survives the machine's.

    Raises:
        StudyError: the file can't be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsynced = False
        try:
            _drop_torn_tail(path)
            # Unbuffered: what a full disk refused must not come again when the file is closed.
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise StudyError(f"{path}: can't be written ({error.strerror}).") from error

    def append(self, *lines: bytes) -> None:
        """Write encoded events.

        Raises:
            StorageError: the disk refused; the last line may be torn, which the next reader drops.
        """
        data = memoryview(b"".join(lines))
        self._unsynced = True
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise StorageError(refused(self._path.parent, error)) from error

    def sync(self) -> None:
        """Wait until the disk has all that was appended: once for many events, for it takes milliseconds.

        Raises:
            StorageError: the disk refused.
        """
        if not self._unsynced:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(refused(self._path.parent, error)) from error
        self._unsynced = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def encode(event: AnyEvent) -> bytes:
    """An event as a line of JSON."""
    return event.model_dump_json(exclude_none=True).encode() + b"\n"


def check_room(folder: Path) -> None:
    """See that a study's folder still takes files.

    Raises:
        StorageError: it doesn't.
    """
    probe = folder / f".room-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        raise StorageError(refused(folder, error)) from error
    finally:
        probe.unlink(missing_ok=True)


def refused(folder: Path, error: OSError) -> str:
    """What we say when the disk refuses to write into a study's folder."""
    return f"{folder}: can't be written ({error.strerror}). Mend that, then go on: sweep resume {folder.name}"


def _drop_torn_tail(path: Path) -> None:
    """Cut off a last line that has no end: a crash came in the middle of it."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        data = file.read()
        complete = data.rfind(b"\n") + 1
        if complete < len(data):
            file.truncate(complete)
            file.flush()
            os.fsync(file.fileno())


def read(path: Path) -> Iterator[AnyEvent]:
    """The events of a log, oldest first; a torn last line is left out.

    Raises:
        StudyError: there is no log, or a line that was once complete can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path}: can't be read ({error.strerror}).") from error
    complete = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(complete.splitlines(), start=1):
        yield decode(path, number, line)


def decode(path: Path, number: int, line: bytes) -> AnyEvent:
    """The event in a line of a log.

    Raises:
        StudyError: it is none.
    """
    try:
        return ANY_EVENT.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StudyError(f"{path}:{number}: not an event of this version ({first['msg']}).") from error


def write_params(path: Path, config: dict[str, object]) -> None:
    """A trial's config, for people and other tools.

    Raises:
        StorageError: the disk refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(refused(path.parents[2], error)) from error
