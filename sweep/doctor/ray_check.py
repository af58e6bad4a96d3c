"""Ray on this machine without importing it: version, token, and whether a dashboard here lets strangers in."""

from __future__ import annotations

import os
import socket
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

from sweep.core.findings import Finding
from sweep.doctor.machine import installed

DASHBOARD_PORT = 8265
_KNOCK_S = 3.0
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"
_GENERATE = "Make one: ray get-auth-token --generate"


def ray() -> Iterator[Finding]:
    """A finding each: version, token, dashboard."""
    yield version()
    yield token()
    yield dashboard()


def version() -> Finding:
    """Ray's version."""
    found = installed("ray")
    if found is None:
        return Finding("Ray", "fail", "not installed", "pip install 'ray[default,tune]', or install sweep anew.")
    return Finding("Ray", "ok", found)


def token_file() -> Path | None:
    """Where Ray reads the token from, unless the environment itself holds it; None without a home directory."""
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return Path(named).expanduser()
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:
        return None


def token() -> Finding:
    """Whether this machine has a token, and keeps it to itself. The token isn't shown."""
    name = "Ray token"
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode == "disabled":
        advice = "Whoever reaches a Ray here can run code on it. Unset RAY_AUTH_MODE, or set it to token."
        return Finding(name, "warn", "RAY_AUTH_MODE=disabled", advice)
    asked = ", RAY_AUTH_MODE=token" if mode == "token" else ""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Finding(name, "ok", f"in RAY_AUTH_TOKEN{asked}")
    path = token_file()
    if path is None or not path.is_file() or not path.stat().st_size:
        if mode == "token":
            # A launch without --address starts a Ray of its own, which makes itself a token.
            advice = f"`ray start` and joining a cluster are refused. {_GENERATE}, or copy the cluster's to {path}."
            return Finding(name, "warn", "RAY_AUTH_MODE=token, and there is none", advice)
        return Finding(name, "ok", "none yet: the first launch on this machine makes one")
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return Finding(name, "warn", f"{path} can be read by other users", f"Keep it to yourself: chmod 600 {path}")
    return Finding(name, "ok", f"{path}{asked}")


def dashboard(port: int = DASHBOARD_PORT) -> Finding:
    """Whether one runs on this machine, asks for a token, and is out of the network's reach."""
    name = "Ray dashboard"
    answer = _status(f"http://127.0.0.1:{port}/api/version")
    if answer is None:
        return Finding(name, "ok", "none is running at port 8265" if port == DASHBOARD_PORT else f"none at port {port}")
    locked = answer in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    wide = open_outside(port)
    told = f"port {port}, {'asks for a token' if locked else 'asks for no token'}"
    told += f", also at {wide}" if wide else ", on the loopback address alone"
    if not locked and wide:
        advice = (
            "Whoever reaches it runs code here. Stop it; start with RAY_AUTH_MODE=token and --dashboard-host=127.0.0.1."
        )
        return Finding(name, "fail", told, advice)
    if not locked:
        advice = "Any user or page on this machine can run code by it. Start it with RAY_AUTH_MODE=token."
        return Finding(name, "warn", told, advice)
    if wide:
        advice = (
            "Its traffic and its token are plain text. Keep that network to yourself, or --dashboard-host=127.0.0.1."
        )
        return Finding(name, "warn", told, advice)
    return Finding(name, "ok", told)


def open_outside(port: int, tables: Sequence[Path] = _TABLES) -> str | None:
    """An address other than loopback at which somebody listens at this port, as the kernel lists them."""
    for table in tables:
        lines = table.read_text().splitlines()[1:] if table.is_file() else []
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == _LISTEN and int(number, 16) == port and not _loopback(address):
                return _readable(address)
    return None


def _loopback(address: str) -> bool:
    return _readable(address).startswith("127.") or _readable(address) in {"::1", "::ffff:127.0.0.1"}


def _readable(address: str) -> str:
    """An address from the kernel's table: 32-bit words in hex, each in the machine's own order of bytes."""
    words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words))


def _status(url: str) -> int | None:
    """The HTTP status there; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=_KNOCK_S) as answer:  # noqa: S310 - http to this machine
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
