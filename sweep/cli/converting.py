"""`sweep convert`: another tool's search file as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sweep.errors import InputError

Tool = Literal["wandb", "katib", "determined", "nni", "optuna"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(convert)


def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Theirs; for optuna a storage.", show_default=False)],
    tool: Annotated[Tool, typer.Option("--from", help="Whose file it is.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write ours; stdout if left out.")] = None,
    study: Annotated[str | None, typer.Option("--study", help="Which study of an Optuna storage.")] = None,
) -> None:
    """Write another tool's search file as ours; what has no equivalent is refused by name."""
    if tool == "optuna":
        from sweep.core.convert.from_optuna import from_optuna
        from sweep.samplers.optuna_files import read_study

        text = from_optuna(read_study(file, study), file)
    else:
        from sweep.core.convert import converted
        from sweep.store.spec_file import read_text

        text = converted(tool, read_text(Path(file)), file)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError as error:
        raise InputError(f"{out}: there already. Choose another name, or remove it.") from error
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error.strerror}).") from error
    typer.echo(f"{out}: written. Fill in what its comments ask for, then: sweep validate {out}")
