"""The `sweep` command: its verbs, and the one place where errors become words and exit codes.

Modules that a verb needs are imported when it runs, so that `sweep --help` is instant.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

import sweep
from sweep.cli import (
    cluster,
    control,
    converting,
    diagnosing,
    launching,
    models,
    opening,
    reading,
    remotely,
    reporting,
    watching,
    web,
)
from sweep.errors import SweepError
from sweep.remote.asking import asked

DEBUG = "--debug"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Distributed hyperparameter search on Ray: one YAML file in, a promoted checkpoint out.",
)

launching.register(app)
control.register(app)
reading.register(app)
reporting.register(app)
watching.register(app)
opening.register(app)
web.register(app)
models.register(app)
converting.register(app)
diagnosing.register(app)
cluster.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sweep {sweep.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Options of all verbs."""
    del version
    if debug:
        os.environ["SWEEP_DEBUG"] = "1"


def main() -> None:
    """Run the command line; errors go to stderr, and say what to do."""
    arguments = sys.argv[1:]
    if DEBUG in arguments:
        # `sweep launch x.yaml --debug` is as good as `sweep --debug launch x.yaml`.
        arguments = [DEBUG, *(argument for argument in arguments if argument != DEBUG)]
    if sys.stdout is None:
        # Started with its output closed: there is nobody to tell.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    try:
        request = asked(arguments)
        if request is not None:
            sys.exit(remotely.run(request))
        app(arguments)
    except KeyboardInterrupt:
        _say("interrupted.")
        sys.exit(launching.INTERRUPTED)
    except SweepError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last place where a defect of ours can be told in words
        _fail(f"a defect of sweep itself: {error!r}. Run it again with {DEBUG}, and report what it prints.", 1)


def _fail(message: str, code: int) -> None:
    if os.environ.get("SWEEP_DEBUG"):
        traceback.print_exc()
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    print(f"sweep: {message}", file=sys.stderr)  # noqa: T201 - the command line's own place to print
