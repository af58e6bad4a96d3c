"""Groups of parameters: maps inside `parameters`, whose members have names such as `optimizer.lr`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values by whole names as maps in maps: {"optimizer.lr": 0.1} is {"optimizer": {"lr": 0.1}}."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        into = found
        for group in groups:
            into = into.setdefault(group, {})
        into[last] = value
    return found
