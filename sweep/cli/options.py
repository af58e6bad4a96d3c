"""Options that several verbs share, and where a person's studies and models are."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.store.paths import StudyPaths

StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Name of the study, or where it is: s3://BUCKET/FOLDER/NAME.", show_default=False
    ),
]
Storage = Annotated[
    str,
    typer.Option("--storage", envvar="SWEEP_STORAGE", help="What holds the studies: a folder, or s3://BUCKET/FOLDER."),
]
Registry = Annotated[
    str,
    typer.Option("--registry", envvar="SWEEP_REGISTRY", help="What holds the models: a folder, or s3://BUCKET/FOLDER."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _only_elsewhere(address: str | None) -> str | None:
    """An option's check: whoever comes so far has named no cluster elsewhere.

    Raises:
        InputError: it is another address.
    """
    if address is not None:
        raise InputError(
            f"address: got {address!r}. Name the cluster that has the study: http://HOST:8265 of its dashboard, or the "
            "file that ray up was given. Without it the study is looked for on this machine."
        )
    return None


Elsewhere = Annotated[
    str | None,
    typer.Option(
        "--address",
        callback=_only_elsewhere,
        help="http://HOST:8265, or a cluster's file: the cluster that has it, and on which the verb then runs.",
    ),
]
_NO_LIMIT = 100_000
STORAGE = "studies"
REGISTRY = "registry"


def find_study(storage: str, study: str) -> StudyPaths:
    """The study that a line of the command means.

    Raises:
        StudyError: there is none.
    """
    from sweep.store import study_folder
    from sweep.store.buckets import is_url
    from sweep.store.paths import place

    if is_url(study):
        storage, _, study = study.rstrip("/").rpartition("/")
    return study_folder.find(place(storage), study)


def echo_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinity, which JSON lacks, become null."""
    typer.echo(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def console() -> Console:
    """Standard output, as verbs draw on it: lines longer than a terminal's row are left to the terminal.

    In a pipe or a file there is no width to keep to, whatever COLUMNS says. Under NO_COLOR rich alone would leave bold
    and dim text.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else _NO_LIMIT
    return Console(width=width, soft_wrap=True, color_system=None if colourless() else "auto")


def colourless() -> bool:
    """Whether the user asked for plain output."""
    return bool(os.environ.get("NO_COLOR"))
