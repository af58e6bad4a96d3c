"""Values that other tools' code reports, as numbers."""

from __future__ import annotations

import os
from typing import Any


def number(value: Any) -> float | None:
    """A number as a float: tensors and arrays of one element too; None for what is none, and for texts."""
    if value is None or isinstance(value, str | bytes | os.PathLike):
        return None
    try:
        # item(), since float() warns of a loss that still has its graph.
        return float(value.item() if hasattr(value, "item") else value)
    # torch raises RuntimeError for several elements.
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
