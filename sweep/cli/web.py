"""`sweep ui`: the live page."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import REGISTRY, STORAGE, Registry, Storage
from sweep.errors import InputError, SweepError

if TYPE_CHECKING:
    from sweep.core.events import Verb
    from sweep.store.paths import Place, StudyPaths

MISSING = "sweep ui needs fastapi and uvicorn, which aren't here ({error}). Install them: pip install 'sweep[ui]'"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(ui)


def ui(
    storage: Storage = STORAGE,
    registry: Registry = REGISTRY,
    port: Annotated[
        int | None, typer.Option(help="On 127.0.0.1; 8642 by default, or a free one.", min=0, max=65535)
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
) -> None:
    """Serve studies and models as a live page, for this machine alone; Ctrl-C ends it."""
    try:
        from sweep.watch.ui import serving
    except ImportError as error:
        raise InputError(MISSING.format(error=error)) from error
    from sweep.store.paths import place
    from sweep.watch.text import plain
    from sweep.watch.ui.app import Parts

    models_at = place(registry)
    parts = Parts(place(storage), _ask, lambda: plain(models(models_at)))
    served = serving.Serving(parts, port)
    typer.echo(f"studies in {storage}, models in {registry}: {served.address}")
    typer.echo("Whoever has this address can stop studies. Ctrl-C ends the page; studies go on.", err=True)
    if not no_open and sys.stdout.isatty() and serving.can_open():
        with serving.opened(served.address):
            served.run()
    else:
        served.run()


def _ask(paths: StudyPaths, verb: Verb, trial: int | None) -> dict[str, Any]:
    from sweep import controlling

    reply = controlling.ask(paths, verb, trial=trial)
    return {"accepted": reply.accepted, "answer": reply.answer, "live": reply.live}


def models(registry: Place) -> dict[str, Any]:
    """The registry as its page shows it; what can't be read is told in place."""
    from sweep.registry import list_models

    found: dict[str, Any] = {"registry": str(registry), "problem": "", "models": []}
    try:
        names = list_models(registry)
    except SweepError as error:
        # No registry yet is no fault.
        there = not isinstance(registry, Path) or registry.exists()
        return {**found, "problem": str(error) if there else ""}
    for name in names:
        try:
            found["models"].append(_model(registry, name))
        except SweepError as error:
            found["models"].append({"model": name, "problem": str(error), "versions": [], "history": []})
    return found


def _model(registry: Place, name: str) -> dict[str, Any]:
    from sweep.registry import Aliases, model_folder

    folder = model_folder(registry, name)
    aliases = Aliases(folder)
    history = aliases.history()
    pointed = {move.alias: move.version for move in history}
    versions = []
    for version in reversed(folder.versions()):
        one: dict[str, Any] = {
            "version": version.name,
            "aliases": [alias for alias, target in pointed.items() if target == version.name],
            "path": version.told,
            "problem": "",
        }
        try:
            manifest = version.manifest
        except SweepError as error:
            versions.append({**one, "problem": str(error)})
            continue
        metric, lineage = manifest.metric, manifest.lineage
        versions.append({
            **one,
            "metric": metric.name, "goal": metric.goal, "value": metric.value, "metrics": dict(manifest.metrics),
            "study": lineage.study, "trial": lineage.trial, "created": _moment(manifest.created),
            "parameters": manifest.weights.parameters if manifest.weights else None,
        })  # fmt: skip
    moves = [
        {"alias": move.alias, "version": move.version, "was": move.was, "by": move.by, "when": _moment(move.time)}
        for move in reversed(history)
    ]
    return {"model": name, "problem": "", "versions": versions, "history": moves}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
