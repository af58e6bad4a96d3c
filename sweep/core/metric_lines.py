"""Metrics in the lines that a script prints, so that one which knows nothing of sweep can be searched over."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_END = r"(?!\w|\.\d)"
_PAIR = re.compile(rf"""(?<![\w./-])(["']?)([A-Za-z_][\w./-]*)\1\s*[=:]\s*({_NUMBER}){_END}""", re.IGNORECASE)


class MetricLines:
    """Reads a script's output line by line, and says when a report is complete.

    A report is complete with the line that brings the last of the wanted metrics; each may be on a line of its own. On
    that line all other numbers with a name count too. What is read: `val_loss=0.12`, `val_loss: 0.12`, and
    `val_loss 0.12` for the wanted ones; a JSON object in the line, by its keys. The fidelity is read from the same line
    or one before, also as `Epoch 3/10` and `epoch [3/10]`; a script that never prints it reports one step each time.
    One that counts from 0 is taken to, by its first.

    Args:
        wanted: the metrics of the file.
        time_attr: the name of the fidelity.
        t: where the trial goes on from.
        from_zero: whether an attempt before was seen to count from 0.

    Attributes:
        from_zero: whether the script counts from 0.
    """

    def __init__(self, wanted: Collection[str], time_attr: str, *, t: int = 0, from_zero: bool = False) -> None:
        self.from_zero = from_zero
        self._wanted = set(wanted)
        self._time_attr = time_attr
        self._t = t
        self._last = 0
        self._counted: bool | None = None
        self._found: dict[str, float] = {}
        named = "|".join(re.escape(name) for name in sorted(self._wanted, key=len, reverse=True))
        self._spaced = re.compile(rf"(?<![\w./-])({named})\s+({_NUMBER}){_END}")
        self._time = re.compile(rf"(?<![\w./-]){re.escape(time_attr)}\s*[=:#]?\s*[\[(]?\s*(\d+){_END}", re.IGNORECASE)

    def take(self, line: str) -> dict[str, float] | None:
        """The metrics of the report that this line completes, `time_attr` among them; None when it completes none."""
        pairs = dict(self._pairs(line))
        self._found.update({name: pairs[name] for name in pairs if name in self._wanted or name == self._time_attr})
        if not self._wanted & pairs.keys() or not self._wanted <= self._found.keys():
            return None
        found, self._found = {**pairs, **self._found}, {}
        t = self._fidelity(found.pop(self._time_attr, None))
        if t is None:
            return None
        self._last = t
        return {**found, self._time_attr: t}

    def _fidelity(self, shown: float | None) -> int | None:
        """Which step a report is of; None for one that was reported, or is none."""
        if shown is None:
            # Within a step that was told of, further values are no report of the next one.
            if self._counted is False:
                return None
            self._counted = True
            return max(self._last, self._t) + 1
        if not math.isfinite(shown) or shown != int(shown) or shown < 0:
            return None
        self.from_zero = self.from_zero or (self._counted is None and shown == 0)
        self._counted = False
        t = int(shown) + (1 if self.from_zero else 0)
        return t if t > self._last else None

    def _pairs(self, line: str) -> Iterator[tuple[str, float]]:
        if (told := _json_object(line)) is not None:
            yield from told.items()
            return
        if time := self._time.search(line):
            yield self._time_attr, float(time[1])
        for name, value in self._spaced.findall(line):
            yield name, float(value)
        for _, name, value in _PAIR.findall(line):
            yield self._time_attr if name.lower() == self._time_attr.lower() else name, float(value)


def _json_object(line: str) -> Mapping[str, float] | None:
    """The numbers of the JSON object that a line ends with; None when there is none."""
    begin = line.find('{"')
    if begin < 0:
        return None
    try:
        told = json.loads(line[begin:].rstrip())
    except (ValueError, RecursionError):
        return None
    return {name: float(value) for name, value in told.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < _MOST
    return isinstance(value, float)


_MOST = 2**1000
"""Above it a whole number is no float."""
