"""Seeds derived from a study's own seed, so that no generator is shared and any one can be made again."""

from __future__ import annotations

import hashlib
from random import Random


def derive(seed: int, *path: str | int) -> int:
    """A seed in 0 .. 2**31-1 for one purpose, e.g. `derive(seed, "trial", 17)`."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**31


def generator(seed: int, *path: str | int) -> Random:
    """A generator of its own for one purpose."""
    return Random(derive(seed, *path))  # noqa: S311 - a search, no secret
