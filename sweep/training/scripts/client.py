"""The script's side: `sweep.context()` and `sweep.report()`, in a study, in a training function, or by hand."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.core.protocols import Decision, Placement
from sweep.errors import TrainingError
from sweep.training import context as contexts
from sweep.training import memory, process_state
from sweep.training.context import MAX_FIDELITY, Context, State, StopTrial, activate
from sweep.training.group import Group
from sweep.training.scripts.surroundings import SOCKET
from sweep.training.standalone import standalone

if TYPE_CHECKING:
    import torch


def context(config: Mapping[str, Any] | None = None, *, time_attr: str = "epoch", max_t: int = 1) -> Context:
    """The context of the training code that runs in this process, whoever has started it.

    In a study it is the trial's: in a script that `command` names, and in a training function. By hand it prints what
    is reported. The first call in a script seeds the generators.

    Args:
        config: by hand, parameter name to value; in a study the trial's own counts.
        time_attr: by hand, the metric that counts fidelity.
        max_t: by hand, the fidelity at which training is complete.
    """
    return _context(lambda: standalone(config or {}, time_attr=time_attr, max_t=max_t), seeded=True)


def report(metrics: Mapping[str, Any], checkpoint: State | Callable[[], State] | None = None) -> None:
    """Tell the study how the trial does, once a fidelity step; by hand, print it.

    It may end the script, quietly and with status 0: when the trial is stopped or pauses, or has gone beyond `max_t`.

    Args:
        metrics: as `Context.report` takes them.
        checkpoint: the state to go on from, as `Context.report` takes it; without one, what is in the checkpoint
            folder is kept. By hand it is written nowhere.

    Raises:
        TrainingError: as `Context.report`.
    """
    made = _context(lambda: standalone({}, max_t=MAX_FIDELITY, seeded=False), seeded=False)
    made.report(metrics, checkpoint)


def _context(by_hand: Callable[[], Context], *, seeded: bool) -> Context:
    if contexts.runs():
        return contexts.current()
    if path := os.environ.get(SOCKET):
        return _of_a_trial(path, seeded=seeded)
    return by_hand()


def _of_a_trial(path: str, *, seeded: bool) -> Context:
    channel = SocketChannel(Path(path))
    if seeded:
        process_state.seed(channel.placement.seed)
    # Of the processes that torchrun starts, the first speaks for all.
    rank = int(os.environ.get("RANK", "0"))
    made = _ScriptContext(channel.placement, channel if rank == 0 else _Mute(), group=Group(rank), end=ScriptEnds)
    activate(made)
    return made


class ScriptEnds(StopTrial, SystemExit):
    """The trial need not go on, and so the script: it ends as by `sys.exit(0)` where nobody catches it."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self.code = 0


class _ScriptContext(Context):
    """A context that says when the script asks how to split a batch, and keeps it within its share of a GPU."""

    @cached_property
    def device(self) -> torch.device:
        """See `Context.device`."""
        device = super().device
        share = self._placement.gpu
        if device.type == "cuda" and 0 < share < 1:
            import torch

            total = torch.cuda.mem_get_info(device)[1]
            torch.cuda.set_per_process_memory_fraction(memory.allocator_fraction(share, total), device)
        return device

    @property
    def batch_split(self) -> int:
        """See `Context.batch_split`."""
        if isinstance(self._channel, SocketChannel):
            self._channel.looked_at_split()
        return super().batch_split


class _Mute:
    """The channel of a process whose words don't count."""

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        del metrics, checkpoint
        return Decision("advance", "the process of rank 0 reports")


class SocketChannel:
    """The way of a script to its supervisor, see `sweep.training.scripts.listener`.

    Attributes:
        placement: what it is to train.

    Raises:
        TrainingError: nobody listens.
    """

    def __init__(self, path: Path) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._split = False
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise TrainingError(
                f"{SOCKET} names {path}, and no study listens there: {error}. Unset {SOCKET} to run the script by hand."
            ) from error
        self._words = self._socket.makefile("r", encoding="utf-8")
        told = self._ask({"kind": "hello"})["placement"]
        lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
        self.placement = Placement(**{**told, **lists})

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        message: dict[str, Any] = {"kind": "report", "metrics": dict(metrics), "checkpoint": checkpoint}
        if self.placement.gpu and (used := memory.used()) is not None:
            message["memory"] = {"peak": used.peak, "total": used.total}
        return Decision(**self._ask(message))

    @property
    def leaving(self) -> bool:
        """See `sweep.core.protocols.LeavingChannel`."""
        return bool(self._ask({"kind": "leaving"})["leaving"])

    def looked_at_split(self) -> None:
        """Say, once, that the script knows into how many parts a batch is to be split."""
        if not self._split:
            self._split = True
            self._ask({"kind": "split"})

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if os.getpid() != self._process:
            raise TrainingError(
                f"sweep.report was called in process {os.getpid()}, a child of the script's process {self._process}. "
                "Hand the numbers to the parent and report them there."
            )
        with self._lock:
            try:
                self._socket.sendall((json.dumps(message) + "\n").encode())
                line = self._words.readline()
            except OSError as error:
                raise TrainingError(f"the study doesn't listen any more: {error}.") from error
        if not line:
            raise TrainingError("the study doesn't listen any more.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise TrainingError(answer["error"])
        return answer
