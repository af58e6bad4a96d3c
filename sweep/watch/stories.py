"""One trial in full: the study's best, and any trial's story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweep.core.study import StudyMachine
from sweep.core.trial import Attempt, Trial
from sweep.errors import InputError
from sweep.store import checkpoints
from sweep.store.paths import StudyPaths
from sweep.watch.text import Glyphs, duration, last_line, number, plain, shown
from sweep.watch.view import Cell, View, facts, note, stacked, table

if TYPE_CHECKING:
    from rich.console import RenderableType

_CURVE_WIDTH = 40


def best(study: StudyMachine, paths: StudyPaths) -> View:
    """The best trial: value, config, checkpoint, learning curve; `data["trial"]` is None before there is one."""
    trial = study.best
    report = trial.best(study.metric) if trial else None
    if trial is None or report is None:
        text = f"{study.spec.name}: no trial has reported a finite {study.metric.name} yet."
        data = {"study": study.spec.name, "metric": study.metric.name, "trial": None, "value": None}
        return View(data, lambda glyphs, _: note(text, glyphs))
    found = {
        "study": study.spec.name,
        "metric": study.metric.name,
        "goal": study.metric.goal,
        "trial": trial.number,
        "state": trial.state.value,
        "value": report.metrics[study.metric.name],
        "t": report.t,
        "config": trial.config,
        "metrics": report.metrics,
        **best_checkpoint(study, paths, trial),
        "curve": curve(study, trial),
    }
    filled: dict[str, Any] = plain(found)
    return View(filled, lambda glyphs, _: _draw_best(study, filled, trial, glyphs))


def best_checkpoint(study: StudyMachine, paths: StudyPaths, trial: Trial) -> dict[str, Any]:
    """Where a trial's best checkpoint lies, and its fidelity; None when it isn't on the disk."""
    report = trial.best(study.metric, with_checkpoint=True)
    if report is None or report.checkpoint is None or not checkpoints.is_complete(paths.root / report.checkpoint):
        return {"checkpoint": None, "checkpoint_t": None}
    return {"checkpoint": str(paths.root / report.checkpoint), "checkpoint_t": report.t}


def curve(study: StudyMachine, trial: Trial) -> list[dict[str, Any]]:
    """The objective by fidelity."""
    return [{"t": report.t, "value": report.metrics.get(study.metric.name)} for report in trial.reports]


def config_table(config: dict[str, Any], glyphs: Glyphs) -> RenderableType:
    """A config, a parameter a line."""
    rows: list[list[Cell]] = [[name, shown(value)] for name, value in config.items()]
    return table([("parameter", "l"), ("value", "f")], rows, glyphs)


def _draw_best(study: StudyMachine, data: dict[str, Any], trial: Trial, glyphs: Glyphs) -> RenderableType:
    time_attr = study.spec.scheduler.time_attr
    rows: list[tuple[str, Cell]] = [
        ("best", (f"{data['metric']} {number(data['value'])}", "bold green")),
        ("trial", f"{data['trial']} ({data['state']}), at {time_attr} {data['t']}"),
        ("curve", _spark(study, trial, glyphs)),
        ("checkpoint", data["checkpoint"] or "none on the disk"),
    ]
    return stacked([facts(rows, glyphs), config_table(data["config"], glyphs)])


def _spark(study: StudyMachine, trial: Trial, glyphs: Glyphs) -> str:
    values = [value for report in trial.reports if (value := report.metrics.get(study.metric.name)) is not None]
    drawn = glyphs.sparkline(values, _CURVE_WIDTH)
    return f"{number(values[0])} {drawn} {number(values[-1])}" if drawn else ""


# A trial's story


def trial_story(study: StudyMachine, paths: StudyPaths, trial_number: int) -> View:
    """A trial's attempts, reports and decisions with their reasons.

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
        "state": trial.state.value,
        "reason": trial.reason,
        "value": trial.value(study.metric),
        "config": trial.config,
        "bracket": trial.bracket,
        "attempts": [_attempt(each, paths, trial) for each in trial.attempts],
        "decisions": [
            each.model_dump(exclude={"type", "trial"}) for each in study.decisions if each.trial == trial.number
        ],
        "reports": [{"t": each.t, "attempt": each.attempt, "metrics": each.metrics} for each in trial.reports],
        **best_checkpoint(study, paths, trial),
    })  # fmt: skip
    return View(data, lambda glyphs, _: _draw_story(study, data, trial, glyphs))


def _attempt(attempt: Attempt, paths: StudyPaths, trial: Trial) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "node": attempt.node,
        "device": attempt.device,
        "started": attempt.started,
        "seconds": None if attempt.ended is None else attempt.ended - attempt.started,
        "outcome": attempt.outcome or "running",
        "error": attempt.error,
        "log": str(paths.trial(trial.number).attempt_log(attempt.number)),
    }


def _draw_story(study: StudyMachine, data: dict[str, Any], trial: Trial, glyphs: Glyphs) -> RenderableType:
    time_attr = study.spec.scheduler.time_attr
    rows: list[tuple[str, Cell]] = [
        ("trial", (f"{data['trial']} of {data['study']}", "bold")),
        ("state", f"{data['state']}{': ' if data['reason'] else ''}{data['reason']}"),
        (study.metric.name, number(data["value"])),
        ("curve", _spark(study, trial, glyphs)),
        ("checkpoint", data["checkpoint"] or ""),
    ]
    parts: list[RenderableType] = [facts(rows, glyphs), config_table(data["config"], glyphs)]
    if data["attempts"]:
        parts.append(_attempt_table(data["attempts"], glyphs))
        parts.append(facts([(f"log {each['attempt']}", each["log"]) for each in data["attempts"]], glyphs))
    if data["decisions"]:
        cells: list[list[Cell]] = [[str(d["t"]), d["action"], d["reason"]] for d in data["decisions"]]
        parts.append(table([(time_attr, "r"), ("decision", "l"), ("reason", "f")], cells, glyphs))
    return stacked(parts)


def _attempt_table(attempts: list[dict[str, Any]], glyphs: Glyphs) -> RenderableType:
    rows: list[list[Cell]] = []
    for each in attempts:
        seconds = "-" if each["seconds"] is None else duration(each["seconds"])
        place = " ".join(part for part in (each["device"], each["node"]) if part)
        died = (last_line(each["error"] or ""), "red")
        rows.append([str(each["attempt"]), each["outcome"], seconds, place, died])
    heads = [("attempt", "r"), ("outcome", "l"), ("time", "r"), ("where", "l"), ("", "f")]
    return table(heads, rows, glyphs)
