"""`sweep report`: a study told to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sweep.cli.options import STORAGE, AsJson, Storage, StudyName, console, echo_json, find_study
from sweep.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(report)
    app.command()(compare)


def report(
    study: StudyName,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write it: STUDY.html, or stdout for Markdown.")
    ] = None,
    form: Annotated[Literal["html", "md"], typer.Option("--format", help="html: a page; md: Markdown.")] = "html",
    following: Annotated[
        Path | None, typer.Option("--next", help="Write the search file that goes on from here.")
    ] = None,
    storage: Storage = STORAGE,
    as_json: AsJson = False,
) -> None:
    """Tell a study in one file: why the winner won, what mattered, what it cost, what to search next."""
    from sweep.store import holding, study_folder
    from sweep.watch.report.facts import facts

    paths = find_study(storage, study)
    live = holding.is_at_work(paths)
    found = facts(study_folder.read(paths), live=live)
    if following is not None:
        _write_next(following, found.next_file)
    if as_json:
        echo_json(found.plain())
        return
    if form == "md":
        from sweep.watch.report.markdown import markdown

        text = markdown(found)
        if out is None:
            typer.echo(text, nl=False)
            return
    else:
        from sweep.watch.report.page import page

        text = page(found)
    write(out or Path(f"{paths.root.name}.html"), text.encode())


def compare(
    first: Annotated[str, typer.Argument(metavar="STUDY", help="One.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="OTHER", help="The other.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a page with pictures to this file.")] = None,
    storage: Storage = STORAGE,
    as_json: AsJson = False,
) -> None:
    """Lay two studies side by side: what each found, for what, and in what their files differ."""
    from sweep.store import holding, study_folder
    from sweep.watch.report import comparison

    paths = [find_study(storage, name) for name in (first, second)]
    live = [holding.is_at_work(each) for each in paths]
    stored = [study_folder.read(each) for each in paths]
    found = comparison.compare(stored[0], stored[1], live=(live[0], live[1]))
    if out is not None:
        from sweep.watch.report.page import comparison_page

        write(out, comparison_page(found).encode())
        return
    view = comparison.comparison_view(found)
    if as_json:
        typer.echo(view.json())
    else:
        console().print(view)


def _write_next(path: Path, text: str) -> None:
    if not text:
        raise InputError(
            f"{path}: not written. The ranges that the best trials suggest break a rule of the search file; see the "
            "report, and choose them by hand."
        )
    if path.exists():
        raise InputError(f"{path}: there already. Choose another name, or remove it.")
    write(path, text.encode())


def write(path: Path, content: bytes) -> None:
    """Put a file in its place whole, and say so.

    Raises:
        InputError: the disk refuses.
    """
    from sweep.store.files import write_atomic

    try:
        write_atomic(path, content)
    except OSError as error:
        raise InputError(f"{path}: can't be written ({error.strerror}).") from error
    typer.echo(f"{path}: written", err=True)
