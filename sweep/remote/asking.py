"""Which command lines are for a cluster elsewhere, and what is asked of it. Free of Ray: it is read at each start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweep.errors import InputError

ADDRESS, DETACH = "--address", "--detach"

DRIVING = ("launch", "resume", "retry", "extend")
"""Verbs that train: they may be left alone there."""

VERBS = (*DRIVING, "stop", "cancel", "pause", "ls", "status", "watch", "trials", "best", "logs", "promote", "models")
"""Verbs that a cluster runs for another machine; `doctor` asks it in its own way."""

Kind = Literal["url", "file"]


@dataclass(frozen=True)
class Asked:
    """A verb for a cluster elsewhere.

    Attributes:
        address: http://HOST:8265, or the cluster's file.
        kind: which of them.
        arguments: the command line without what is only for here.
        detach: don't wait for the end.
    """

    address: str
    kind: Kind
    arguments: tuple[str, ...]
    detach: bool

    @property
    def verb(self) -> str:
        """The first word."""
        return self.arguments[0]

    @property
    def subject(self) -> str:
        """What it is about: a study, or for `launch` a file, which may stand behind options and their values."""
        words = [word for word in self.arguments[1:] if not word.startswith("-")]
        files = [word for word in words if kind_of(word) == "file"] if self.verb == "launch" else []
        return next(iter(files or words), "")


def asked(arguments: Sequence[str]) -> Asked | None:
    """What a command line asks of a cluster elsewhere; None when it is for here.

    Raises:
        InputError: --detach without such an address, or with a verb that trains nothing.
    """
    words = list(arguments)
    address = _take_value(words, ADDRESS)
    verb = next((word for word in words if not word.startswith("-")), "")
    kind = None if address is None or verb not in VERBS else kind_of(address)
    if address is None or kind is None:
        if DETACH in words and verb in DRIVING:
            raise InputError(
                f"{DETACH}: the {verb} runs in this process. With {ADDRESS} http://HOST:8265, or a cluster's file, it "
                "runs on the cluster and can be left alone."
            )
        return None
    detach = DETACH in words
    if detach and verb not in DRIVING:
        raise InputError(f"{DETACH}: is for {', '.join(DRIVING)}; {verb} ends by itself.")
    # Options of the command itself, such as --debug, stand before the verb.
    words = [word for word in words[words.index(verb) :] if word != DETACH]
    return Asked(address, kind, tuple(words), detach)


def kind_of(address: str) -> Kind | None:
    """How a cluster elsewhere is named; None for one that this machine is part of."""
    if address.startswith(("http://", "https://")):
        return "url"
    return "file" if Path(address).suffix in (".yaml", ".yml") else None


def _take_value(words: list[str], option: str) -> str | None:
    """Remove an option and its value from a command line; the value."""
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            del words[place]
            return words.pop(place)
        if word.startswith(f"{option}="):
            return words.pop(place).partition("=")[2]
    return None
