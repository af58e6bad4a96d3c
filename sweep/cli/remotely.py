"""A verb with a cluster's dashboard, or its file, as --address: it runs there."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import typer

from sweep.remote.asking import DETACH, DRIVING, Asked

CONNECT_S = 60.0
"""How long the tunnel to a cluster's file may take."""


def run(asked: Asked) -> int:
    """Run it there, and print what it prints; its exit code.

    Raises:
        InputError: the cluster can't be asked.
        WorkError: its job never began.
    """
    from sweep.remote import jobs
    from sweep.remote.tunnel import tunnel

    opened: AbstractContextManager[str] = (
        tunnel(Path(asked.address)) if asked.kind == "file" else nullcontext(asked.address)
    )
    with _quiet(), opened as address:
        client = jobs.wait_for(address, CONNECT_S) if asked.kind == "file" else jobs.connect(address)
        job = jobs.submit(client, asked, Path.cwd())
        if asked.detach:
            typer.echo(f"{asked.verb}: job {job} runs on {asked.address}. It goes on without this machine.")
            typer.echo(f"sweep status STUDY --address {asked.address}")
            return 0
        try:
            return jobs.follow(client, job, _write)
        except KeyboardInterrupt:
            if asked.verb in DRIVING:
                typer.echo(
                    f"\nsweep: no longer followed; job {job} goes on there. `sweep stop STUDY --address "
                    f"{asked.address}` ends the study, and `{DETACH}` doesn't follow at all.",
                    err=True,
                )
            else:
                client.stop_job(job)
            return jobs.INTERRUPTED


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's client tells of each upload and each closed connection, by loggers that set their own level."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _write(text: str) -> None:
    """Print, until the reader has gone: the cluster's verb doesn't end with it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
