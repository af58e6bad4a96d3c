"""Serves the pages on this machine's own address."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from types import FrameType

import uvicorn

from sweep.errors import InputError
from sweep.watch.ui.app import Desk, Parts, build
from sweep.watch.ui.guard import new_token

HOST = "127.0.0.1"
PORT = 8642
"""Where nothing is said: the same one each time, so that a tunnel to it can be kept."""


class Server(uvicorn.Server):
    """A server whose open streams end when it is told to."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C or SIGTERM."""
        super().handle_exit(sig, frame)
        self.end()

    def end(self) -> None:
        """End, from whatever thread or signal handler."""
        self.should_exit = True
        self._desk.end()


class Serving:
    """The pages, served until `end` or Ctrl-C.

    Args:
        parts: what they show.
        port: where; None for the usual one, or a free one where that is taken.

    Raises:
        InputError: the port is taken.
    """

    def __init__(self, parts: Parts, port: int | None = None) -> None:
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self._token = new_token()
        app, desk = build(parts, self._token)
        # The log of requests would hold the token.
        config = uvicorn.Config(
            app, log_level="critical", access_log=False, server_header=False, timeout_graceful_shutdown=3, ws="none",
            http="h11", loop="asyncio",
        )  # fmt: skip
        self._server = Server(config, desk)

    @property
    def address(self) -> str:
        """Where they are, with the token."""
        return f"http://{HOST}:{self.port}/?token={self._token}"

    def run(self) -> None:
        """Serve."""
        self._server.run(sockets=[self._socket])

    def end(self) -> None:
        """Serve no more."""
        self._server.end()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Serving]:
        """Serve beside the caller."""
        thread = threading.Thread(target=self.run, name="sweep-ui", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.end()
            thread.join()


def _bound(port: int | None) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for tried in (PORT, 0) if port is None else (port,):
        try:
            found.bind((HOST, tried))
        except OSError as error:
            refused = error
        else:
            found.listen(128)
            return found
    found.close()
    raise InputError(f"--port {port}: can't be had ({refused.strerror}). Name another, or none for a free one.")


def can_open() -> bool:
    """Whether a browser that opens is one that a person sees: not one in the terminal, nor on a machine far away."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextlib.contextmanager
def opened(address: str, open_page: Callable[[str], object] = webbrowser.open) -> Iterator[None]:
    """Open an address in the browser, by way of a file that is ours alone: a command line is for all to read."""
    handle, name = tempfile.mkstemp(prefix="sweep-ui-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}">\n')
    try:
        threading.Thread(target=open_page, args=(Path(name).as_uri(),), daemon=True).start()
        yield
    finally:
        Path(name).unlink(missing_ok=True)
