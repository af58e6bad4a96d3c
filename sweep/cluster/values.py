"""A value against what an API says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.cluster.remarks import Remarks, unknown
from sweep.core.positions import Path
from sweep.core.section import described

_SCALARS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "text": (str, "a text"),
    "flag": (bool, "true or false"),
    "whole": (int, "a whole number"),
    "number": ((int, float), "a number"),
}
_FEW = 12


def is_map(path: Path, value: Any, found: Remarks) -> bool:
    """Whether it is a map; else that is told."""
    return _told(isinstance(value, dict), "a map", path, value, found)


def is_list(path: Path, value: Any, found: Remarks) -> bool:
    """Whether it is a list; else that is told."""
    return _told(isinstance(value, list), "a list", path, value, found)


def scalar(
    path: Path, value: Any, kind: str, found: Remarks, *, choices: Sequence[str] | None = None, api: str = ""
) -> None:
    """Tell when it isn't of a kind, or none of the choices.

    Args:
        path: where.
        value: what came.
        kind: "text", "flag", "whole" or "number"; true and false are no numbers. Any other is let pass.
        found: takes the problem.
        choices: what a text may be.
        api: whose choices these are, e.g. "EC2".
    """
    if kind not in _SCALARS:
        return
    types, words = _SCALARS[kind]
    right = isinstance(value, types) and (kind == "flag" or not isinstance(value, bool))
    if _told(right, words, path, value, found) and choices and value not in choices:
        told = unknown(value, choices)
        near = told.removeprefix("unknown.") if told.startswith("unknown. Did you mean") else ""
        listed = f" Use one of {', '.join(choices)}." if len(choices) <= _FEW else ""
        found.wrong(path, f"{api} has no {value!r}.{near or listed}")


def _told(right: bool, words: str, path: Path, value: Any, found: Remarks) -> bool:
    if not right:
        found.wrong(path, f"expected {words}, got {described(value)}.")
    return right
