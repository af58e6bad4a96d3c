"""The supervisor's ear for scripts that speak: a socket, lines of JSON, an answer to each.

| a script says | the answer |
|---|---|
| `{"kind": "hello"}` | `{"placement": {...}}`, the fields of `sweep.core.protocols.Placement` |
| `{"kind": "leaving"}` | `{"leaving": false}`; true: hand in a checkpoint with the next report |
| `{"kind": "split"}` | `{}`; the script looks at the placement's `batch_split` |
| `{"kind": "report", "metrics": {"epoch": 1, "loss": 0.3}, "checkpoint": null}` | `{"action": "advance", ...}` |

Any process of the script may connect, in whatever language. A report's `checkpoint` is a complete folder in the trial's
own, or null.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

LONGEST_PATH = 100
"""Bytes that surely fit into the address of a Unix socket."""

Message = dict[str, Any]


class Listener:
    """A socket that scripts speak to.

    Args:
        heard: told each message, with a function that takes the answer; called in threads of its own.

    Attributes:
        path: of the socket.
    """

    def __init__(self, heard: Callable[[Message, Callable[[Message], None]], None]) -> None:
        self._heard = heard
        # A folder that is ours alone: nobody else can connect.
        folder = tempfile.mkdtemp(prefix="sweep-")
        if len(folder.encode()) > LONGEST_PATH:
            shutil.rmtree(folder, ignore_errors=True)
            folder = tempfile.mkdtemp(prefix="sweep-", dir="/tmp")
        self._folder = Path(folder)
        self.path = self._folder / "socket"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen()
        self._connections: list[socket.socket] = []
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="listener", daemon=True)
        self._threads = [self._thread]
        self._thread.start()

    def close(self) -> None:
        """Hear nobody any more."""
        self._closed = True
        for each in (self._socket, *self._connections):
            # Who waits in another thread is woken by this, and not by close.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        for thread in self._threads:
            thread.join(1.0)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="script's word", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        lock = threading.Lock()

        def answer(message: Message) -> None:
            with lock, suppress(OSError):
                connection.sendall((json.dumps(message) + "\n").encode())

        with suppress(OSError), connection, connection.makefile("r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                message = _message(line)
                if message is None:
                    answer({"error": f"expected an object of JSON on one line, got {line.strip():.80}"})
                else:
                    self._heard(message, answer)


def _message(line: str) -> Message | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
