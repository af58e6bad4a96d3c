"""A study as JSON objects, a line each, for whoever collects logs: what its driver says and what its attempts print."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from sweep.core import events as ev
from sweep.core.study import StudyMachine
from sweep.errors import SweepError
from sweep.store import holding
from sweep.store.attempt_log import unstamped
from sweep.store.paths import StudyPaths
from sweep.watch.lines import Stream
from sweep.watch.telling import Teller

EVERY_S = 0.5
"""How often running attempts' logs are looked at."""

BUCKET_EVERY_S = 15.0
"""As often as their machines send them."""

MOST = 2**20
"""Bytes of a log that are read at once."""

_WORD = re.compile(r"\b(DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
_WARNED = re.compile(r":\d+: \w*Warning: ")
"""As Python's `warnings` prints them, after a path of any length."""

_LEVELS = {
    "DEBUG": "debug",
    "WARN": "warning",
    "WARNING": "warning",
    "ERROR": "error",
    "CRITICAL": "critical",
    "FATAL": "critical",
}
_HEAD = 80
"""Characters at a line's start in which a logger's level stands, whatever its format."""

_TRACEBACK = "Traceback (most recent call last):"
_RANK = re.compile(r"rank (\d+): (.*)", re.DOTALL)


class Records:
    """A watcher that writes a JSON object for each line of the driver and of the attempts.

    It has `time`, `level`, `message`, `study`; where there are such `trial`, `attempt`, `rank`, `node` and, if the
    driver says it of an event, `event`.

    A thread follows the logs of attempts at work and writes everything, so the driver waits for no disk, and an
    attempt's last line comes before the word that it ended. Attempts that were at work before the first event are
    followed from where their logs end then.

    Args:
        stream: where to.
        paths: of the study.
    """

    def __init__(self, stream: TextIO, paths: StudyPaths) -> None:
        self._out = Stream(stream)
        self._paths = paths
        self._teller = Teller(paths, last_words=False)
        self._every_s = EVERY_S if paths.url is None else BUCKET_EVERY_S
        self._happened: queue.Queue[_Happened | None] = queue.Queue()
        self._logs: dict[tuple[int, int], _Log] = {}
        self._thread: threading.Thread | None = None

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Take note of what happened."""
        if self._thread is None:
            new = event.trial if isinstance(event, ev.AttemptStarted) else None
            for trial in study.running():
                if trial.attempt is not None and trial.number != new:
                    log = self._log(study, trial.number, trial.attempt.number, trial.attempt.node)
                    log.skip()
                    self._logs[log.key] = log
            self._thread = threading.Thread(target=self._write, name="sweep-records", daemon=True)
            self._thread.start()
        happened = _Happened([_of_event(study, event, line) for line in self._teller.lines(study, event)])
        if isinstance(event, ev.AttemptStarted):
            happened.begun = self._log(study, event.trial, event.attempt, event.node)
        elif isinstance(event, ev.AttemptEnded):
            happened.ended = (event.trial, event.attempt)
        self._happened.put(happened)

    def close(self) -> None:
        """Write what is left."""
        self._happened.put(None)
        if self._thread is not None:
            self._thread.join()

    def _log(self, study: StudyMachine, trial: int, attempt: int, node: str) -> _Log:
        found = {"study": study.spec.name, "trial": trial, "attempt": attempt, "node": node or None}
        gpu = study.spec.resources.gpu
        path = self._paths.trial(trial).attempt_log(attempt)
        return _Log(path, found, ranks=not isinstance(gpu, str) and gpu > 1)

    def _write(self) -> None:
        due = time.monotonic() + self._every_s
        while True:
            try:
                happened = self._happened.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                pass
            else:
                if happened is None:
                    break
                self._take(happened)
            if time.monotonic() >= due:
                for log in self._logs.values():
                    self._follow(log)
                due = time.monotonic() + self._every_s
        for log in self._logs.values():
            self._follow(log, last=True)

    def _take(self, happened: _Happened) -> None:
        if happened.ended in self._logs:
            self._follow(self._logs.pop(happened.ended), last=True)
        for record in happened.records:
            self._out.write(encoded(record))
        if happened.begun is not None:
            self._logs[happened.begun.key] = happened.begun

    def _follow(self, log: _Log, *, last: bool = False) -> None:
        with suppress(SweepError):
            holding.bring(self._paths, log.path)
        for record in log.new(last=last):
            self._out.write(encoded(record))


@dataclass
class _Happened:
    """What an event means to the thread that writes."""

    records: list[dict[str, Any]]
    begun: _Log | None = None
    ended: tuple[int, int] | None = None


@dataclass
class _Log:
    """An attempt's log as far as it was read.

    Attributes:
        path: of the file.
        found: what each of its records holds.
        ranks: whether its lines begin with the number of the process that wrote them.
    """

    path: Path
    found: Mapping[str, Any]
    ranks: bool
    _read: int = 0
    _rest: bytes = b""
    _failing: dict[int | None, bool] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, int]:
        return self.found["trial"], self.found["attempt"]

    def skip(self) -> None:
        """Leave out what is there."""
        with suppress(OSError):
            self._read = self.path.stat().st_size

    def new(self, *, last: bool) -> Iterator[dict[str, Any]]:
        """Records of the lines that have come; the one that nothing has ended too, when it is the `last` look."""
        while data := self._more():
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                yield self._record(line)
        if last and self._rest:
            yield self._record(self._rest)
            self._rest = b""

    def _more(self) -> bytes:
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read(MOST)
            self._read += len(data)
            return data
        return b""

    def _record(self, line: bytes) -> dict[str, Any]:
        stamp, text = unstamped(line.decode(errors="replace"))
        rank = None if self.ranks else 0
        if self.ranks and (found := _RANK.fullmatch(text)):
            rank, text = int(found[1]), found[2]
        return {"time": stamp or clock(time.time()), "level": self._level(rank, text), "message": text} | {
            **self.found,
            "rank": rank,
        }

    def _level(self, rank: int | None, text: str) -> str:
        """A traceback is an error from its first line to its last; else a level that the line names itself."""
        if text.strip() == _TRACEBACK:
            self._failing[rank] = True
            return "error"
        if self._failing.get(rank):
            # Its last line isn't indented; between chained ones stands an empty one.
            self._failing[rank] = text.startswith(" ") or not text
            return "error"
        if named := _WORD.search(text[:_HEAD]):
            return _LEVELS.get(named[1], "info")
        return "warning" if _WARNED.search(text) else "info"


def clock(seconds: float) -> str:
    """A time since 1970 as attempts' logs have it: UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def said(text: str, now: float, study: str | None = None) -> str:
    """A line that is no event's, such as one before the start."""
    return encoded({"time": clock(now), "level": "info", "message": text, "study": study})


def encoded(record: Mapping[str, Any]) -> str:
    """A record as a line, without what it hasn't."""
    return json.dumps({key: value for key, value in record.items() if value is not None})


def _of_event(study: StudyMachine, event: ev.AnyEvent, line: str) -> dict[str, Any]:
    return {
        "time": clock(event.time),
        "level": _level(event),
        "message": line,
        "study": study.spec.name,
        "trial": getattr(event, "trial", None),
        "attempt": getattr(event, "attempt", None),
        "event": event.type,
    }


def _level(event: ev.AnyEvent) -> str:
    match event:
        case ev.AttemptEnded(outcome="failed"):
            return "error"
        case ev.AttemptEnded(outcome="lost") | ev.NodeChanged(change="barred" | "draining" | "left") | ev.Delayed():
            return "warning"
        case _:
            return "info"
