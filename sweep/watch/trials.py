"""The trials of a study as a table, as JSON values and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.watch.columns import Columns
from sweep.watch.text import Glyphs, counted, duration, plain, shown
from sweep.watch.view import Cell, View, note, stacked, table, whole_columns

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"complete": "green", "failed": "red", "stopped": "dim", "running": "cyan"}
_KINDS = {"state": "l", "reason": "f"}


def trials_table(
    study: StudyMachine,
    *,
    sort: str | None = None,
    filters: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    live: bool = False,
) -> View:
    """The trials, all or some.

    Args:
        study: its state.
        sort: a column's name; "-" before it for the other direction. By number when it is None.
        filters: expressions that all hold: `state=complete`, `val_loss<0.5 and lr>1e-4`.
        columns: names; None for all in the data, and for those that fit when drawn.
        live: whether a driver holds the study's lock.

    Raises:
        InputError: a column that isn't there, or an expression that can't be read.
    """
    known = Columns(study, live=live)
    trials = _chosen(study, known, sort, filters)
    if columns is None:
        data = [_record(study, known, trial) for trial in trials]
        return View(plain(data), lambda glyphs, width: _draw_fitting(study, known, trials, glyphs, width))
    names = list(columns)
    readers = {name: known.reader(name) for name in names}
    rows = [{name: read(trial) for name, read in readers.items()} for trial in trials]
    return View(plain(rows), lambda glyphs, _: table(*_drawn(study, known, trials, names), glyphs))


def trials_csv(
    study: StudyMachine,
    *,
    sort: str | None = None,
    filters: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    live: bool = False,
) -> str:
    """The trials as CSV, with a head; a value that isn't there is empty, NaN is `nan`. See `trials_table`."""
    known = Columns(study, live=live)
    names = list(columns) if columns is not None else _all_names(known)
    readers = [known.reader(name) for name in names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for trial in _chosen(study, known, sort, filters):
        writer.writerow(read(trial) for read in readers)
    return out.getvalue()


def trials_parquet(
    study: StudyMachine,
    *,
    sort: str | None = None,
    filters: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    live: bool = False,
) -> bytes:
    """The trials as a Parquet file with the columns of `trials_csv`; values of several kinds become their text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = Columns(study, live=live)
    names = list(columns) if columns is not None else _all_names(known)
    trials = _chosen(study, known, sort, filters)
    arrays = []
    for name in names:
        values = [known.reader(name)(trial) for trial in trials]
        kinds = {type(value) for value in values if value is not None}
        alike = len(kinds) <= 1 or kinds == {int, float}
        arrays.append(pa.array(values if alike else [None if each is None else shown(each) for each in values]))
    out = io.BytesIO()
    pq.write_table(pa.table(arrays, names=names), out)
    return out.getvalue()


def _chosen(study: StudyMachine, known: Columns, sort: str | None, filters: Sequence[str]) -> list[Trial]:
    return known.ordered(known.filtered(study.trials.values(), filters), sort)


def _all_names(known: Columns) -> list[str]:
    params = [known.unambiguous(name, "param") for name in known.params]
    metrics = [known.unambiguous(name, "metric") for name in known.metrics]
    return ["trial", "state", "t", *metrics, *params, "attempts", "seconds", "bracket", "repeat_of", "reason"]


def _record(study: StudyMachine, known: Columns, trial: Trial) -> dict[str, Any]:
    names = ("trial", "state", "t", "value", "attempts", "seconds", "bracket", "repeat_of", "reason")
    report = trial.best(study.metric)
    return {
        **{name: known.reader(name)(trial) for name in names},
        "best_t": report.t if report else None,
        "params": trial.config,
        "metrics": {name: known.reader(f"metric.{name}")(trial) for name in known.metrics},
    }


# Drawing


def _draw_fitting(
    study: StudyMachine, known: Columns, trials: Sequence[Trial], glyphs: Glyphs, width: int
) -> RenderableType:
    """What people look at first, and as many of the varying parameters as there is room for; no column is cut."""
    same = constants(study.spec)
    objectives = [known.unambiguous(name, "metric") for name in study.metric.names]
    params = [known.unambiguous(name, "param") for name in known.params if name not in same]
    repeats = ["repeat_of"] if any(trial.repeat_of is not None for trial in trials) else []
    names = ["trial", "state", *repeats, "t", *objectives, *params, "seconds"]
    heads, rows = _drawn(study, known, trials, names)
    first = [names.index(name) for name in ("trial", "state", *repeats, *objectives, "t", "seconds")]
    kept = whole_columns(heads, rows, glyphs, width, first)
    drawn = table([heads[i] for i in kept], [[row[i] for i in kept] for row in rows], glyphs)
    left_out = len(names) - len(kept)
    if not left_out:
        return drawn
    return stacked([drawn, note(f"{counted(left_out, 'more column')}: --columns or --csv", glyphs, "dim")])


def _drawn(
    study: StudyMachine, known: Columns, trials: Sequence[Trial], names: Sequence[str]
) -> tuple[list[tuple[str, str]], list[list[Cell]]]:
    """Heads and rows for `table`."""
    best = study.best
    heads = [(_head(study, name), _KINDS.get(name, "r")) for name in names]
    readers = {name: known.reader(name) for name in names}
    return heads, [[_cell(name, readers[name](trial), bold=trial is best) for name in names] for trial in trials]


def _head(study: StudyMachine, name: str) -> str:
    return study.spec.scheduler.time_attr if name == "t" else "time" if name == "seconds" else name


def _cell(name: str, value: Any, *, bold: bool) -> Cell:
    if name == "state":
        return (value, _STYLES.get(value, ""))
    if name == "seconds":
        return duration(value)
    text = "-" if value is None else shown(value)
    return (text, "bold" if bold and name != "reason" else "")
