"""Two studies side by side: what each found, for what, and in what their files differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.core.resolved import difference
from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.store.study_folder import StoredStudy
from sweep.watch.report import comparing, occupancy
from sweep.watch.report.drawing import Figure, unit_of
from sweep.watch.report.facts import subject_of
from sweep.watch.report.subject import Subject, best_so_far
from sweep.watch.text import Glyphs, counted, duration, number, plain, shown
from sweep.watch.view import Cell, View, note, stacked, table
from sweep.watch.words import state_word

if TYPE_CHECKING:
    from rich.console import RenderableType

COLOURS = ("--complete", "--best")


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        stored: the study.
        subject: what is drawn of it.
        live: whether a driver is at work on it.
    """

    stored: StoredStudy
    subject: Subject
    live: bool

    @property
    def study(self) -> StudyMachine:
        """Its state."""
        return self.stored.machine

    @property
    def name(self) -> str:
        """Its name."""
        return self.stored.spec.name


@dataclass(frozen=True)
class Comparison:
    """Two studies, told beside each other.

    Attributes:
        sides: the two.
        rows: (what, of the first, of the second).
        changes: in what the files differ, a line a value.
        verdict: in a sentence or two.
    """

    sides: tuple[Side, Side]
    rows: list[tuple[str, str, str]]
    changes: list[str]
    verdict: list[str]


def compare(first: StoredStudy, second: StoredStudy, *, live: tuple[bool, bool]) -> Comparison:
    """Lay two studies side by side; those with other objectives too, whose values then say nothing of each other."""
    sides = (
        Side(first, subject_of(first, live=live[0], learned=False), live[0]),
        Side(second, subject_of(second, live=live[1], learned=False), live[1]),
    )
    columns = [dict(_facts(side)) for side in sides]
    names = list(dict.fromkeys([*columns[0], *columns[1]]))
    rows = [(name, columns[0].get(name, "-"), columns[1].get(name, "-")) for name in names]
    changes = [line for line in difference(first.spec, second.spec) if not line.startswith("name: ")]
    return Comparison(sides, rows, changes, _verdict(sides))


def _facts(side: Side) -> list[tuple[str, str]]:
    study, used = side.study, side.subject.occupancy
    best = study.best
    report = best.best(study.metric) if best else None
    counts = study.counts()
    rows = [
        ("state", state_word(study, live=side.live)),
        *((f"best {goal.name}", number(report.metrics[goal.name]) if report else "-") for goal in study.metric.goals),
        ("its trial", f"{best.number} at {side.subject.time_attr} {report.t}" if best and report else "-"),
        ("trials", str(len(study.trials))),
        *((f"trials {state.value}", str(count)) for state, count in counts.items() if count),
        ("time", duration(study.elapsed_s)),
        ("GPU-hours" if used.gpu else "slot-hours", number(used.total)),
        ("busy", f"{used.busy:.0%}" if used.busy is not None else "-"),
        ("searched by", f"{study.spec.search.algorithm}, {study.spec.scheduler.type}"),
    ]
    same = constants(study.spec)
    config = best.config if best else {}
    rows += [(f"best {name}", shown(value)) for name, value in config.items() if name not in same]
    return rows


def _verdict(sides: tuple[Side, Side]) -> list[str]:
    a, b = (side.study for side in sides)
    if a.metric.name != b.metric.name or a.metric.goal != b.metric.goal:
        goals = [f"{study.spec.name} {study.metric.goal}s {study.metric.name}" for study in (a, b)]
        return [f"{' and '.join(goals)}: their values can't be compared."]
    values = [best.value(study.metric) if (best := study.best) else None for study in (a, b)]
    if values[0] is None or values[1] is None:
        return ["Not both have a best trial yet."]
    if values[0] == values[1]:
        return [f"Both have {a.metric.name} {number(values[0])}."]
    ahead = 0 if a.metric.better(values[0], values[1]) else 1
    winner, loser = sides[ahead], sides[1 - ahead]
    gap = number(abs(values[0] - values[1]))
    lines = [f"{winner.name} is better: {a.metric.name} {number(values[ahead])}, {gap} ahead of {loser.name}."]
    when = _reached(winner, values[1 - ahead])
    if when is not None:
        trials, seconds = when
        lines.append(
            f"It had {loser.name}'s best value after {counted(trials, 'trial')} and {duration(seconds)} of work; "
            f"{loser.name} took {counted(len(loser.study.trials), 'trial')} and {duration(loser.study.elapsed_s)}."
        )
    return lines


