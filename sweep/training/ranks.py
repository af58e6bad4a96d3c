"""A trial of several GPUs: its rank processes, one for each GPU, and the supervisor that speaks for them.

The supervisor is whoever runs the attempt: a thread of a Ray worker, or inline this process. It trains nothing and
imports no torch. `sweep.training.rank` is the other side.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import IO

from sweep.core.events import Outcome
from sweep.core.protocols import Channel, LeavingChannel, Placement
from sweep.errors import MemoryShareError, TrainingError
from sweep.training.memory import Memory

LOOPBACK = "127.0.0.1"

POLL_S = 0.2
"""How often it is looked whether all ranks live: a child of a dead one may hold its connection open."""

ECHO_S = 3.0
"""How long the reason is waited for when a rank says only that it lost another."""

LEAVE_S = 10.0
"""How long a rank may take to end after its function."""

LINE_LIMIT = 2**16
"""Characters: a longer line of output is cut."""

# The path as a whole, since sweep and the user's modules must be found as they are here.
_BOOT = "import sys; fd, *sys.path = sys.argv[1:]; from sweep.training.rank import main; main(int(fd))"


@dataclass(frozen=True)
class Job:
    """What a rank is to do.

    Attributes:
        placement: the whole trial's; `cpu` is this rank's.
        rank: from 0.
        world_size: how many ranks there are.
        port: of the loopback address, where rank 0's store is.
        listener: rank 0's file descriptor of the socket that listens there.
    """

    placement: Placement
    rank: int
    world_size: int
    port: int
    listener: int | None


@dataclass(frozen=True)
class Leave:
    """To a rank: see `sweep.core.protocols.LeavingChannel`."""


@dataclass(frozen=True)
class Reported:
    """A rank came to a report, and waits for the decision."""

    metrics: Mapping[str, float]
    checkpoint: str | None


@dataclass(frozen=True)
class Ended:
    """A rank's training function came to its end."""

    outcome: Outcome


@dataclass(frozen=True)
class Failed:
    """A rank's training function raised.

    Attributes:
        error: in one line.
        trace: the whole traceback.
        memory: which ran out, if that is what happened.
        echo: whether it only says that another rank is gone.
    """

    error: str
    trace: str
    memory: Memory | None
    echo: bool


class RankTraceback(Exception):  # noqa: N818 - it is no error but the place of one, for the chain of a traceback
    """Where a rank failed, as text: the frames are in another process."""


def count(placement: Placement) -> int:
    """How many processes train a placement's trial."""
    return int(placement.gpu) if placement.gpu > 1 else 1


def supervise(placement: Placement, channel: Channel) -> Outcome:
    """Run a placement's training function in its ranks; deliver what rank 0 reports, give each decision to all.

    Whatever happens, no rank is left afterwards.

    Raises:
        TrainingError: a rank failed or died, or they don't report alike. The cause is the rank's own traceback.
        MemoryShareError: a rank ran out of memory.
    """
    with _started(placement) as ranks:
        outcome = _relay(ranks, placement, channel)
        deadline = time.monotonic() + LEAVE_S
        for rank in ranks:
            # The process's end closes its side.
            wait([rank.connection], max(0.0, deadline - time.monotonic()))
        return outcome


class _Rank:
    """A rank's process, as the supervisor sees it."""

    def __init__(self, job: Job, listener: int) -> None:
        self.number, self.world_size = job.rank, job.world_size
        self.connection, theirs = Pipe()
        self.silent = False  # its side of the connection is closed
        self.report: Reported | None = None
        self.outcome: Outcome | None = None
        env = {**os.environ, **job.placement.env}
        # All ranks are on this node; gloo would ask the network for this host's name.
        env.setdefault("GLOO_SOCKET_IFNAME", "lo")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), *([listener] if job.listener is not None else [])],
                env=env,
                # A group of its own, to be ended with its children; Ctrl-C in the terminal is the driver's to handle.
                start_new_session=True,
            )
        self._reader = threading.Thread(
            target=_copy, args=(self.process.stdout, sys.stdout.write, self.number), name=f"{self}", daemon=True
        )
        self._reader.start()
        self.send(job)

    def __str__(self) -> str:
        return f"rank {self.number} of {self.world_size}"

    def send(self, message: object) -> None:
        """Tell it something; that it is dead is seen elsewhere."""
        with suppress(OSError):
            self.connection.send(message)

    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives.

        It isn't reaped, so that its process group's number stays its own until `end`.
        """
        info = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        status: int = info.si_status
        return status if info.si_code == os.CLD_EXITED else -status

    def end(self) -> None:
        """Kill it and its children, whether it lives or not."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(LEAVE_S)
        self.connection.close()


