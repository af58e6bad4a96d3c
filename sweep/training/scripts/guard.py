"""Stands between an attempt and its script, so that no process of the script outlives the attempt.

A program of its own, with nothing but Python's library: `python -I -S guard.py DESCRIPTOR`. The descriptor is a socket
to the supervisor. From it comes the job, a line of JSON; to it go the script's number, and how it ended. When the
supervisor asks, or is gone, the script's process group gets SIGTERM, and after a while SIGKILL.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn, TextIO

ORPHAN_GRACE_S = 3.0
"""How long a script may take to end when its supervisor is gone: another attempt may wait for the GPU."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(descriptor: int) -> None:
    """Run the script that the supervisor asks for, and say how it ended."""
    os.set_inheritable(descriptor, False)
    supervisor = socket.socket(fileno=descriptor)
    words = supervisor.makefile("r", encoding="utf-8")
    job = json.loads(words.readline())
    # A handler, unlike SIG_IGN, isn't inherited by the script.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        script = subprocess.Popen(
            job["command"],
            cwd=job["cwd"],
            env=job["env"],
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_die_with_the_guard,  # noqa: PLW1509 - there is no other thread yet
        )
    except (OSError, ValueError) as error:
        _leave(supervisor, {"error": str(error)})
    _say(supervisor, {"pid": script.pid})
    ended = threading.Event()
    threading.Thread(target=_watch, args=(words, script.pid, ended), daemon=True).start()
    # Not reaped yet, so that its group's number stays its own.
    os.waitid(os.P_PID, script.pid, os.WEXITED | os.WNOWAIT)
    ended.set()
    _signal(script.pid, signal.SIGKILL)
    status = script.wait()
    _end_the_rest()
    _leave(supervisor, {"status": status})


def _watch(words: TextIO, group: int, ended: threading.Event) -> None:
    """Wait for the word to end the script: a line with the seconds that it may take; none when nobody is left."""
    line = ""
    with contextlib.suppress(OSError, ValueError):
        line = words.readline()
    grace = float(line) if line.strip() else ORPHAN_GRACE_S
    _signal(group, signal.SIGTERM)
    # One that was stopped hears nothing else.
    _signal(group, signal.SIGCONT)
    if not ended.wait(grace):
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end_the_rest() -> None:
    """Kill what left the script's group: as its subreaper this process has inherited it."""
    deadline = time.monotonic() + ORPHAN_GRACE_S
    while (children := _children()) and time.monotonic() < deadline:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def _children() -> list[int]:
    found: list[int] = []
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def _die_with_the_guard() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    # Linux has it; elsewhere the watch over the supervisor has to do.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _say(supervisor: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        supervisor.sendall((json.dumps(message) + "\n").encode())


def _leave(supervisor: socket.socket, message: dict[str, object]) -> NoReturn:
    _say(supervisor, message)
    # An orderly end would wait for the thread that reads.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
