"""One of the processes that train a trial of several GPUs; see `sweep.training.ranks` for who starts it."""

from __future__ import annotations

import io
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import NoReturn, cast

from sweep.core.events import Outcome
from sweep.core.protocols import Decision
from sweep.errors import MemoryShareError, SweepError
from sweep.training.ranks import Ended, Failed, Job, Leave, Reported


def main(descriptor: int) -> None:
    """Do the job that comes through a connection; end when the connection does.

    Args:
        descriptor: of this side's end of the pipe to the supervisor.
    """
    os.set_inheritable(descriptor, False)
    supervisor = _Supervisor(Connection(descriptor))
    sys.argv[1:] = []
    for stream in (sys.stdout, sys.stderr):
        cast("io.TextIOWrapper", stream).reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        outcome = _attempt(supervisor.job(), supervisor)
    except BaseException as error:  # noqa: BLE001 - whatever a training function raises is the trial's failure
        supervisor.send(_told(error))
        _leave(1)
    supervisor.send(Ended(outcome))
    _leave(0)


class _Supervisor:
    """The connection to it, read in a thread of its own: whatever else happens here, its end is noticed.

    Attributes:
        leaving: it has said that the node is about to go.
    """

    def __init__(self, connection: Connection) -> None:
        self.leaving = False
        self._connection = connection
        self._received: queue.Queue[object] = queue.Queue()
        threading.Thread(target=self._read, name="supervisor", daemon=True).start()

    def job(self) -> Job:
        """What to do; the first that it says."""
        return cast("Job", self._received.get())

    def decision(self) -> Decision:
        """Its answer to a report."""
        return cast("Decision", self._received.get())

    def send(self, message: object) -> None:
        self._connection.send(message)

    def _read(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Leave):
                    self.leaving = True
                else:
                    self._received.put(message)
        except (EOFError, OSError):
            # Nobody is left to report to. Its children would be orphans too: this process leads its group.
            os.killpg(0, signal.SIGKILL)


class RankChannel:
    """A rank's channel: each report waits for the other ranks, and for the decision that is given to all."""

    def __init__(self, supervisor: _Supervisor) -> None:
        self._supervisor = supervisor
        self._process = os.getpid()

    @property
    def leaving(self) -> bool:
        """See `sweep.core.protocols.LeavingChannel`."""
        return self._supervisor.leaving

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        from sweep.training.attempt import check_process

        check_process(self._process)
        self._supervisor.send(Reported(dict(metrics), checkpoint))
        return self._supervisor.decision()


def _attempt(job: Job, supervisor: _Supervisor) -> Outcome:
    # Torch's thousands of modules come after the watch over the supervisor has begun.
    from sweep.training import attempt, entrypoints, replicas

    placement = replace(job.placement, cpu=job.placement.cpu / job.world_size)
    with (
        entrypoints.user_modules(placement.entrypoint, placement.working_dir),
        entrypoints.search_path(placement.entrypoint, placement.working_dir),
        replicas.joined(
            job.rank, job.world_size, port=job.port, listener=job.listener, device=placement.device
        ) as group,
    ):
        return attempt.train(placement, RankChannel(supervisor), sys.stderr.write, group)


def _told(error: BaseException) -> Failed:
    from sweep.training import logs, replicas

    words = str(error) if isinstance(error, SweepError) else traceback.format_exception_only(error)[-1].strip()
    memory = error.memory if isinstance(error, MemoryShareError) else None
    return Failed(_utf8(words), _utf8(logs.trace(error)), memory, replicas.is_echo(error))


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _leave(status: int) -> NoReturn:
    """End at once: an orderly end takes torch a second, and could wait for ranks that hang."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
