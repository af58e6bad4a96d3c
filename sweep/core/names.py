"""What things may be called that become folders, or stand beside version numbers."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A study or a model: it becomes a folder."""

LATEST = "latest"
"""The highest version of a model; computed, never stored."""

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def alias_problem(alias: str) -> str | None:
    """Why a word can't be an alias of the registry; None when it can."""
    if alias == LATEST:
        return "'latest' is always the highest version and can't be pointed. Use another word."
    if re.fullmatch(r"v\d+", alias):
        return f"{alias!r} is a version's name; an alias is a word, e.g. champion."
    if not _ALIAS.fullmatch(alias):
        return f"{alias!r} can't be an alias. Use small letters, digits, '_' and '-', at most 32, a letter first."
    return None
