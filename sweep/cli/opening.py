"""`sweep tensorboard` and `sweep dashboard`: a study in other tools' pages."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from sweep.cli.options import STORAGE, Storage, StudyName, find_study
from sweep.errors import InputError, WorkError

LOOPBACK = "127.0.0.1"

START_S = 60.0
"""How long a server may take until it answers."""

BRING_EVERY_S = 15.0
"""How often what is new in a bucket is brought."""

END_S = 5.0
"""How long it may take to end."""

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")]
Open = Annotated[bool, typer.Option("--open", help="Open a browser, too.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(tensorboard)
    app.command()(dashboard)


def tensorboard(study: StudyName, port: Port = 0, show: Open = False, storage: Storage = STORAGE) -> None:
    """Start TensorBoard on a study's trials: curves, the HParams page, sample predictions. Ctrl-C ends it."""
    from sweep.store import holding

    paths = find_study(storage, study)
    holding.bring_curves(paths)
    chosen = _free_port(port)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(paths.trials), "--host", LOOPBACK]
    with (
        _interrupted_by_signals(),
        _server([*command, "--port", str(chosen), "--reload_interval", "5"], chosen) as server,
    ):
        _tell(f"http://{LOOPBACK}:{chosen}/", show=show)
        _until_interrupted(lambda: _wait(server, lambda: holding.bring_curves(paths)))
    if server.returncode and server.returncode > 0:
        raise WorkError(f"TensorBoard ended with code {server.returncode}.")


def dashboard(
    address: Annotated[
        str, typer.Option(help="Of the dashboard; or the file that ray up was given: then through SSH.")
    ] = f"http://{LOOPBACK}:8265",
    show: Open = False,
) -> None:
    """Open the Ray dashboard of this machine or of a cluster, logged in with its token. Ctrl-C ends it."""
    from sweep.remote import login
    from sweep.remote.asking import kind_of
    from sweep.remote.tunnel import tunnel

    if kind_of(address) is None:
        raise InputError(
            f"address: got {address!r}. Name the dashboard, http://HOST:8265, or the file that ray up was given."
        )
    reached: AbstractContextManager[str] = (
        tunnel(Path(address)) if kind_of(address) == "file" else nullcontext(address.rstrip("/"))
    )
    with _interrupted_by_signals(), reached as url:
        login.check(url, wait_s=START_S if kind_of(address) == "file" else 0)
        with login.door(url) as door:
            _tell(door, show=show)
            _until_interrupted(lambda: time.sleep(3600))


def _free_port(wanted: int) -> int:
    """The port itself, or for 0 one that is free.

    Raises:
        InputError: it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError as error:
            raise InputError(
                f"port: {wanted} is taken ({error.strerror}). Leave it out to get one that is free."
            ) from error
        return int(probe.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], meanwhile: Callable[[], object]) -> int:
    """Until a server ends, with its exit code; now and then something is done."""
    while True:
        try:
            return server.wait(BRING_EVERY_S)
        except subprocess.TimeoutExpired:
            meanwhile()


def _tell(address: str, *, show: bool) -> None:
    typer.echo(f"{address}  (Ctrl-C ends it)")
    if show:
        typer.launch(address)


@contextmanager
def _server(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at a port, while inside.

    Raises:
        WorkError: it didn't start; its last words are told.
    """
    with tempfile.TemporaryFile() as words:
        server = subprocess.Popen(command, stdout=words, stderr=words)
        try:
            if not _answers(server, port):
                words.seek(0)
                said = " ".join(words.read().decode(errors="replace").split())[-500:]
                raise WorkError(f"{command[2]} doesn't answer on port {port}: {said or 'it said nothing'}")
            yield server
        finally:
            server.terminate()
            try:
                server.wait(END_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether a server comes to answer, before it ends or its time is over."""
    until = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return True
        time.sleep(0.1)
    return False


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Take SIGTERM, and a terminal that is closed, for Ctrl-C: what was started here ends with this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _until_interrupted(work: Callable[[], object]) -> None:
    try:
        while work() is None:
            pass
    except KeyboardInterrupt:
        typer.echo("", err=True)
