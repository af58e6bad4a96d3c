"""A log of events that others write, read as it grows."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sweep.core.events import ANY_EVENT, AnyEvent
from sweep.errors import StudyError


class Tail:
    """Reads each line of a study's log once.

    Args:
        path: of the log; it must be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0

    def new(self) -> list[AnyEvent]:
        """The events since the last call; a line that isn't whole yet comes with the next one.

        Raises:
            StudyError: the log can't be read, or was changed.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise StudyError(f"{self._path}: can't be read ({error.strerror}).") from error
        complete = data[: data.rfind(b"\n") + 1]
        found = []
        for line in complete.splitlines():
            self._lines += 1
            try:
                found.append(ANY_EVENT.validate_json(line))
            except ValidationError as error:
                raise StudyError(f"{self._path}:{self._lines}: not an event. The log is damaged.") from error
        self._offset += len(complete)
        return found
