"""Who may ask this server anything: whoever has its token, from a page of its own, under a name of this machine."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HERE = ("127.0.0.1", "localhost", "::1")
"""Names under which this machine reaches itself, through a tunnel too. Under another one a page elsewhere would talk to
us that has let its own name point here."""

SAFE = ("GET", "HEAD")

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_ENTERED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sweep</title>
<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0;url={path}"></head>
<body><a href="{path}">sweep ui</a></body></html>
"""


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


class Guard:
    """Lets pass what may, and gives every answer its protecting headers.

    The token comes once in an address, and is a cookie from then on. That answer is a page which goes on by itself:
    after a redirection a browser would hold the cookie back if the address was followed from another site.

    Args:
        app: what is guarded.
        token: of this server.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There are no websockets here.
            await send({"type": "websocket.close", "code": 1008})
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        safely = _with_headers(send, nonce)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _answer(safely, *refused)
        elif "token" in parse_qs(scope["query_string"].decode("latin-1")):
            await self._enter(scope, headers, safely)
        else:
            await self._app(scope, receive, safely)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if _hostname(host) not in HERE:
            return 421, f"This page is for this machine alone, as 127.0.0.1 or localhost; it was asked as {host!r}."
        if not self._known(scope, headers):
            return 401, "Open the address that `sweep ui` has printed: it holds the token."
        if scope["method"] in SAFE:
            return None
        if headers.get("origin") != f"http://{host}":
            return 403, "Changes are asked for by pages of this server alone."
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return 415, "Send JSON."
        return None

    def _known(self, scope: Scope, headers: dict[str, str]) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given is None:
            try:
                cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(headers))
            except CookieError:
                return False
            given = [cookie.value if cookie else ""]
        return hmac.compare_digest(given[0].encode(), self._token.encode())

    async def _enter(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        # Only our own path goes into the page, and without the token.
        path = "/" + "".join(char for char in scope["path"] if char.isalnum() or char in "/-_.").lstrip("/")
        cookie = f"{_cookie_name(headers)}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(send, 200, _ENTERED.format(path=path), kind="text/html", more=[(b"set-cookie", cookie.encode())])


def _cookie_name(headers: dict[str, str]) -> str:
    """A name of its own for each port: browsers give one port's cookies to all ports of a machine."""
    try:
        port = urlsplit(f"//{headers.get('host', '')}").port
    except ValueError:
        port = None
    return f"sweep_ui_{port or 80}"


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def policy(nonce: str, *, compiles: bool = False) -> str:
    """What pages may load: what comes from here, and nothing that stands in the page itself.

    Plotly writes its rules into a style element that waits for it, and bears the nonce.

    Args:
        nonce: of the page.
        compiles: its scripts may make functions of texts: what Plotly draws with WebGL does so.
    """
    scripts = "'self' 'unsafe-eval'" if compiles else "'self'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _with_headers(send: Send, nonce: str) -> Callable[[Message], Any]:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            added = {**_ALWAYS, "content-security-policy": policy(nonce), "cache-control": "no-store"}
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in added.items() if name.encode() not in there),
            ]
        await send(message)

    return sent


async def _answer(
    send: Callable[[Message], Any],
    status: int,
    text: str,
    kind: str = "text/plain",
    more: list[tuple[bytes, bytes]] | None = None,
) -> None:
    body = text.encode()
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        *(more or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
