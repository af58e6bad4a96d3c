"""Numbers, durations and curves as short text, in Unicode or in what the reader's encoding can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FIVE_DIGITS, _EIGHT_DIGITS = 1e4, 1e7
_FIRST_PRINTABLE, _DELETE, _LAST_CONTROL = 0x20, 0x7F, 0x9F


def number(value: float | None) -> str:
    """Four significant digits, more for large whole parts; "-" for a value that isn't there."""
    if value is None:
        return "-"
    return f"{value:.0f}" if _FIVE_DIGITS <= abs(value) < _EIGHT_DIGITS else f"{value:.4g}"


def shown(value: Any) -> str:
    """A parameter's value: numbers short, texts as they are, the rest as in a search file."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, default=str)


def measured(names: Iterable[str], metrics: Mapping[str, float | None]) -> str:
    """Metrics with their values: "val_loss 0.312, latency_ms 4.1"."""
    return ", ".join(f"{name} {number(metrics.get(name))}" for name in names)


def counted(count: int, noun: str) -> str:
    """A number of things: "1 trial", "2 trials"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends with a mark already."""
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."


def duration(seconds: float) -> str:
    """Two units at most: "8s", "12m04s", "1h05m", "2d03h"."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def last_line(text: str) -> str:
    """What a traceback says in the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and the infinities become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Glyphs:
    """What can be drawn with the characters that an output's encoding has.

    Attributes:
        encoding: of the output.
        unicode: whether it has the block elements, lines and dots; otherwise ASCII stands for them.
    """

    encoding: str
    unicode: bool

    @property
    def sparks(self) -> str:
        """Levels of a sparkline, low to high."""
        return "▁▂▃▄▅▆▇█" if self.unicode else "_.-=+*#@"

    @property
    def bar(self) -> str:
        """A piece of a bar."""
        return "━" if self.unicode else "="

    @property
    def line(self) -> str:
        """A piece of a rule."""
        return "─" if self.unicode else "-"

    @property
    def dot(self) -> str:
        """Stands between facts on a line."""
        return "·" if self.unicode else "|"

    @property
    def ellipsis(self) -> str:
        """Stands for what was cut off."""
        return "…" if self.unicode else "..."

    def clean(self, text: str) -> str:
        """The text on one line, without control characters and without what the encoding lacks."""
        flat = "".join(" " if _is_control(char) else char for char in text)
        return flat.encode(self.encoding, "replace").decode(self.encoding)

    def sparkline(self, values: Sequence[float], width: int) -> str:
        """The last `width` finite values as a curve."""
        finite = [value for value in values if math.isfinite(value)][-width:]
        if not finite:
            return ""
        low, high = min(finite), max(finite)
        # Halves, so that the difference of two huge numbers stays finite.
        span = high / 2 - low / 2
        top = len(self.sparks) - 1
        return "".join(self.sparks[round((value / 2 - low / 2) / span * top) if span else 0] for value in finite)


def _is_control(char: str) -> bool:
    return ord(char) < _FIRST_PRINTABLE or _DELETE <= ord(char) <= _LAST_CONTROL


def glyphs_for(encoding: str | None) -> Glyphs:
    """The glyphs for an output's encoding; ASCII when it isn't known."""
    try:
        "▁▂▃▄▅▆▇█━─·…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Glyphs(_known(encoding), unicode=False)
    return Glyphs(encoding or "ascii", unicode=True)


def _known(encoding: str | None) -> str:
    try:
        "".encode(encoding or "ascii")
    except LookupError:
        return "ascii"
    return encoding or "ascii"
