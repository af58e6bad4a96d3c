"""The verb that examines a machine or a cluster: doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.options import AsJson, console

Address = Annotated[
    str | None,
    typer.Option(help="A Ray cluster: auto or HOST:PORT to join it, http://HOST:8265 to ask its head."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", envvar="SWEEP_STORAGE", help="What holds the studies.", show_default="studies"),
]
Registry = Annotated[
    str | None,
    typer.Option("--registry", envvar="SWEEP_REGISTRY", help="What holds the models.", show_default="registry"),
]

FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(doctor)


def doctor(
    address: Address = None, storage: Storage = None, registry: Registry = None, as_json: AsJson = False
) -> None:
    """Say what this machine or a cluster can do, and what to mend; exit code 1 when something will not work."""
    from sweep.core.findings import worst
    from sweep.doctor import diagnose
    from sweep.watch.findings import report_view

    report = diagnose(address, storage, registry)
    view = report_view(report)
    if as_json:
        typer.echo(view.json())
    else:
        console().print(view)
    if worst(report.findings) == "fail":
        raise typer.Exit(FAILED)
