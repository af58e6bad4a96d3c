"""An attempt's log file: what the training function prints and logs, each line with its time."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO


class AttemptLog:
    """A log file that several streams write whole lines to."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Append one line, with the time (UTC, milliseconds) before it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock:
            if not self._file.closed:  # a thread that outlives its attempt may still print
                self._file.write(f"{now} {text}\n")
                self._file.flush()

    def text(self, text: str) -> None:
        """Append several lines."""
        for line in text.splitlines():
            self.line(line)


class _Tee:
    """A text stream that also goes into the log; everything but writing is the original stream's."""

    def __init__(self, original: TextIO, log: AttemptLog) -> None:
        self._original = original
        self._log = log
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            # A progress bar draws itself again after each carriage return: its last state is what remains.
            self._log.line(line.rstrip("\r").rpartition("\r")[2])
        return self._original.write(text)

    def finish(self) -> None:
        """Log the last line, if nothing ended it."""
        if self._rest:
            self._log.line(self._rest.rpartition("\r")[2])
            self._rest = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@contextmanager
def tee(path: Path) -> Iterator[AttemptLog]:
    """Copy what Python writes to stdout, stderr and the root logger's handlers into a file, line by line.

    Output of C code and of child processes doesn't pass through Python and isn't copied. The root logger's level and
    handlers are put back at the end, so that `logging.basicConfig` works in each attempt of a process anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        log = AttemptLog(file)
        stdout, stderr = sys.stdout, sys.stderr
        tees = {stdout: _Tee(stdout, log), stderr: _Tee(stderr, log)}
        with _logging_to(tees):
            sys.stdout, sys.stderr = tees[stdout], tees[stderr]
            try:
                yield log
            finally:
                sys.stdout, sys.stderr = stdout, stderr
                for each in tees.values():
                    each.finish()


@contextmanager
def _logging_to(tees: dict[TextIO, _Tee]) -> Iterator[None]:
    """Let the root logger's stream handlers write to the copies, for they hold the streams themselves."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    moved = [
        (handler, handler.stream)
        for handler in handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in tees
    ]
    for handler, stream in moved:
        handler.setStream(tees[stream])
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)
        root.handlers[:] = handlers
        root.setLevel(level)
