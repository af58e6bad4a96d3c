"""One trial in full: the study's best, and any trial's story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.core.study import StudyMachine
from sweep.core.trial import Attempt, Report, Trial
from sweep.errors import InputError
from sweep.store.kept import Kept
from sweep.store.paths import StudyPaths
from sweep.watch.fronts import front, front_table, front_text, nearest
from sweep.watch.outlooks import repeats, repeats_rows
from sweep.watch.tails import Tails, brief
from sweep.watch.text import Glyphs, counted, duration, last_line, measured, number, plain, shown
from sweep.watch.view import Cell, Hanging, View, facts, note, stacked, table, whole_columns
from sweep.watch.words import News, outcome_word, trial_state

if TYPE_CHECKING:
    from rich.console import RenderableType

_CURVE_WIDTH = 40
STORY_LINES = 8
"""Of a failed attempt's log."""

_MOST_REPORTS = 12


def best(study: StudyMachine, paths: StudyPaths, *, live: bool = False) -> View:
    """The best trial: value, config, checkpoint, learning curve; `data["trial"]` is None before there is one.

    Args:
        study: its state.
        paths: its files.
        live: whether a driver holds the study's lock.
    """
    trial = study.best
    report = trial.best(study.metric) if trial else None
    if trial is None or report is None:
        beyond = nearest(study)
        text = f"{study.spec.name}: {beyond or f'no trial has reported a finite {study.metric.name} yet'}."
        data = {"study": study.spec.name, "metric": study.metric.name, "trial": None, "value": None}
        return View(data, lambda glyphs, _: note(text, glyphs))
    found = {
        "study": study.spec.name,
        "metric": study.metric.name,
        "goal": study.metric.goal,
        "trial": trial.number,
        "state": trial_state(trial, live=live).value,
        "value": report.metrics[study.metric.name],
        "t": report.t,
        "config": trial.config_in(report.attempt),
        "metrics": report.metrics,
        "front": front(study),
        "lineage": lineage(trial),
        **best_checkpoint(study, paths, trial),
        "curve": curve(study, trial),
        "repeats": repeats(study),
    }
    filled: dict[str, Any] = plain(found)
    return View(filled, lambda glyphs, _: _draw_best(study, filled, trial, glyphs))


def best_checkpoint(study: StudyMachine, paths: StudyPaths, trial: Trial) -> dict[str, Any]:
    """Where a trial's best checkpoint lies, and its fidelity; None when it isn't kept."""
    report = trial.best(study.metric, with_checkpoint=True)
    if report is None or report.checkpoint is None or not Kept(paths).has(report.checkpoint):
        return {"checkpoint": None, "checkpoint_t": None}
    return {"checkpoint": paths.told(paths.root / report.checkpoint), "checkpoint_t": report.t}


def curve(study: StudyMachine, trial: Trial) -> list[dict[str, Any]]:
    """The objective by fidelity."""
    return [{"t": report.t, "value": report.metrics.get(study.metric.name)} for report in trial.reports]


def config_table(config: dict[str, Any], glyphs: Glyphs) -> RenderableType:
    """A config, a parameter a line."""
    rows: list[list[Cell]] = [[name, shown(value)] for name, value in config.items()]
    return Hanging([[("parameter", "dim"), ("value", "dim")], *rows], glyphs)


def _draw_best(study: StudyMachine, data: dict[str, Any], trial: Trial, glyphs: Glyphs) -> RenderableType:
    time_attr = study.spec.scheduler.time_attr
    rows: list[tuple[str, Cell]] = [
        ("best", (measured(study.metric.names, data["metrics"]), "bold green")),
        ("trial", f"{data['trial']} ({data['state']}), at {time_attr} {data['t']}"),
        ("curve", _spark(study, trial, glyphs)),
        ("checkpoint", data["checkpoint"] or "none on the disk"),
        *(repeats_rows(data["repeats"]) if data["repeats"] else []),
    ]
    parts: list[RenderableType] = [facts(rows, glyphs), config_table(data["config"], glyphs)]
    if data["front"]:
        parts.append(note(f"The front: {front_text(data['front'])}.", glyphs))
        parts.append(front_table(study, data["front"], glyphs))
    return stacked(parts)


