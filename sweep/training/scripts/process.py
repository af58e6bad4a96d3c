"""A script's process, as its supervisor sees it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO

from sweep.training.scripts import guard

LINE_LIMIT = 2**16
"""Characters: a longer line of output is cut."""

LEAVE_S = 5.0
"""How long the guard may take once its script is gone, and output to arrive that was written before."""


class Process:
    """A script that runs, with a guard that ends it and all its children when this process asks, or dies.

    Args:
        command: its words.
        cwd: where it runs.
        env: all of its environment.
        said: told each line of its output, in a thread of its own.
        ended: told in a thread of its own when it is over: the exit status, negative for a signal, or why it couldn't
            be started; by then all of its output was told.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        said: Callable[[str], None],
        ended: Callable[[int | str], None],
    ) -> None:
        self._said = said
        self._ended = ended
        self._asked = False
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._words = ours.makefile("r", encoding="utf-8")
        with theirs:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in the terminal is the driver's to handle.
                start_new_session=True,
            )
        self._write(json.dumps({"command": list(command), "cwd": cwd, "env": dict(env)}))
        self._reader = threading.Thread(target=self._read, args=(self._guard.stdout,), name="output", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name="script", daemon=True)
        self._reader.start()
        self._waiter.start()

    @property
    def session(self) -> int:
        """The number of the session that it and its children are in."""
        return self._guard.pid

    def end(self, grace_s: float) -> None:
        """Ask the script to end: SIGTERM to its group, SIGKILL after a grace. Only the first call counts."""
        if not self._asked:
            self._asked = True
            self._write(str(grace_s))

    def close(self) -> None:
        """See that nothing of it is left."""
        self.end(0)
        try:
            self._guard.wait(guard.ORPHAN_GRACE_S + LEAVE_S)
        except subprocess.TimeoutExpired:
            # A process that can't be killed holds it up; what can be is.
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()
        self._waiter.join(LEAVE_S)
        self._reader.join(LEAVE_S)
        self._words.close()
        self._socket.close()

    def _write(self, line: str) -> None:
        # Its death is told by the waiter.
        with suppress(OSError):
            self._socket.sendall((line + "\n").encode())

    def _read(self, output: IO[bytes]) -> None:
        with io.TextIOWrapper(output, encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
            while line := lines.readline(LINE_LIMIT):
                # Of a progress bar, which draws itself again after each carriage return, the last state.
                self._said(line.rstrip("\r\n").rpartition("\r")[2])

    def _wait(self) -> None:
        told: dict[str, int | str] = {}
        with suppress(OSError, ValueError):
            told = json.loads(self._words.readline() or "{}")
        self._reader.join(LEAVE_S)
        self._ended(told.get("status", told.get("error", "its guard was killed")))