def _reached(side: Side, value: float | None) -> tuple[int, float] | None:
    """After how many trials and seconds of work a study had a value as good."""
    study = side.study
    for time, found in best_so_far(side.subject):
        if value is not None and not study.metric.better(value, found):
            return sum(1 for trial in study.trials.values() if trial.created <= time), side.subject.worked(time)
    return None


def comparison_view(found: Comparison) -> View:
    """For a terminal, and as JSON."""
    first, second = (side.name for side in found.sides)
    data = {
        "studies": [first, second],
        "verdict": found.verdict,
        "facts": [{"name": name, first: one, second: other} for name, one, other in found.rows],
        "differences": found.changes,
    }

    def draw(glyphs: Glyphs, _: int) -> RenderableType:
        cells: list[list[Cell]] = [[(name, "dim"), one, other] for name, one, other in found.rows]
        parts: list[RenderableType] = [note(line, glyphs, "bold") for line in found.verdict]
        parts = [stacked(parts), table([("", "l"), (first, "f"), (second, "f")], cells, glyphs)]
        if found.changes:
            rows: list[list[Cell]] = [[line] for line in found.changes]
            parts.append(table([("in what the files differ", "f")], rows, glyphs))
        else:
            parts.append(note("The files are the same.", glyphs))
        return stacked(parts)

    return View(plain(data), draw)


def comparison_figures(found: Comparison) -> list[Figure]:
    """The best so far of both, by work and by what it cost, and the values where trials can be compared."""
    longest = max(side.study.elapsed_s for side in found.sides)
    unit, seconds = unit_of(longest)
    lines, boxes = [], []
    for side, colour in zip(found.sides, COLOURS, strict=True):
        points = [(side.subject.worked(time) / seconds, value) for time, value in best_so_far(side.subject)]
        if points:
            points.append((side.study.elapsed_s / seconds, points[-1][1]))
        lines.append({
            "type": "scatter", "mode": "lines", "name": side.name, "x": [x for x, _ in points],
            "y": [y for _, y in points], "line": {"shape": "hv", "color": colour, "width": 2},
        })  # fmt: skip
        values = comparing.compared(side.study)
        boxes.append({
            "type": "box", "name": f"{side.name} at {side.subject.time_attr} {values.t}", "y": values.values,
            "boxpoints": "outliers", "marker": {"color": colour, "size": 4}, "line": {"color": colour},
        })  # fmt: skip
    metric = found.sides[0].subject.metric
    by_work: dict[str, Any] = {"xaxis": {"title": f"{unit} of work"}, "yaxis": {"title": metric}}
    spread: dict[str, Any] = {"yaxis": {"title": metric}, "showlegend": False}
    return [
        Figure(
            "work", "Best so far", "The best value of each study over the time that it was worked on.", lines, by_work
        ),
        Figure("values", "All trials", "The values of all trials that came so far.", boxes, spread),
        *_hours(found),
    ]


def _hours(found: Comparison) -> list[Figure]:
    used = [side.subject.occupancy for side in found.sides]
    if used[0].gpu != used[1].gpu:
        return []
    names = [side.name for side in found.sides]
    bars = [
        {"type": "bar", "orientation": "h", "name": fate, "y": names, "x": [each.hours.get(fate, 0.0) for each in used],
         "marker": {"color": f"--{fate}"}}
        for fate in occupancy.FATES
        if any(fate in each.hours for each in used)
    ]  # fmt: skip
    unit = "GPU-hours" if used[0].gpu else "slot-hours"
    layout = {"barmode": "stack", "height": 220, "xaxis": {"title": unit}, "yaxis": {"autorange": "reversed"}}
    return [Figure("hours", "What it cost", "Hours by what became of the work.", bars, layout)]
