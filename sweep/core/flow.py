"""Plain values as YAML on one line, readable by YAML 1.1 and 1.2 alike."""

from __future__ import annotations

import re
from typing import Any

from sweep.core.scalars import resolve

_WORD = r"[A-Za-z0-9_./+-]"
_PLAIN = re.compile(rf"[A-Za-z_./]{_WORD}*(?::{_WORD}+)?(?: {_WORD}+)*")
# What YAML 1.1 readers, editors among them, take for something else than a text.
_OTHERWISE_11 = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|[-+.0-9][-+.0-9_:eE]*")
_LAST_PLAIN_ASCII = "~"


def flow(value: Any) -> str:
    """A scalar, list or map on one line: `{min: 1.0e-05, max: 0.1, log: true}`."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow_key(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return flow_float(value)
    return str(value) if isinstance(value, int) else flow_text(str(value))


def flow_float(value: float) -> str:
    """A float that reads back as exactly this; 1.0e-05, for YAML 1.1 takes 1e-05 for a text."""
    text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value)) or repr(value)
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text


def flow_text(text: str) -> str:
    """A text, in double quotes where a reader could take it for something else."""
    if _PLAIN.fullmatch(text) and not _OTHERWISE_11.fullmatch(text) and isinstance(resolve(text), str):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def flow_key(key: str) -> str:
    """A key; keys are always texts to us, so only punctuation needs quotes."""
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key) else '"' + "".join(map(_escaped, key)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= _LAST_PLAIN_ASCII:
        return character
    point = ord(character)
    if character.isprintable() and point > 0xA0:  # noqa: PLR2004  # beyond the C1 controls
        return character
    if point <= 0xFF:  # noqa: PLR2004  # two hexadecimal digits
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004  # four digits
