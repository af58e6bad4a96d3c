"""Into a Ray dashboard with its token, without typing it."""

from __future__ import annotations

import os
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from sweep.errors import InputError

COOKIE = "ray-authentication-token"
"""Ray's own name for it: its login form sets the same."""

ANSWER_S = 5.0
AGAIN_S = 0.5


def token() -> str | None:
    """The token for Ray's clusters, from where Ray takes it; None where there is none."""
    if found := os.environ.get("RAY_AUTH_TOKEN"):
        return found.strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def check(url: str, *, wait_s: float) -> None:
    """See that a dashboard lets us in.

    Args:
        url: http://HOST:PORT.
        wait_s: how long it may take until it answers.

    Raises:
        InputError: it doesn't answer, or wants another token.
    """
    known = token()
    request = urllib.request.Request(  # noqa: S310 - http or https: the address was checked
        f"{url}/api/version", headers={"Authorization": f"Bearer {known}"} if known else {}
    )
    until = time.monotonic() + wait_s
    while True:
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            error.close()
            wanted = "Its token isn't the one known here" if known else "It wants a token, and none is known here"
            raise InputError(
                f"address: {url} refuses us ({error.code}). {wanted}: copy the cluster's ~/.ray/auth_token to this "
                "machine, or set RAY_AUTH_TOKEN."
            ) from error
        except OSError as error:
            if time.monotonic() >= until:
                reason = getattr(error, "reason", error)
                raise InputError(
                    f"address: no dashboard answers at {url} ({reason}). It is there while a study runs; of another "
                    "cluster name it: --address http://HOST:8265, or the file that ray up was given."
                ) from error
            time.sleep(AGAIN_S)


@contextmanager
def door(url: str) -> Iterator[str]:
    """An address that leads into the dashboard, logged in, while inside.

    Cookies belong to a host, whatever its port: a page of our own on the dashboard's host can set the one that its
    login form would set, and leads on to it. The way there has a secret name, and answers on loopback alone. Where the
    dashboard is on another host than this machine, or wants no token, it is its own address.
    """
    known, host = token(), urlsplit(url).hostname
    if known is None or host not in ("127.0.0.1", "localhost"):
        yield url
        return
    secret = f"/{secrets.token_urlsafe(16)}"

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not secrets.compare_digest(self.path, secret):
                self.send_error(404)
                return
            self.send_response(303)
            self.send_header("Set-Cookie", f"{COOKIE}={known}; Path=/; HttpOnly; SameSite=Strict")
            self.send_header("Location", f"{url}/")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Nothing is worth a line."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, name="dashboard door", daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}{secret}"
    finally:
        server.shutdown()
        server.server_close()
