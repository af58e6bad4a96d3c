"""The trials of a study as a table, as JSON values and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.core.spec import Constant
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.watch.columns import Columns
from sweep.watch.text import Glyphs, duration, plain, shown
from sweep.watch.view import Cell, View, table

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"complete": "green", "failed": "red", "stopped": "dim", "running": "cyan"}
_LEFT = ("state", "reason")
_FIXED_WIDTH = 46
_COLUMN_WIDTH = 12
_LONGEST = 40


def trials_table(
    study: StudyMachine, *, sort: str | None = None, filters: Sequence[str] = (), columns: Sequence[str] | None = None
) -> View:
    """The trials, all or some.

    Args:
        study: its state.
        sort: a column's name; "-" before it for the other direction. By number when it is None.
        filters: expressions that all hold: `state=complete`, `val_loss<0.5 and lr>1e-4`.
        columns: names; None for all in the data, and for as many as fit when drawn.

    Raises:
        InputError: a column that isn't there, or an expression that can't be read.
    """
    known = Columns(study)
    trials = _chosen(study, known, sort, filters)
    if columns is None:
        data = [_record(study, known, trial) for trial in trials]
        return View(
            plain(data), lambda glyphs, width: _draw(study, known, trials, _fitting(study, known, width), glyphs)
        )
    names = list(columns)
    readers = {name: known.reader(name) for name in names}
    rows = [{name: read(trial) for name, read in readers.items()} for trial in trials]
    return View(plain(rows), lambda glyphs, _: _draw(study, known, trials, names, glyphs))


def trials_csv(
    study: StudyMachine, *, sort: str | None = None, filters: Sequence[str] = (), columns: Sequence[str] | None = None
) -> str:
    """The trials as CSV, with a head; a value that isn't there is empty, NaN is `nan`. See `trials_table`."""
    known = Columns(study)
    names = list(columns) if columns is not None else _all_names(known)
    readers = [known.reader(name) for name in names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for trial in _chosen(study, known, sort, filters):
        writer.writerow(read(trial) for read in readers)
    return out.getvalue()


def _chosen(study: StudyMachine, known: Columns, sort: str | None, filters: Sequence[str]) -> list[Trial]:
    return known.ordered(known.filtered(study.trials.values(), filters), sort)


def _all_names(known: Columns) -> list[str]:
    params = [known.unambiguous(name, "param") for name in known.params]
    metrics = [known.unambiguous(name, "metric") for name in known.metrics]
    return ["trial", "state", "t", *metrics, *params, "attempts", "seconds", "bracket", "reason"]


def _fitting(study: StudyMachine, known: Columns, width: int) -> list[str]:
    """The columns that people look at first, as many parameters as there is room for, constants last."""
    varied = sorted(known.params, key=lambda name: isinstance(study.spec.parameters.get(name), Constant))
    count = max(1, (width - _FIXED_WIDTH) // _COLUMN_WIDTH)
    params = [known.unambiguous(name, "param") for name in varied[:count]]
    objective = known.unambiguous(study.metric.name, "metric")
    return ["trial", "state", "t", objective, *params, "seconds", *(["reason"] if width > 2 * _LONGEST else [])]


def _record(study: StudyMachine, known: Columns, trial: Trial) -> dict[str, Any]:
    names = ("trial", "state", "t", "value", "attempts", "seconds", "bracket", "reason")
    report = trial.best(study.metric)
    return {
        **{name: known.reader(name)(trial) for name in names},
        "best_t": report.t if report else None,
        "params": trial.config,
        "metrics": {name: known.reader(f"metric.{name}")(trial) for name in known.metrics},
    }


def _draw(
    study: StudyMachine, known: Columns, trials: Sequence[Trial], names: Sequence[str], glyphs: Glyphs
) -> RenderableType:
    best = study.best
    heads = [(_head(study, name), "l" if name in _LEFT else "r") for name in names]
    readers = {name: known.reader(name) for name in names}
    rows = [[_cell(name, read(trial), bold=trial is best) for name, read in readers.items()] for trial in trials]
    return table(heads, rows, glyphs)


def _head(study: StudyMachine, name: str) -> str:
    return study.spec.scheduler.time_attr if name == "t" else "time" if name == "seconds" else name


def _cell(name: str, value: Any, *, bold: bool) -> Cell:
    if name == "state":
        return (value, _STYLES.get(value, ""))
    if name == "seconds":
        return duration(value)
    text = "-" if value is None else shown(value)
    return (text, "bold" if bold and name != "reason" else "")