def lineage(trial: Trial) -> list[dict[str, Any]]:
    """Where a trial took up others' work: when, whose, and with which config it went on."""
    return [
        {"attempt": each.attempt, "t": each.t, "source": each.source, "before": each.before, "after": each.after}
        for each in trial.lineage
    ]


def _lineage_table(study: StudyMachine, rows: Sequence[Mapping[str, Any]], glyphs: Glyphs) -> RenderableType:
    cells: list[list[Cell]] = []
    for each in rows:
        changed = [
            f"{name} {shown(each['before'].get(name))} to {shown(value)}"
            for name, value in each["after"].items()
            if each["before"].get(name) != value
        ]
        cells.append([str(each["t"]), f"trial {each['source']}", ", ".join(changed) or "nothing"])
    heads = [(study.spec.scheduler.time_attr, "r"), ("went on from", "l"), ("changed", "f")]
    return table(heads, cells, glyphs)


def _spark(study: StudyMachine, trial: Trial, glyphs: Glyphs) -> str:
    values = [value for report in trial.reports if (value := report.metrics.get(study.metric.name)) is not None]
    drawn = glyphs.sparkline(values, _CURVE_WIDTH)
    return f"{number(values[0])} {drawn} {number(values[-1])}" if drawn else ""


# A trial's story


def trial_story(study: StudyMachine, paths: StudyPaths, trial_number: int, *, live: bool = False) -> View:
    """A trial's attempts, reports and decisions with their reasons.

    Args:
        study: its state.
        paths: its files.
        trial_number: which trial.
        live: whether a driver holds the study's lock.

    Raises:
        InputError: the study has no trial of this number.
    """
    if trial_number not in study.trials:
        there = f"Its trials are 0 to {len(study.trials) - 1}." if study.trials else "It has none yet."
        raise InputError(f"{study.spec.name} has no trial {trial_number}. {there}")
    trial = study.trials[trial_number]
    data: dict[str, Any] = plain({
        "study": study.spec.name,
        "trial": trial.number,
        "state": trial_state(trial, live=live).value,
        "reason": trial.why,
        "value": trial.value(study.metric),
        "config": trial.config,
        "bracket": trial.bracket,
        "repeat_of": trial.repeat_of,
        "lineage": lineage(trial),
        "attempts": [_attempt(each, paths, trial, live=live) for each in trial.attempts],
        "decisions": [
            each.model_dump(exclude={"type", "trial"}) for each in study.decisions if each.trial == trial.number
        ],
        "reports": [{"t": each.t, "attempt": each.attempt, "metrics": each.metrics} for each in trial.reports],
        **best_checkpoint(study, paths, trial),
    })  # fmt: skip
    return View(data, lambda glyphs, width: _draw_story(study, data, trial, glyphs, width))


def _attempt(attempt: Attempt, paths: StudyPaths, trial: Trial, *, live: bool) -> dict[str, Any]:
    ended_badly = attempt.outcome in ("failed", "lost")
    return {
        "attempt": attempt.number,
        "node": attempt.node,
        "device": attempt.device,
        "started": attempt.started,
        "seconds": None if attempt.ended is None else attempt.ended - attempt.started,
        "outcome": outcome_word(attempt, live=live),
        "error": attempt.error,
        "log": paths.told(paths.trial(trial.number).attempt_log(attempt.number)),
        "tail": Tails(paths, fetching=True).of(trial.number, attempt.number)[1] if ended_badly else None,
    }


