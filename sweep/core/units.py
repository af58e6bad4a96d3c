"""Durations and sizes as people write them."""

from __future__ import annotations

import re

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?[dhms])+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_MEMORY = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(GiB|MiB)")


def parse_duration(text: str) -> float:
    """Seconds of "90s", "10m", "1h30m" or "2d".

    Raises:
        ValueError: any other text, or a unit twice.
    """
    pieces = _PIECE.findall(text) if _DURATION.fullmatch(text) else []
    units = [unit for _, unit in pieces]
    if not pieces or units != sorted(set(units), key="dhms".index):
        raise ValueError(f"expected a duration such as 10m, 1h30m or 45s, got the text {text!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in pieces)


def format_duration(seconds: float) -> str | None:
    """The text that `parse_duration` reads as exactly this, or None when only the number will do."""
    if seconds != int(seconds) or not 0 < seconds < 1e9:  # noqa: PLR2004  # 30 years
        return None
    hours, rest = divmod(int(seconds), 3600)
    minutes, left = divmod(rest, 60)
    pieces = ((hours, "h"), (minutes, "m"), (left, "s"))
    return "".join(f"{count}{unit}" for count, unit in pieces if count)


def parse_memory(text: str) -> float:
    """GiB of "8GiB" or "512MiB".

    Raises:
        ValueError: any other text; GB and G are named, for they are 7 % less.
    """
    found = _MEMORY.fullmatch(text)
    if found is None:
        number = re.match(r"\d+(?:\.\d+)?", text)
        hint = f" Write {number.group()}GiB." if number else ""
        raise ValueError(f"expected a size such as 8GiB or 512MiB, got the text {text!r}.{hint}")
    return float(found[1]) / (1.0 if found[2] == "GiB" else 1024.0)
