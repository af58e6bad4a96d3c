"""Runs the probes that need torch, each in processes of its own with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

LOOPBACK = "127.0.0.1"
TORCH_S = 180.0
"""Importing torch takes minutes from a cold network disk."""
RANKS_S = 120.0
_POLL_S = 0.05


class ProbeError(Exception):
    """A probe crashed, said nothing, or didn't come to its end in time."""


def torch_facts() -> dict[str, Any]:
    """See `sweep.doctor.torch_probe`.

    Raises:
        ProbeError: torch can't be imported, or CUDA crashes or hangs.
    """
    return _finish([_Probe("sweep.doctor.torch_probe")], TORCH_S)


def all_reduce(size: int) -> dict[str, Any]:
    """The mean of a gradient over processes; see `sweep.doctor.rank_probe`.

    Args:
        size: how many; with CUDA at most as many as there are GPUs.

    Raises:
        ProbeError: they couldn't meet, or one of them crashed or hangs.
    """
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(size)
        words = [str(size), str(listener.getsockname()[1]), str(listener.fileno())]
        ranks = [
            _Probe("sweep.doctor.rank_probe", str(rank), *words, inherit=[listener.fileno()] if rank == 0 else [])
            for rank in range(size)
        ]
    return _finish(ranks, RANKS_S)


class _Probe:
    """A probe at work; what it prints goes to files, which never fill as a pipe does."""

    def __init__(self, module: str, *words: str, inherit: list[int] | None = None) -> None:
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *words], stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
            pass_fds=inherit or [], start_new_session=True,
        )  # fmt: skip

    def end(self) -> tuple[str, str]:
        """Its last lines of output and of errors; if it is still at work it is killed, and its children with it."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        lines = []
        for file in (self.out, self.err):
            file.seek(0)
            text = file.read().decode(errors="replace")
            file.close()
            lines.append(_last_line(text))
            if file is self.err and os.environ.get("SWEEP_DEBUG"):
                sys.stderr.write(text)
        return lines[0], lines[1]


def _finish(running: list[_Probe], timeout_s: float) -> dict[str, Any]:
    """What the first of them printed, once all have ended well; the first that fails ends all."""
    deadline = time.monotonic() + timeout_s
    codes: list[int | None] = [None]
    try:
        while None in codes and not any(codes) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            codes = [probe.process.poll() for probe in running]
    finally:
        said = [probe.end() for probe in running]
    for code, (_, error) in zip(codes, said, strict=True):
        if code:
            raise ProbeError(f"{_ending(code)}: {error}")
    if None in codes:
        raise ProbeError(f"no answer in {timeout_s:.0f} s")
    try:
        return dict(json.loads(said[0][0]))
    except ValueError as error:
        raise ProbeError(f"expected a line of JSON, got {said[0][0]!r}") from error


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
