"""What one attempt leaves behind in its process must not reach the next.

`Traces` notes what a process is like before an attempt, puts back afterwards what can be put back, and says when
something can't: then the worker is replaced. `Usage` is what may grow for a while.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

LEAVE_S = 2.0
"""How long threads of an ended attempt may take to end before the worker counts as spoilt."""

MEMORY_GROWTH = 2**30
"""Bytes of its own that a worker may have more than when it was new; above them it is replaced."""

GPU_GROWTH = 2**28
"""Bytes of a GPU's memory that a worker may hold more than when it was new: the next attempt would lack them."""

FILES_GROWTH = 128
"""Open files that a worker may have more than when it was new."""


class Usage(NamedTuple):
    """What a process holds.

    Attributes:
        memory: bytes that are its own; mapped files, which all processes share, don't count.
        files: open file descriptors.
        gpu: bytes in torch's tensors on its GPU.
    """

    memory: int
    files: int
    gpu: int = 0

    @classmethod
    def now(cls) -> Usage:
        """This process's; of memory and files zeros where there is no /proc."""
        status, files, gpu = Path("/proc/self/status"), Path("/proc/self/fd"), _gpu_memory()
        if not status.is_file():
            return cls(0, 0, gpu)
        # The allocator keeps what was freed; only what is still in use tells of a leak.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        anonymous = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon:"))
        return cls(int(anonymous.split()[1]) * 1024, len(list(files.iterdir())), gpu)

    def is_near(self, later: Usage) -> bool:
        """Whether `later`, of the same process, is no more than the growth that is allowed."""
        grown = tuple(after - before for before, after in zip(self, later, strict=True))
        return all(each <= most for each, most in zip(grown, (MEMORY_GROWTH, FILES_GROWTH, GPU_GROWTH), strict=True))


class Traces:
    """What a process is like before an attempt.

    Environment, sys.path, modules, output, logging, seeds and thread counts are put back by the attempt itself
    (`sweep.training.attempt`); here is what belongs to the process beyond one attempt. Gradient and inference mode,
    torch's default device, numpy's error state, and asyncio's event loop are a thread's own, and each attempt has a new
    thread. Handlers of atexit stay, and never run: a worker is killed.
    """

    def __init__(self) -> None:
        self._folder = Path.cwd()
        self._threads = set(threading.enumerate())
        self._children = _children()
        self._warnings = list(warnings.filters)
        self._signals = _signals()
        self._faults = faulthandler.is_enabled()
        self._locale = locale.setlocale(locale.LC_ALL)
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
        locale.setlocale(locale.LC_ALL, self._locale)
        if faulthandler.is_enabled() and not self._faults:
            faulthandler.disable()
        # Only the main thread may set a handler, and this is another.
        fit = _signals() == self._signals
        fit &= _set_torch_flags(self._torch)
        for child in _children() - self._children:
            _end(child)
        fit &= self._threads_left()
        gc.collect()
        if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
            torch.cuda.synchronize()
            # cuBLAS has one of 32 MiB for each stream that was used, and each recorded trial has a stream of its own.
            torch._C._cuda_clearCublasWorkspaces()  # noqa: SLF001 - as torch's own CUDA graph trees do
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


def _gpu_memory() -> int:
    torch = sys.modules.get("torch")
    return torch.cuda.memory_allocated() if torch is not None and torch.cuda.is_initialized() else 0


def _signals() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _children() -> set[int]:
    """The processes that this one started and that still run."""
    folder = Path("/proc/self/task")
    if not folder.is_dir():
        return set()
    found: set[int] = set()
    for task in folder.iterdir():
        # A thread may end while it is looked at.
        with contextlib.suppress(OSError):
            found.update(int(child) for child in (task / "children").read_text().split())
    return found


def _end(child: int) -> None:
    """Kill a child process and take its exit status, or it would stay as a zombie."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
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
    ("backends.cuda.matmul", "allow_fp16_reduced_precision_reduction"),
    ("backends.cuda.matmul", "allow_bf16_reduced_precision_reduction"),
)

_SDP = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")


def _torch_flags() -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "fastpath": torch.backends.mha.get_fastpath_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "print": dict(vars(torch._tensor_str.PRINT_OPTS)),  # noqa: SLF001 - there is no public way to read them
        **{name: getattr(torch.backends.cuda, f"{name}_enabled")() for name in _SDP},
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
        "fastpath": torch.backends.mha.set_fastpath_enabled,
        "fill": partial(setattr, torch.utils.deterministic, "fill_uninitialized_memory"),
        "print": vars(torch._tensor_str.PRINT_OPTS).update,  # noqa: SLF001
        **{name: getattr(torch.backends.cuda, f"enable_{name}") for name in _SDP},
        **{f"{module}.{name}": partial(setattr, _module(module), name) for module, name in _BACKENDS},
    }
    # Only what differs: to set determinism, for one, imports the compiler, which takes seconds.
    for name, value in (_torch_flags() or {}).items():
        if flags[name] != value:
            if name not in setters:
                return False
            setters[name](flags[name])
    return True


_FRESH = {
    "deterministic": False,
    "anomaly": False,
    "backends.cudnn.benchmark": False,
    "backends.cudnn.deterministic": False,
    "backends.cudnn.enabled": True,
}
