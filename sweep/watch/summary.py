"""What a launch says in the end: what won, what it took, where it is, what to do next."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.core.study import StudyMachine
from sweep.core.trial import TrialState
from sweep.store.paths import Place, StudyPaths, place
from sweep.watch.fronts import front, front_text
from sweep.watch.outlooks import outlook, outlook_text, repeats, repeats_rows
from sweep.watch.stories import best_checkpoint, config_table
from sweep.watch.tables import failure_table, failures
from sweep.watch.text import Glyphs, duration, measured, number, plain
from sweep.watch.view import Cell, View, commands, facts, note, stacked
from sweep.watch.words import counts_text, state_word, trial_counts

if TYPE_CHECKING:
    from rich.console import RenderableType

FAILURES = 3
"""Causes that are told; `sweep status` has all."""


def summary(study: StudyMachine, paths: StudyPaths) -> View:
    """A study that has ended, or was interrupted."""
    trial = study.best
    report = trial.best(study.metric) if trial else None
    data: dict[str, Any] = plain({
        "study": study.spec.name,
        "state": state_word(study, live=False),
        "reason": study.ended.reason if study.ended else None,
        "elapsed_s": study.elapsed_s,
        "cost": study.limits.paid if study.spec.resources.price else None,
        "trials": trial_counts(study, live=False),
        "metric": study.metric.name,
        "best": None if trial is None or report is None else {
            "trial": trial.number,
            "value": report.metrics[study.metric.name],
            "values": {name: report.metrics[name] for name in study.metric.names},
            "t": report.t,
            "config": trial.config,
            **best_checkpoint(study, paths, trial),
        },
        "front": front(study),
        "spent": spent(study),
        "repeats": repeats(study),
        "outlook": outlook(study),
        "failures": failures(study, paths),
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
    """What a person would type next, in the current folder."""
    name = study.spec.name
    storage = _option("--storage", "SWEEP_STORAGE", "studies", paths.storage)
    commands = [] if study.ended and study.ended.complete else [f"sweep resume {name}{storage}"]
    failed = next((t.number for t in study.trials.values() if t.state is TrialState.FAILED), None)
    if failed is not None:
        commands.append(f"sweep logs {name} {failed}{storage}")
    commands.append(f"sweep trials {name}{storage}")
    if study.best is not None:
        commands.append(f"sweep best {name}{storage}")
        commands.append(f"sweep report {name}{storage}")
    commands.append(f"sweep tensorboard {name}{storage}")
    # A version is REGISTRY/MODEL/v7, in a folder or in a bucket.
    registries = {each.model: each.path.rsplit("/", 2)[0] for each in study.promotions}
    for model, registry in registries.items():
        option = _option("--registry", "SWEEP_REGISTRY", "registry", place(registry))
        commands.append(f"sweep models show {model}{option}")
    return commands


def _option(name: str, variable: str, default: str, folder: Place) -> str:
    """The option that names this folder; nothing where the command line would take it anyway."""
    # As the command line's own options have it.
    taken = place(os.environ.get(variable) or default)
    if isinstance(folder, Path):
        same = isinstance(taken, Path) and folder.resolve() == taken.resolve()
    else:
        same = folder == taken
    return "" if same else f" {name} {shlex.quote(str(_from_here(folder)))}"


def _from_here(path: Place) -> Place:
    """The path from the current folder, if it lies in there: shorter to read and to type."""
    here = Path.cwd()
    return path.relative_to(here) if isinstance(path, Path) and path.is_relative_to(here) else path


def _draw(study: StudyMachine, data: dict[str, Any], glyphs: Glyphs) -> RenderableType:
    top = data["best"]
    parts: list[RenderableType] = []
    if top is None:
        parts.append(note(f"No trial reported a finite {data['metric']}.", glyphs, "yellow"))
    parts.append(facts(_facts(study, data), glyphs))
    if top is not None:
        parts.append(config_table(top["config"], glyphs))
    if data["failures"]:
        parts.append(failure_table(data["failures"][:FAILURES], glyphs))
    parts.append(commands("what next", data["next"], glyphs))
    return stacked(parts)


def _facts(study: StudyMachine, data: dict[str, Any]) -> list[tuple[str, Cell]]:
    top, took = data["best"], data["spent"]
    counts = counts_text(data["trials"], live=False)
    ended = f"{data['state']}{': ' if data['reason'] else ''}{data['reason'] or ''}"
    rows: list[tuple[str, Cell]] = [("study", (data["study"], "bold")), ("ended", ended)]
    if top is not None:
        where = f"trial {top['trial']} at {study.spec.scheduler.time_attr} {top['t']}"
        rows.append(("best", (f"{measured(top['values'], top['values'])}  {where}", "bold green")))
    if data["front"]:
        rows.append(("front", f"{front_text(data['front'])}: sweep best {data['study']}"))
    rows += [("trials", counts or "none"), ("time", duration(data["elapsed_s"]))]
    if data["cost"] is not None:
        rows.append(("cost", number(data["cost"])))
    if took["ratio"] is not None:
        share = f"{took['steps']} of the {took['full']} {took['unit']}s that full runs would take ({took['ratio']:.0%})"
        rows.append(("spent", share))
    if data["repeats"]:
        rows += repeats_rows(data["repeats"])
    if data["outlook"]:
        rows.append(("outlook", outlook_text(data["metric"], data["outlook"])))
    if top is not None:
        rows.append(("checkpoint", top["checkpoint"] or "none on the disk"))
    for each in data["promotions"]:
        alias = f" ({each['alias']})" if each["alias"] else ""
        rows.append(("registry", f"{each['model']} v{each['version']}{alias}: {each['path']}"))
    return rows
