"""The Pareto front of a study with several objectives, and the bounds that a result has to keep within."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.watch.text import Glyphs, counted, number, shown
from sweep.watch.view import Cell, stacked, table

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_SHOWN = 20
"""Trials of a front that are drawn; the data has all."""


def front(study: StudyMachine) -> list[dict[str, Any]] | None:
    """The trials of the front, by the first objective; None for a study that has one objective."""
    if not study.metric.several:
        return None
    found = []
    for trial in study.front():
        report = trial.best(study.metric)
        if report is not None:
            found.append({
                "trial": trial.number,
                "t": report.t,
                "values": {goal.name: report.metrics[goal.name] for goal in study.metric.goals},
                "metrics": report.metrics,
                "config": trial.config_in(report.attempt),
            })  # fmt: skip
    return found


def front_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many trials are on the front, and what that means."""
    return f"{counted(len(rows), 'trial')} that no other beats in all"


def nearest(study: StudyMachine) -> str | None:
    """Where no trial keeps within the bounds: that it is so, and which comes nearest."""
    ranked = study.ranked()
    if not ranked or study.front():
        return None
    broken = study.repeats.broken(ranked[0])
    return f"no trial keeps within the bounds; trial {ranked[0].number} is nearest: {broken}"


def front_table(study: StudyMachine, rows: Sequence[dict[str, Any]], glyphs: Glyphs) -> RenderableType:
    """The front, a trial a line: its objectives, and the parameters that vary."""
    same = constants(study.spec)
    names = [goal.name for goal in study.metric.goals]
    params = [name for name in study.spec.parameters if name not in same]
    heads = [("trial", "r"), *((name, "r") for name in names), *((name, "r") for name in params)]
    cells: list[list[Cell]] = [
        [
            str(row["trial"]),
            *(number(row["values"][name]) for name in names),
            *(shown(row["config"][name]) if name in row["config"] else "" for name in params),
        ]
        for row in rows[:MOST_SHOWN]
    ]
    drawn = table(heads, cells, glyphs)
    left = len(rows) - MOST_SHOWN
    return drawn if left <= 0 else stacked([drawn, f"{left} more: --json"])
