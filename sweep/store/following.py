"""A study's state that follows its log: each look costs what is new in it, not what there is."""

from __future__ import annotations

import os
from collections.abc import Callable

from sweep.core.events import AnyEvent, StudyCreated
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.errors import StudyError
from sweep.store import events, study_folder
from sweep.store.paths import StudyPaths

Seen = Callable[[StudyMachine, AnyEvent], None]


class ReplacedError(StudyError):
    """The log isn't the one that was followed: the study was removed, and maybe made anew."""


class Follower:
    """Reads a study's log as it grows, as `study_folder.read` would read it whole.

    Args:
        paths: of the study.
        seen: shown each event, with the state after it.

    Raises:
        StudyError: the folder holds no study, or a damaged one.

    Attributes:
        spec: its search file.
        created: the log's first event.
        machine: its state, as of the last look.
    """

    def __init__(self, paths: StudyPaths, seen: Seen = lambda _machine, _event: None) -> None:
        self.paths = paths
        self.spec: StudySpec
        self.created: StudyCreated
        self.machine: StudyMachine
        self._seen = seen
        self._read = self._lines = 0
        self._file: tuple[int, int] | None = None

    def look(self) -> int:
        """Take in the complete lines that have come since the last look; how many they were.

        Raises:
            ReplacedError: another log lies there now.
            StudyError: a line can't be read, or can't have happened. What came before it is taken in.
        """
        lines = self._new_lines()
        with study_folder.nothing_collected():
            for line in lines:
                event = events.decode(self.paths.events, self._lines + 1, line)
                if self._lines == 0:
                    self.spec, self.created = study_folder.begun(self.paths, event)
                    self.machine = StudyMachine(self.spec)
                study_folder.take_in(self.paths, self.machine, self._lines + 1, event)
                self._lines += 1
                self._read += len(line) + 1
                self._seen(self.machine, event)
        if not self._lines:
            study_folder.begun(self.paths, None)
        return len(lines)

    def _new_lines(self) -> list[bytes]:
        try:
            with self.paths.events.open("rb") as file:
                found = os.fstat(file.fileno())
                which = (found.st_dev, found.st_ino)
                if self._file not in (None, which) or found.st_size < self._read:
                    raise ReplacedError(f"{self.paths.events}: replaced by another log.")
                self._file = which
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError as error:
            raise ReplacedError(f"{self.paths.events}: gone.") from error
        except OSError as error:
            raise StudyError(f"{self.paths.events}: can't be read ({error.strerror}).") from error
        return data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]
