"""What `sweep doctor` says, drawn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sweep.core.findings import Examined, Report
from sweep.watch.text import Glyphs, counted
from sweep.watch.view import Cell, View, note, stacked, table

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def report_view(report: Report) -> View:
    """A table for each place, and how many things there are to do."""

    def draw(glyphs: Glyphs, _: int) -> RenderableType:
        single = len(report.places) == 1
        parts: list[RenderableType] = [_table(place, glyphs, titled=not single) for place in report.places]
        return stacked([*parts, note(summary(report), glyphs)])

    return View(report.plain(), draw)


def summary(report: Report) -> str:
    """The last line."""
    counts = Counter(finding.verdict for finding in report.findings)
    if not counts["fail"] and not counts["warn"]:
        return "Everything is fine."
    parts = [counted(counts["fail"], "failure")] if counts["fail"] else ["Nothing failed"]
    parts += [counted(counts["warn"], "warning")] if counts["warn"] else []
    return f"{', '.join(parts)}; what to do stands below each."


def _table(place: Examined, glyphs: Glyphs, *, titled: bool) -> RenderableType:
    rows: list[list[Cell]] = []
    for finding in place.findings:
        rows.append([(finding.verdict, _STYLES[finding.verdict]), finding.name, finding.value])
        if finding.advice:
            rows.append(["", "", (finding.advice, "bold")])
    return table([("", "l"), ("", "l"), ("", "f")], rows, glyphs, title=place.place if titled else "")
