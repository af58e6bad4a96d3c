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
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from sweep.training.scripts import guard

LINE_LIMIT = 2**16
"""Characters: a longer line of output is cut."""

STOP_S = 0.1
"""How long it is waited for a process to stop that was told to; one that waits for a disk does so later."""

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
        self._group: int | None = None
        self._holds = 0
        self._holding = threading.Lock()
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

    def listen(self) -> None:
        """Begin to tell what it says; to be called once."""
        self._reader.start()
        self._waiter.start()

    @property
    def session(self) -> int:
        """The number of the session that it and its children are in."""
        return self._guard.pid

    def freeze(self) -> None:
        """Stop it where it is, until `thaw` was called as often; the guard ends it if nobody is left to."""
        with self._holding:
            self._holds += 1
            self._stop()

    def thaw(self) -> None:
        """Let it go on, once nobody holds it any more."""
        with self._holding:
            self._holds -= 1
            if not self._holds:
                self._signal(signal.SIGCONT)

    def let_go_for(self, seconds: float) -> None:
        """While it is held, let it go on for a moment."""
        with self._holding:
            self._signal(signal.SIGCONT)
            time.sleep(seconds)
            self._stop()

    def _stop(self) -> None:
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_S
        while self._runs() and time.monotonic() < deadline:
            time.sleep(STOP_S / 100)

    def _runs(self) -> bool:
        """Whether it hasn't come to its stop yet."""
        with suppress(OSError, IndexError):
            return Path(f"/proc/{self._group}/stat").read_text().rpartition(")")[2].split()[0] in "RSD"
        return False

    def _signal(self, number: int) -> None:
        # Only while it is surely this script: a number is given to another process when its own has gone.
        if self._group is not None:
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(self._group) == self.session:
                    os.killpg(self._group, number)

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
        for thread in (self._waiter, self._reader):
            if thread.is_alive():
                thread.join(LEAVE_S)
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
            for line in self._words:
                told = json.loads(line)
                if isinstance(pid := told.get("pid"), int):
                    self._group = pid
        self._reader.join(LEAVE_S)
        self._ended(told.get("status", told.get("error", "its guard was killed")))
