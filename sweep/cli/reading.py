"""The verbs that only read: ls, status, trials, best, logs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import STORAGE, AsJson, Elsewhere, Storage, StudyName, console, find_study
from sweep.errors import InputError, StudyError, SweepError

if TYPE_CHECKING:
    from sweep.store.paths import StudyPaths
    from sweep.store.study_folder import StoredStudy
    from sweep.watch.view import View

FOLLOW_EVERY_S = 0.5
FOLLOW_BUCKET_EVERY_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (ls, status, trials, best, logs):
        app.command()(verb)


def ls(storage: Storage = STORAGE, address: Elsewhere = None, as_json: AsJson = False) -> None:
    """List the studies of a storage, those with the latest activity first; exit code 1 when one is damaged."""
    from sweep.store import study_folder
    from sweep.store.paths import place
    from sweep.watch.tables import damaged_row, studies_table, study_row

    dated: list[tuple[float, dict[str, Any]]] = []
    for paths in study_folder.studies(place(storage)):
        try:
            stored, live = _read_with_live(paths)
        except SweepError as error:
            row = damaged_row(paths, str(error))
        else:
            row = study_row(stored.machine, paths, live=live)
        dated.append((study_folder.last_activity(paths), row))
    rows = [row for _, row in sorted(dated, key=lambda each: each[0], reverse=True)]
    if not rows and not as_json:
        typer.echo(f"{storage} holds no studies yet. Start one: sweep launch search_spaces/quick.yaml")
        return
    _show(studies_table(rows), as_json)
    if any(row["state"] == "damaged" for row in rows):
        raise typer.Exit(1)


def status(study: StudyName, storage: Storage = STORAGE, address: Elsewhere = None, as_json: AsJson = False) -> None:
    """Show one study: how far it is, its best, its rungs, its failures."""
    from sweep.watch import tables

    stored, live = _find(storage, study)
    _show(tables.status(stored.machine, stored.paths, live=live, now=time.time()), as_json)


def trials(
    study: StudyName,
    number: Annotated[int | None, typer.Argument(metavar="NUMBER", help="One trial's whole story.")] = None,
    sort: Annotated[str | None, typer.Option(help="A column; -COLUMN for the other way round.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="E.g. state=complete, or 'val_loss<0.5 and lr>1e-4'.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Names, with commas between, e.g. trial,lr,metric.lr.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write a Parquet file.")] = None,
    storage: Storage = STORAGE,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """List the trials of a study, or tell one trial's story."""
    from sweep.watch.stories import trial_story
    from sweep.watch.trials import trials_csv, trials_table

    forms = {"--csv": csv, "--parquet": parquet is not None, "--json": as_json}
    if len(given := [name for name, wanted in forms.items() if wanted]) > 1:
        raise InputError(f"{' and '.join(given)}: each is another form of the same table. Choose one.")
    table = {"--csv": csv, "--parquet": parquet, "--sort": sort, "--filter": filters, "--columns": columns}
    if number is not None and (given := [name for name, wanted in table.items() if wanted]):
        raise InputError(f"{', '.join(given)}: for the table of all trials, not for the story of trial {number}.")
    stored, live = _find(storage, study)
    if number is not None:
        _show(trial_story(stored.machine, stored.paths, number, live=live), as_json)
        return
    names = [name.strip() for name in columns.split(",")] if columns else None
    if parquet is not None:
        from sweep.cli.reporting import write
        from sweep.watch.trials import trials_parquet

        write(parquet, trials_parquet(stored.machine, sort=sort, filters=filters or (), columns=names, live=live))
        return
    if csv:
        typer.echo(trials_csv(stored.machine, sort=sort, filters=filters or (), columns=names, live=live), nl=False)
        return
    _show(trials_table(stored.machine, sort=sort, filters=filters or (), columns=names, live=live), as_json)


def best(study: StudyName, storage: Storage = STORAGE, address: Elsewhere = None, as_json: AsJson = False) -> None:
    """Show the best trial: its config, its curve, its checkpoint."""
    from sweep.watch import stories

    stored, live = _find(storage, study)
    _show(stories.best(stored.machine, stored.paths, live=live), as_json)


def logs(
    study: StudyName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of the trial.", show_default=False)],
    attempt: Annotated[int | None, typer.Option(help="Number of the attempt; the last by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the trial ends.")] = False,
    storage: Storage = STORAGE,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """Print what a trial's training function printed, with its traceback if it raised."""
    from sweep.cli.options import echo_json
    from sweep.store.holding import bring

    stored, _ = _find(storage, study)
    path = _log(stored, trial, attempt)
    bring(stored.paths, path)
    if as_json:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        echo_json({"trial": trial, "path": stored.paths.told(path), "lines": lines})
        return
    if follow:
        _follow(stored, trial, path)
    elif path.is_file():
        typer.echo(path.read_text(errors="replace"), nl=False)
    if not path.is_file() or not path.stat().st_size:
        typer.echo(f"trial {trial}, {path.stem.replace('-', ' ')} printed nothing", err=True)


def _log(stored: StoredStudy, number: int, attempt: int | None) -> Path:
    found = stored.machine.trials.get(number)
    if found is None:
        last = len(stored.machine.trials) - 1
        there = f"It has 0 to {last}." if last >= 0 else "It has none yet."
        raise StudyError(f"study {stored.spec.name} has no trial {number}. {there}")
    wanted = attempt or len(found.attempts)
    if not 1 <= wanted <= len(found.attempts):
        there = f"It has 1 to {len(found.attempts)}." if found.attempts else "It hasn't begun."
        raise StudyError(f"trial {number} has no attempt {attempt or ''}. {there}".replace("attempt .", "attempt yet."))
    return stored.paths.trial(number).attempt_log(wanted)


def _follow(stored: StoredStudy, number: int, path: Path) -> None:
    """Print a log as it grows, until its trial has ended or nobody works on the study."""
    from sweep.store import holding, study_folder

    offset = 0
    while True:
        trial = study_folder.read(stored.paths).machine.trials[number]
        over = trial.state.final or not holding.is_at_work(stored.paths)
        holding.bring(stored.paths, path)
        if path.is_file():
            with path.open(errors="replace") as file:
                file.seek(offset)
                typer.echo(file.read(), nl=False)
                offset = file.tell()
        if over:
            return
        time.sleep(FOLLOW_EVERY_S if stored.paths.url is None else FOLLOW_BUCKET_EVERY_S)


def _find(storage: str, study: str) -> tuple[StoredStudy, bool]:
    """The study, and whether a driver works on it."""
    return _read_with_live(find_study(storage, study))


def _read_with_live(paths: StudyPaths) -> tuple[StoredStudy, bool]:
    from sweep.store import holding, study_folder

    # Asked first: a driver that ends in between must not look as if it had died.
    live = holding.is_at_work(paths)
    return study_folder.read(paths), live


def _show(view: View, as_json: bool) -> None:
    if as_json:
        typer.echo(view.json())
        return
    console().print(view)