def _copy(output: IO[bytes], write: Callable[[str], object], number: int) -> None:
    """Pass a rank's output on, line by line, with its number before each."""
    with io.TextIOWrapper(output, encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
        while line := lines.readline(LINE_LIMIT):
            # Of a progress bar, which draws itself again after each carriage return, the last state.
            shown = line.rstrip("\r\n").rpartition("\r")[2]
            write(f"rank {number}: {shown}\n")


@contextmanager
def _started(placement: Placement) -> Iterator[list[_Rank]]:
    world_size = count(placement)
    ranks: list[_Rank] = []
    try:
        with socket.socket() as listener:
            # Bound here and now: no other trial can take the port, no other machine can reach it.
            listener.bind((LOOPBACK, 0))
            listener.listen(world_size)
            for number in range(world_size):
                descriptor = listener.fileno() if number == 0 else None
                job = Job(placement, number, world_size, listener.getsockname()[1], descriptor)
                ranks.append(_Rank(job, listener.fileno()))
        yield ranks
    finally:
        for rank in ranks:
            with suppress(ProcessLookupError):
                os.kill(rank.process.pid, signal.SIGKILL)  # all before any is waited for
        for rank in ranks:
            rank.end()


def _relay(ranks: Sequence[_Rank], placement: Placement, channel: Channel) -> Outcome:
    """Pass reports and decisions on until each rank has ended."""
    told = False
    while not all(rank.outcome for rank in ranks):
        if not told and isinstance(channel, LeavingChannel) and channel.leaving:
            told = True
            for rank in ranks:
                rank.send(Leave())
        for rank in _spoke(ranks, POLL_S):
            _take(rank, ranks)
        _check_living(ranks)
        if all(rank.report for rank in ranks):
            _deliver(ranks, placement, channel)
        elif all(rank.report or rank.outcome for rank in ranks) and any(rank.report for rank in ranks):
            ended = next(rank for rank in ranks if rank.outcome)
            raise TrainingError(f"{ended} returned while others reported. Report equally often on each rank.")
    return ranks[0].outcome or "returned"


def _spoke(ranks: Sequence[_Rank], timeout: float) -> list[_Rank]:
    """Those that have something to say, or whose connection was closed."""
    waiting = {rank.connection: rank for rank in ranks if not rank.outcome and not rank.silent}
    return [waiting[ready] for ready in wait(list(waiting), timeout) if isinstance(ready, Connection)]


def _take(rank: _Rank, ranks: Sequence[_Rank]) -> None:
    """Take in one message.

    Raises:
        TrainingError: it tells of a failure.
    """
    message = _received(rank)
    if isinstance(message, Reported):
        rank.report = message
    elif isinstance(message, Ended):
        rank.outcome = message.outcome
    elif isinstance(message, Failed):
        if message.echo:
            _look_for_the_reason(rank, ranks)
        raise _failure(rank, message)


def _received(rank: _Rank) -> object:
    try:
        return rank.connection.recv()
    except (EOFError, OSError):
        rank.silent = True
        return None


def _look_for_the_reason(echoing: _Rank, ranks: Sequence[_Rank]) -> None:
    """Raise the failure of the rank that others miss, if it shows within a while."""
    others = [rank for rank in ranks if rank is not echoing]
    deadline = time.monotonic() + ECHO_S
    while others and time.monotonic() < deadline:
        if ended := next((rank for rank in others if rank.outcome), None):
            raise TrainingError(f"{ended} returned while {echoing} waited for it. Do the same steps on each rank.")
        _check_living(others)
        for rank in _spoke(others, POLL_S):
            message = _received(rank)
            if isinstance(message, Ended):
                rank.outcome = message.outcome
            elif isinstance(message, Failed):
                others.remove(rank)
                if not message.echo:
                    raise _failure(rank, message)


def _check_living(ranks: Sequence[_Rank]) -> None:
    for rank in ranks:
        if rank.outcome or (status := rank.status()) is None:
            continue
        # Its last words come before its death is held against it.
        if rank.silent or not rank.connection.poll():
            raise TrainingError(f"{rank} {_how(status)}; the others were ended.")


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed by SIGKILL, as the kernel does when memory runs out"
    if status < 0:
        return f"was killed by signal {-status}"
    return f"left its process with status {status}, without a word"


def _failure(rank: _Rank, message: Failed) -> TrainingError:
    text = f"{rank} failed: {message.error}"
    error = TrainingError(text) if message.memory is None else MemoryShareError(text, message.memory)
    error.__cause__ = RankTraceback(f"\n{rank}:\n{message.trace}")
    return error


def _deliver(ranks: Sequence[_Rank], placement: Placement, channel: Channel) -> None:
    """Deliver rank 0's report, once all have come to it, and give all the decision.

    Raises:
        TrainingError: they aren't at the same fidelity.
    """
    reports = [rank.report for rank in ranks if rank.report is not None]
    first = reports[0]
    for rank, report in zip(ranks, reports, strict=True):
        rank.report = None
        if report.metrics[placement.time_attr] != first.metrics[placement.time_attr]:
            raise TrainingError(
                f"{rank} reported {placement.time_attr} {report.metrics[placement.time_attr]:g}, "
                f"rank 0 {first.metrics[placement.time_attr]:g}. Report the same steps on each rank."
            )
    decision = channel.report(first.metrics, first.checkpoint)
    for rank in ranks:
        rank.send(decision)
