"""Groups of parameters: maps inside `parameters`, whose members have names such as `optimizer.lr`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAME_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
NAME_RULE = "Names are letters, digits, '_' and '-', at most 64, a letter or '_' first."


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
