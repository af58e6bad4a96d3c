"""The lines of an attempt's log, and its last one where the process died and so couldn't write it."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

TAIL = 2**14
"""Bytes at the end of a log in which the end's reason is looked for."""

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (.*)", re.DOTALL)


def stamped(text: str) -> str:
    """A line of a log: the time (UTC, milliseconds) and the text."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{now} {text}\n"


def unstamped(line: str) -> tuple[str, str]:
    """A line's time, empty where it has none, and its text."""
    found = _STAMP.fullmatch(line)
    return (found[1], found[2]) if found else ("", line)


def ensure(path: Path, outcome: str, error: str) -> None:
    """Append how the attempt ended, unless its own process has said so.

    Args:
        path: the log; made when the process never came to it.
        outcome: "lost" or "failed".
        error: the reason; its last line counts, for above it is a traceback.
    """
    reason = error.strip().splitlines()[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - TAIL))
        tail = file.read().decode(errors="replace")
        if reason not in tail:
            torn = "" if not tail or tail.endswith("\n") else "\n"
            file.write(f"{torn}{stamped(f'{outcome}: {reason}')}".encode(errors="backslashreplace"))