def _draw_story(study: StudyMachine, data: dict[str, Any], trial: Trial, glyphs: Glyphs, width: int) -> RenderableType:
    time_attr = study.spec.scheduler.time_attr
    rows: list[tuple[str, Cell]] = [
        ("trial", (f"{data['trial']} of {data['study']}", "bold")),
        ("state", f"{data['state']}{': ' if data['reason'] else ''}{data['reason']}"),
        ("repeats", "" if data["repeat_of"] is None else f"trial {data['repeat_of']}, with another seed"),
        *_values(study, trial),
        ("curve", _spark(study, trial, glyphs)),
        ("checkpoint", data["checkpoint"] or ""),
    ]
    parts: list[RenderableType] = [facts(rows, glyphs), config_table(data["config"], glyphs)]
    if trial.reports:
        parts += _report_table(study, trial, glyphs, width)
    if data["lineage"]:
        parts.append(_lineage_table(study, data["lineage"], glyphs))
    if data["attempts"]:
        parts.append(_attempt_table(data["attempts"], glyphs))
        # Not in the table, which would break a path where there isn't room.
        more: list[tuple[str, Cell]] = []
        for each in data["attempts"]:
            more.append((f"error {each['attempt']}", (last_line(each["error"] or ""), "red")))
            more.append((f"log {each['attempt']}", each["log"]))
            more += [("", (line, "dim")) for line in brief(each["tail"] or "", each["error"] or "", STORY_LINES)]
        parts.append(facts(more, glyphs))
    news = News()
    told = [each for each in study.decisions if each.trial == trial.number and news.tells(each)]
    if told:
        cells: list[list[Cell]] = [[str(each.t), each.action, each.reason] for each in told]
        parts.append(table([(time_attr, "r"), ("decision", "l"), ("reason", "f")], cells, glyphs))
    return stacked(parts)


def _values(study: StudyMachine, trial: Trial) -> list[tuple[str, Cell]]:
    """Each objective with its value in the trial's best report."""
    report = trial.best(study.metric)
    metrics = report.metrics if report else {}
    return [(name, number(metrics.get(name))) for name in study.metric.names]


def _report_table(study: StudyMachine, trial: Trial, glyphs: Glyphs, width: int) -> list[RenderableType]:
    """The learning curve in numbers: the objective, and the other metrics that there is room for."""
    time_attr, objective = study.spec.scheduler.time_attr, study.metric.name
    others = dict.fromkeys(name for report in trial.reports for name in report.metrics)
    names = [objective, *(name for name in others if name not in (objective, time_attr))]
    heads = [(time_attr, "r"), *((name, "r") for name in names)]
    best = trial.best(study.metric)
    rows: list[list[Cell]] = [
        [(text, "bold" if report is best else "") for text in _numbers(report, names)]
        for report in _spread(trial.reports, best)
    ]
    kept = whole_columns(heads, rows, glyphs, width, [0, 1])
    parts: list[RenderableType] = [table([heads[i] for i in kept], [[row[i] for i in kept] for row in rows], glyphs)]
    hidden = [counted(len(trial.reports) - len(rows), "more report")] if len(rows) < len(trial.reports) else []
    hidden += [counted(len(heads) - len(kept), "more metric")] if len(kept) < len(heads) else []
    return [*parts, note(f"{', '.join(hidden)}: --json", glyphs, "dim")] if hidden else parts


def _numbers(report: Report, names: Sequence[str]) -> list[str]:
    return [str(report.t), *(number(report.metrics.get(name)) for name in names)]


def _spread(reports: Sequence[Report], best: Report | None) -> list[Report]:
    """All reports or, of many, the first, the last, the best and others at even distances."""
    last = len(reports) - 1
    if last < _MOST_REPORTS:
        return list(reports)
    steps = {round(i * last / (_MOST_REPORTS - 1)) for i in range(_MOST_REPORTS)}
    return [report for i, report in enumerate(reports) if i in steps or report is best]


def _attempt_table(attempts: list[dict[str, Any]], glyphs: Glyphs) -> RenderableType:
    rows: list[list[Cell]] = []
    for each in attempts:
        seconds = "-" if each["seconds"] is None else duration(each["seconds"])
        place = " ".join(part for part in (each["device"], each["node"]) if part)
        rows.append([str(each["attempt"]), each["outcome"], seconds, place])
    heads = [("attempt", "r"), ("outcome", "l"), ("time", "r"), ("where", "l")]
    return table(heads, rows, glyphs)
