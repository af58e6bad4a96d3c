"""What a launch says in the end: what won, what it took, where it is, what to do next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from sweep.core.study import StudyMachine
from sweep.core.trial import TrialState
from sweep.store.paths import StudyPaths
from sweep.watch.stories import best_checkpoint, config_table
from sweep.watch.tables import state_word
from sweep.watch.text import Glyphs, duration, number, plain
from sweep.watch.view import Cell, View, facts, note, stacked, table

if TYPE_CHECKING:
    from rich.console import RenderableType


def summary(study: StudyMachine, paths: StudyPaths) -> View:
    """A study that has ended, or was interrupted."""
    trial = study.best
    report = trial.best(study.metric) if trial else None
    data: dict[str, Any] = plain({
        "study": study.spec.name,
        "state": state_word(study, live=False),
        "reason": study.ended.reason if study.ended else None,
        "elapsed_s": study.elapsed_s,
        "trials": {state.value: count for state, count in study.counts().items()},
        "metric": study.metric.name,
        "best": None if trial is None or report is None else {
            "trial": trial.number,
            "value": report.metrics[study.metric.name],
            "t": report.t,
            "config": trial.config,
            **best_checkpoint(study, paths, trial),
        },
        "spent": spent(study),
        "promotions": [each.model_dump(exclude={"time", "type"}) for each in study.promotions],
        "next": next_commands(study, paths),
    })  # fmt: skip
    return View(data, lambda glyphs, _: _draw(study, data, glyphs))


def spent(study: StudyMachine) -> dict[str, Any]:
    """Fidelity steps that the trials took, and what they would have taken if each had gone on to max_t."""
    steps = sum(trial.t for trial in study.trials.values())
    full = len(study.trials) * study.spec.scheduler.max_t
    return {
        "unit": study.spec.scheduler.time_attr,
        "steps": steps,
        "full": full,
        "ratio": steps / full if full else None,
    }


def next_commands(study: StudyMachine, paths: StudyPaths) -> list[str]:
    """What a person would type next."""
    name = study.spec.name
    commands = [] if study.ended and study.ended.complete else [f"sweep resume {name}"]
    failed = next((t.number for t in study.trials.values() if t.state is TrialState.FAILED), None)
    if failed is not None:
        commands.append(f"sweep logs {name} {failed}")
    commands += [f"sweep trials {name}", f"sweep best {name}"]
    commands.append(f"tensorboard --logdir {shlex.quote(str(paths.trials))}")
    models = dict.fromkeys(each.model for each in study.promotions)
    return [*commands, *(f"sweep models show {model}" for model in models)]


def _draw(study: StudyMachine, data: dict[str, Any], glyphs: Glyphs) -> RenderableType:
    top = data["best"]
    parts: list[RenderableType] = []
    if top is None:
        parts.append(note(f"No trial reported a finite {data['metric']}.", glyphs, "yellow"))
    parts.append(facts(_facts(study, data), glyphs))
    if top is not None:
        parts.append(config_table(top["config"], glyphs))
    parts.append(table([("what next", "f")], [[command] for command in data["next"]], glyphs))
    return stacked(parts)


def _facts(study: StudyMachine, data: dict[str, Any]) -> list[tuple[str, Cell]]:
    top, took = data["best"], data["spent"]
    counts = ", ".join(f"{count} {state}" for state, count in data["trials"].items() if count)
    ended = f"{data['state']}{': ' if data['reason'] else ''}{data['reason'] or ''}"
    rows: list[tuple[str, Cell]] = [("study", (data["study"], "bold")), ("ended", ended)]
    if top is not None:
        where = f"trial {top['trial']} at {study.spec.scheduler.time_attr} {top['t']}"
        rows += [("best", (f"{data['metric']} {number(top['value'])}  {where}", "bold green"))]
    rows += [("trials", counts or "none"), ("time", duration(data["elapsed_s"]))]
    if took["ratio"] is not None:
        share = f"{took['steps']} of the {took['full']} {took['unit']}s that full runs would take ({took['ratio']:.0%})"
        rows.append(("spent", share))
    if top is not None:
        rows.append(("checkpoint", top["checkpoint"] or "none on the disk"))
    for each in data["promotions"]:
        alias = f" ({each['alias']})" if each["alias"] else ""
        rows.append(("registry", f"{each['model']} v{each['version']}{alias}: {each['path']}"))
    return rows
