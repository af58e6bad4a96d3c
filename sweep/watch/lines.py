"""A study as plain lines: for logs, pipes, CI and NO_COLOR; and as JSON lines for other programs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from sweep.core import events as ev
from sweep.core.study import StudyMachine
from sweep.store.paths import StudyPaths
from sweep.watch.telling import Teller
from sweep.watch.text import glyphs_for


class Stream:
    """Writes whole lines until the reader has gone or the disk is full; a study doesn't die of that."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._open = True

    def write(self, line: str) -> None:
        """Write one, and its end."""
        if not self._open:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            self._open = False


class LineLog:
    """A watcher that writes a line, with its time in UTC, for what a person would want to know.

    Args:
        stream: where to.
        paths: where logs lie; without it they are named from the study's folder.
        verbose: a line for each report and each decision, too.
    """

    def __init__(self, stream: TextIO, *, paths: StudyPaths | None = None, verbose: bool = False) -> None:
        self._out = Stream(stream)
        self._glyphs = glyphs_for(getattr(stream, "encoding", None) or "utf-8")
        self._teller = Teller(paths or StudyPaths(Path()), verbose=verbose)

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Write what the event means to a person, if anything."""
        clock = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for line in self._teller.lines(study, event):
            self._out.write(f"{clock}  {self._glyphs.clean(line)}")

    def close(self) -> None:
        """Nothing is left to write."""


class JsonLines:
    """A watcher that writes each event as the line it is in the study's log."""

    def __init__(self, stream: TextIO) -> None:
        self._out = Stream(stream)

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:  # noqa: ARG002 - the watcher's form
        """Write the event."""
        self._out.write(ev.ANY_EVENT.dump_json(event, exclude_none=True).decode())

    def close(self) -> None:
        """Nothing is left to write."""
