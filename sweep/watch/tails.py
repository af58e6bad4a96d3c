"""The last lines of attempts' logs: what a failure looked like, beside the place that tells of it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from sweep.errors import SweepError
from sweep.store import holding
from sweep.store.attempt_log import unstamped
from sweep.store.paths import StudyPaths

LINES = 15
"""Lines of a tail, where there is room to scroll."""

BRIEF = 4
"""Lines of one beside a reason that is told anyway."""

_BYTES = 16_384
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(\.\d+)?([eE][+-]?\d+)?")
_MARKS = re.compile(r"[\s^~]*")
"""A line of a traceback that only points at the one above."""


def tail(log: Path, lines: int = LINES) -> str:
    """The last lines of a log; empty when it isn't there."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def brief(text: str, told: str, lines: int = BRIEF) -> list[str]:
    """What a tail says beyond the reason: its last lines without their times.

    Args:
        text: the tail.
        told: the reason, which the last line mostly repeats.
        lines: how many at most.
    """
    said = [unstamped(line)[1].rstrip() for line in text.splitlines()]
    said = [line for line in said if not _MARKS.fullmatch(line)]
    if said and said[-1].strip() and said[-1].strip() in told:
        said.pop()
    said = said[-lines:]
    # Of a traceback, whole frames: code without its place says little.
    first = next((place for place, line in enumerate(said) if line.lstrip().startswith("File ")), 0)
    return said[first:] if said and said[0].startswith(" ") else said


def alike(reason: str) -> str:
    """The same text for reasons that differ in numbers only."""
    return _NUMBERS.sub("#", reason)


class Tails:
    """The last lines of logs, read again when they have changed.

    Args:
        paths: of the study.
        fetching: bring a log that isn't here from the study's bucket, when it is asked for first.
    """

    def __init__(self, paths: StudyPaths, *, fetching: bool = False) -> None:
        self._paths = paths
        self._fetching = fetching and paths.url is not None
        self._asked: set[Path] = set()
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def of(self, trial: int, attempt: int) -> tuple[str, str]:
        """An attempt's log, and its last lines; empty where it can't be had."""
        log = self._paths.trial(trial).attempt_log(attempt)
        if self._fetching and log not in self._asked and not log.is_file():
            self._asked.add(log)
            with suppress(SweepError):
                holding.bring(self._paths, log)
        try:
            found = log.stat()
        except OSError:
            return self._paths.told(log), ""
        stamp = (found.st_size, found.st_mtime_ns)
        if log not in self._known or self._known[log][0] != stamp:
            self._known[log] = (stamp, tail(log))
        return self._paths.told(log), self._known[log][1]
