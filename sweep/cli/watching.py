"""`sweep watch`: a study that runs elsewhere, as its launcher sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.launching import Form, LogFormat, form_of, say, watcher
from sweep.cli.options import STORAGE, Elsewhere, Storage, StudyName, console, find_study

if TYPE_CHECKING:
    from sweep.core.events import AnyEvent
    from sweep.core.study import StudyMachine
    from sweep.driver import Watcher
    from sweep.store.paths import StudyPaths

EVERY_S = 0.25
"""How often the log is asked for more."""

BUCKET_EVERY_S = 2.0
"""As often as a driver sends it."""

EventJson = Annotated[bool, typer.Option("--json", help="Print each new event as a line of JSON, for programs.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(watch)


def watch(
    study: StudyName,
    storage: Storage = STORAGE,
    address: Elsewhere = None,
    as_json: EventJson = False,
    log_format: LogFormat = "text",
) -> None:
    """Follow a study that runs elsewhere, until it ends; Ctrl-C leaves it alone."""
    import sys

    from sweep.store import holding, study_folder

    form = form_of(as_json, log_format)
    paths = find_study(storage, study)
    if not holding.is_at_work(paths):
        from sweep.watch import tables

        if form == "people":
            console().print(tables.status(study_folder.read(paths).machine, paths))
        if form != "events":
            typer.echo(f"Nobody works on {study} now: there is nothing to watch.", err=True)
        return
    seen = watcher(study_folder.read_file(paths), paths, form, stream=sys.stdout, screen=True)
    try:
        _follow(paths, seen, form)
    except KeyboardInterrupt:
        typer.echo(f"{study} goes on; sweep watch {study} comes back.", err=True)
    finally:
        seen.close()


def _follow(paths: StudyPaths, seen: Watcher, form: Form) -> None:
    """Show what has been as it stands, then each event as it comes, while a driver is at work."""
    from sweep.store import holding
    from sweep.store.following import Follower

    caught_up = False
    last: AnyEvent | None = None

    def pass_on(machine: StudyMachine, event: AnyEvent) -> None:
        nonlocal last
        last = event
        if caught_up:
            seen.event(machine, event)

    follower = Follower(paths, pass_on)
    follower.look()
    caught_up = True
    if last is not None:
        # The state tells what came before; each event of it by itself would be an old story.
        seen.event(follower.machine, last)
    if form == "records":
        # Else nothing might come for hours, and a collector's user wonder whether it works.
        say(f"{follower.spec.name} is at work: followed from here on", form)
    while True:
        # Asked first: what a driver writes before it ends is read after.
        live = holding.is_at_work(paths)
        holding.up_to_date(paths)
        if not follower.look() and not live:
            return
        time.sleep(EVERY_S if paths.url is None else BUCKET_EVERY_S)
