"""A process that lives from attempt to attempt: torch stays imported, the CUDA context made, the data in place.

What one trial leaves behind must not reach the next. `Traces` notes what a process is like before an attempt, puts back
afterwards what can be put back, and says when something can't: then the worker is replaced.
"""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray

from sweep.core.protocols import Decision, Placement, RunAttempt
from sweep.executors.messages import Message, failure

LEAVE_S = 2.0
"""How long threads of an ended attempt may take to end before the worker counts as spoilt."""

_GO_ON = Decision("advance", "no decision to the contrary has come")


class Worker:
    """The actor: one attempt at a time, its words streamed to the driver.

    A report doesn't wait for its decision: training goes on at once, and the decision on one report is given at the
    next, for which it is waited. So a stopped trial does one step too many at most, and which one depends on no timing.
    """

    def __init__(self, run_attempt: RunAttempt, warm_up: Callable[[], None], *, gpu: float) -> None:
        if not gpu:
            # Ray 2.60 leaves all GPUs visible to an actor that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        warm_up()
        # torch's own objects are here to stay: a collection after each trial need not look at them.
        gc.freeze()
        self._run_attempt = run_attempt
        self._channel: _Pipe | None = None

    def attempt(self, placement: Placement) -> Iterator[Message]:
        """Run an attempt; the generator's items are its messages, an end the last."""
        gpus = ray.get_gpu_ids()
        device = "cuda:" + ",".join(map(str, gpus)) if gpus else "cpu"
        yield Message("hello", node=socket.gethostname(), device=device)
        channel = self._channel = _Pipe(placement)
        thread = threading.Thread(target=self._train, args=(placement, channel), name="training", daemon=True)
        thread.start()
        while (message := channel.messages.get()).kind != "end":
            yield message
        thread.join()
        yield message

    def decide(self, trial: int, attempt: int, decision: Decision) -> None:
        """Take the decision on the oldest report that has none; called beside `attempt`."""
        channel = self._channel
        if channel is not None and channel.key == (trial, attempt):
            channel.decisions.put(decision)

    def _train(self, placement: Placement, channel: _Pipe) -> None:
        message = Message("end", outcome="failed", error="its worker could not be cleaned", fit=False)
        try:
            message = self._attempted(placement, channel)
        finally:
            # Whatever happens, the driver must hear of the end.
            channel.messages.put(message)

    def _attempted(self, placement: Placement, channel: _Pipe) -> Message:
        traces = Traces()
        try:
            outcome = self._run_attempt(placement, channel)
        except BaseException as error:  # noqa: BLE001 - whatever a training function raises is the trial's failure
            return failure(error)
        return Message("end", outcome=outcome, fit=traces.remove())


class _Pipe:
    """The training thread's channel: reports go out at once, each waits only for the decision on the one before."""

    def __init__(self, placement: Placement) -> None:
        self.key = (placement.trial, placement.attempt)
        self.messages: queue.Queue[Message] = queue.Queue()
        self.decisions: queue.Queue[Decision] = queue.Queue()
        self._time_attr = placement.time_attr
        self._max_t = placement.max_t
        self._reported = False

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        if self._reported:
            earlier = self.decisions.get()
            if earlier.action != "advance":
                return earlier
        self._reported = True
        self.messages.put(Message("report", metrics=dict(metrics), checkpoint=checkpoint))
        if metrics[self._time_attr] >= self._max_t:
            # Nothing comes after it, so it is worth waiting for.
            return self.decisions.get()
        return _GO_ON


class Traces:
    """What a process is like before an attempt.

    Environment, sys.path, output, logging, seeds and thread counts are put back by the attempt itself
    (`sweep.training.attempt`); here is what belongs to the process beyond one attempt.
    """

    def __init__(self) -> None:
        self._folder = Path.cwd()
        self._threads = set(threading.enumerate())
        self._children = _children()
        self._warnings = list(warnings.filters)
        self._signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._recursion = sys.getrecursionlimit()
        self._umask = _umask()
        self._torch = _torch_flags()

    def remove(self) -> bool:
        """Put back what can be; whether the process is as it was."""
        os.chdir(self._folder)
        os.umask(self._umask)
        warnings.resetwarnings()
        warnings.filters.extend(self._warnings)  # type: ignore[attr-defined]
        sys.setrecursionlimit(self._recursion)
        fit = all(signal.getsignal(number) == handler for number, handler in self._signals.items())
        fit &= _set_torch_flags(self._torch)
        for child in _children() - self._children:
            _end(child)
        fit &= self._threads_left()
        gc.collect()
        if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        return fit

    def _threads_left(self) -> bool:
        """Whether all threads that the attempt started are gone; torch's own pools are no Python threads."""
        for thread in set(threading.enumerate()) - self._threads:
            if isinstance(thread, threading._DummyThread):  # noqa: SLF001 - how Python shows threads that Ray made
                continue
            thread.join(LEAVE_S)
            if thread.is_alive():
                return False
        return True


def _children() -> set[int]:
    """The processes that this one started and that still run."""
    folder = Path("/proc/self/task")
    if not folder.is_dir():
        return set()
    found: set[int] = set()
    for task in folder.iterdir():
        children = task / "children"
        if children.is_file():
            found.update(int(child) for child in children.read_text().split())
    return found


def _end(child: int) -> None:
    """Kill a child process and take its exit status, or it would stay as a zombie."""
    os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


_BACKENDS = (
    ("backends.cudnn", "benchmark"),
    ("backends.cudnn", "deterministic"),
    ("backends.cudnn", "enabled"),
    ("backends.cudnn", "allow_tf32"),
    ("backends.cuda.matmul", "allow_tf32"),
)


def _torch_flags() -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        **{f"{module}.{name}": getattr(_module(module), name) for module, name in _BACKENDS},
    }


def _module(name: str) -> Any:
    found = sys.modules["torch"]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _set_torch_flags(flags: dict[str, Any] | None) -> bool:
    """Put torch's process-wide flags back; False when torch came in after they were noted, so nobody knows them."""
    torch = sys.modules.get("torch")
    if torch is None:
        return True
    if flags is None:
        # The first attempt imported it. What it is like fresh is known: a spoilt flag shows against these.
        flags = _FRESH
        spoilt = {name for name, value in (_torch_flags() or {}).items() if name in flags and flags[name] != value}
        return not spoilt
    setters: dict[str, Callable[[Any], Any]] = {
        "dtype": torch.set_default_dtype,
        "deterministic": torch.use_deterministic_algorithms,
        "anomaly": torch.autograd.set_detect_anomaly,
        "threads": torch.set_num_threads,
        **{f"{module}.{name}": partial(setattr, _module(module), name) for module, name in _BACKENDS},
    }
    # Only what differs: to set determinism, for one, imports the compiler, which takes seconds.
    for name, value in (_torch_flags() or {}).items():
        if flags[name] != value:
            setters[name](flags[name])
    return True


_FRESH = {
    "deterministic": False,
    "anomaly": False,
    "backends.cudnn.benchmark": False,
    "backends.cudnn.deterministic": False,
    "backends.cudnn.enabled": True,
}
