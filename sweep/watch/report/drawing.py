"""A picture as Plotly's JSON, and what pictures are put together from.

Colours are names of the page's CSS variables ("--best"): the page puts in those of its light or dark dress. A figure
holds plain numbers only, so that a thousand trials stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sweep.watch.report.occupancy import FATES
from sweep.watch.report.subject import Subject

Json = dict[str, Any]
Member = TypeVar("Member")

ROW = 26
"""The height of a line of bars, in pixels."""

DIGITS = 5
"""Of a number in a figure: more can't be seen, and each costs a byte a point."""

_EACH = 10
"""The most epochs that are marked one by one."""

_MINUTES, _HOURS = 600.0, 3 * 3600.0
_LOG_FROM = 30.0
"""Values whose largest is so many times the smallest are drawn on a log scale."""


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        name: of its place on the page.
        title: over it.
        note: below the title: what is to be seen, or how it was made.
        data, layout: Plotly's.
    """

    name: str
    title: str
    note: str
    data: list[Json]
    layout: Json

    def plain(self) -> Json:
        """As the page gets it, with every text as text: Plotly reads tags in labels."""
        return {"name": self.name, "data": _literal(self.data), "layout": _literal(self.layout)}


def literal(text: str) -> str:
    """A text that Plotly shows as it is, whatever tags stand in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _literal(value: Any, key: str = "") -> Any:
    """A figure's values with literal texts; templates have tags of their own, and are made of literal texts."""
    if isinstance(value, str):
        return value if key == "hovertemplate" else literal(value)
    if isinstance(value, dict):
        return {name: _literal(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(each, key) if isinstance(each, str | dict | list | tuple) else each for each in value]
    return value


def markers(name: str, x: Sequence[float], y: Sequence[float]) -> Json:
    """Points of trials that had one fate; the best one's is a star."""
    star = name == "best"
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": short(x), "y": short(y),
        "marker": {"color": f"--{name}", "size": 14 if star else 6, "symbol": "star" if star else "circle",
                   "opacity": 1 if star else 0.75},
    }  # fmt: skip


def bar(name: str, x: Sequence[Any], y: Sequence[float], color: str) -> Json:
    """Bars of one colour."""
    return {"type": "bar", "name": name, "x": list(x), "y": list(y), "marker": {"color": color, "line": {"width": 0}}}


def value_axis(subject: Subject, values: Sequence[float]) -> Json:
    """An axis of the first objective that shows the good values well; those of wild trials lie outside."""
    best_low = subject.study.metric.goal == "minimize"
    low, high = drawn_range(values, best_low=best_low)
    if best_low and low > 0 and high / low > _LOG_FROM:
        return {
            "title": subject.metric,
            "type": "log",
            "dtick": "D2",
            "range": short([math.log10(low * 0.9), math.log10(high * 1.1)]),
        }
    room = 0.04 * ((high - low) or abs(high) or 1.0)
    return {"title": subject.metric, "range": short([low - room, high + room])}


def fidelity_axis(time_attr: str, last: int) -> Json:
    """An axis of epochs or steps: none is marked between two of them."""
    return {"title": time_attr, **({"dtick": 1} if last <= _EACH else {})}


def drawn_range(values: Sequence[float], *, best_low: bool) -> tuple[float, float]:
    """From the best to the worst, or to three times as far from the best as four fifths of all, if that is nearer."""
    ordered = sorted(values, reverse=not best_low)
    best, far = ordered[0], ordered[min(len(ordered) - 1, round(0.8 * len(ordered)))]
    worst = ordered[-1]
    limit = best + 3 * (far - best)
    drawn = min(worst, limit) if best_low else max(worst, limit)
    return (best, drawn) if best_low else (drawn, best)


def in_order(groups: Mapping[str, Member]) -> list[tuple[str, Member]]:
    """By fate; the best last, so that it is drawn over the others."""
    order = [*FATES[1:], FATES[0]]
    return [(name, groups[name]) for name in order if name in groups]


def unit_of(seconds: float) -> tuple[str, float]:
    """In what so long a time is drawn, and how many seconds that has."""
    if seconds < _MINUTES:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < _HOURS else ("hours", 3600.0)


def short(values: Iterable[float | None]) -> list[Any]:
    """Numbers with the digits that can be seen."""
    return [None if value is None else float(f"{value:.{DIGITS}g}") for value in values]
