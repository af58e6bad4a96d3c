"""The verbs of the registry: promote, and `models ls|show|alias|verify`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import (
    REGISTRY,
    STORAGE,
    AsJson,
    Elsewhere,
    Registry,
    Storage,
    StudyName,
    console,
    echo_json,
    find_study,
)
from sweep.errors import VerificationError

if TYPE_CHECKING:
    from sweep.registry import Version

models_app = typer.Typer(no_args_is_help=True, help="The registry: models, versions, aliases.")
ModelAt = Annotated[str, typer.Argument(metavar="MODEL", help="MODEL, MODEL@v3 or MODEL@alias.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(promote)
    app.add_typer(models_app, name="models")


def promote(
    study: StudyName,
    trial: Annotated[
        int | None, typer.Argument(metavar="TRIAL", help="Number of the trial; the best by default.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model to make a version of; the file's by default.")] = None,
    alias: Annotated[str | None, typer.Option(help="Alias to point to the new version.")] = None,
    registry: Annotated[
        str | None, typer.Option("--registry", envvar="SWEEP_REGISTRY", help="The file's by default.")
    ] = None,
    storage: Storage = STORAGE,
    address: Elsewhere = None,
) -> None:
    """Make a trial's best checkpoint a version of a model."""
    from sweep.promoting import promote_trial
    from sweep.store import study_folder
    from sweep.store.paths import place

    stored = study_folder.read(find_study(storage, study))
    typer.echo(promote_trial(stored, trial, model=model, alias=alias, registry=place(registry) if registry else None))


@models_app.command("ls")
def ls(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only the versions of this model.")] = None,
    registry: Registry = REGISTRY,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """List models, versions and where the aliases point."""
    from sweep.registry import Aliases, list_models, model_folder
    from sweep.store.paths import place

    rows: list[dict[str, Any]] = []
    where = place(registry)
    for name in [model] if model else list_models(where):
        folder = model_folder(where, name)
        pointed = Aliases(folder).current()
        for version in folder.versions():
            aliases = [alias for alias, target in pointed.items() if target == version.name]
            rows.append(_row(version, aliases))
    if as_json:
        echo_json(rows)
        return
    if not rows:
        typer.echo(f"{registry} has no models yet. A study with a promote: section makes one, or sweep promote.")
        return
    _print_table(rows)


def _row(version: Version, aliases: list[str]) -> dict[str, Any]:
    manifest = version.manifest
    return {
        "model": version.model,
        "version": version.name,
        "aliases": aliases,
        "metric": manifest.metric.name,
        "value": manifest.metric.value,
        "study": manifest.lineage.study,
        "trial": manifest.lineage.trial,
        "created": datetime.fromtimestamp(manifest.created, UTC).isoformat(timespec="seconds"),
        "path": version.told,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from sweep.watch.view import View, table

    kinds = {"model": "f", "version": "r", "aliases": "f", "metric": "f", "study": "f", "trial": "r", "created": "l"}
    cells = [
        [
            row["model"],
            row["version"],
            ", ".join(row["aliases"]),
            f"{row['metric']} {row['value']:.6g}",
            row["study"],
            str(row["trial"]),
            # To the minute: the seconds and the zone are in the JSON.
            row["created"][:16].replace("T", " "),
        ]
        for row in rows
    ]
    console().print(View(rows, lambda glyphs, _: table(list(kinds.items()), cells, glyphs)))


@models_app.command("show")
def show(name: ModelAt, registry: Registry = REGISTRY, address: Elsewhere = None, as_json: AsJson = False) -> None:
    """Show a version: its card, or with --json its manifest."""
    from sweep.registry import resolve
    from sweep.store.paths import place

    version = resolve(place(registry), name)
    if as_json:
        echo_json({"path": version.told, **version.manifest.model_dump(mode="json")})
        return
    card = version.card.read_text()
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        console().print(Markdown(card), soft_wrap=False)
    else:
        # As the file has it: what a pipe leads to may draw it itself.
        typer.echo(card)
    typer.echo(f"\n{version.told}")


@models_app.command("alias")
def alias(
    name: ModelAt,
    alias: Annotated[
        str | None, typer.Argument(metavar="ALIAS", help="Alias to point to that version; none shows the history.")
    ] = None,
    registry: Registry = REGISTRY,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias to a version, or show who pointed where and when."""
    import getpass

    from sweep.registry import Aliases, check_alias_name, folder_of, resolve
    from sweep.store.paths import place

    version = resolve(place(registry), name)
    aliases = Aliases(folder_of(place(registry), version.model))
    if alias is not None:
        check_alias_name(alias)
        aliases.point(alias, version.number, getpass.getuser())
    history = aliases.history()
    if as_json:
        echo_json([move.model_dump(mode="json") for move in history])
        return
    for move in history if alias is None else history[-1:]:
        when = datetime.fromtimestamp(move.time, UTC).isoformat(timespec="seconds")
        was = f" (was {move.was})" if move.was else ""
        typer.echo(f"{when}  {move.alias} -> {move.version}{was}  by {move.by}")


@models_app.command("verify")
def verify(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="MODEL or MODEL@v3; all by default.")] = None,
    registry: Registry = REGISTRY,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """Compare every byte with what was written; exit code 1 when one differs."""
    from sweep.registry import resolve
    from sweep.registry import verify as find_problems
    from sweep.store.paths import place

    where = place(registry)
    name, at, _ = (model or "").partition("@")
    number = resolve(where, model).number if model and at else None
    problems = find_problems(where, name or None, number)
    if as_json:
        echo_json([{"model": p.model, "version": p.version, "file": p.file, "what": p.what} for p in problems])
        if problems:
            raise typer.Exit(1)
        return
    if problems:
        raise VerificationError("\n".join(str(problem) for problem in problems))
    typer.echo(f"{model or registry}: every byte is as it was written.")
