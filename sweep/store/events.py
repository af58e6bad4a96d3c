"""The log of a study: append, flush, fsync; replay is how a study resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from sweep.core.events import ANY_EVENT, AnyEvent
from sweep.errors import StudyError


class EventLog:
    """Appends events to a file; each is on the disk when `append` returns.

    Raises:
        StudyError: the file can't be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        _drop_torn_tail(path)
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise StudyError(f"{path}: can't be written ({error.strerror}).") from error

    def append(self, *events: AnyEvent) -> None:
        """Write events and wait until the disk has them; one wait for all of them."""
        self._file.write(b"".join(_line(event) for event in events))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(event: AnyEvent) -> bytes:
    return event.model_dump_json(exclude_none=True).encode() + b"\n"


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
        try:
            yield ANY_EVENT.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise StudyError(f"{path}:{number}: not an event of this version ({first['msg']}).") from error


def follow(path: Path, offset: int = 0) -> tuple[list[AnyEvent], int]:
    """The complete events from a byte offset on, and the offset to go on from."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return [ANY_EVENT.validate_json(line) for line in data[:end].splitlines()], offset + end


def write_params(path: Path, config: dict[str, object]) -> None:
    """A trial's config, for people and other tools."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2) + "\n")
