"""The machine itself: processor, memory, limits, clock, Python; by the standard library and /proc alone."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import sweep
from sweep.core.findings import Finding

GIB = 2**30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's fixed place
_CGROUP = Path("/sys/fs/cgroup")
_LEAST_SHARED = GIB
_LEAST_FILES = 4096
_BUILT = 1_760_000_000.0
"""Autumn 2025: a clock before this is wrong, and so are all certificates to it."""


def machine() -> Iterator[Finding]:
    """Where this is: system, cores and memory, those of the container where one limits them."""
    yield Finding("machine", "ok", f"{platform.node()}, {platform.system()} {platform.release()}, {platform.machine()}")
    cores, granted = os.cpu_count() or 1, cpu_limit()
    yield Finding("CPU", "ok", f"{granted:g} of {cores} cores" if granted < cores else f"{cores} cores")
    total, limit = _physical_memory(), memory_limit()
    told = f"{limit / GIB:.1f} of {total / GIB:.1f} GiB" if limit and limit < total else f"{total / GIB:.1f} GiB"
    yield Finding("memory", "ok", told)
    yield shared_memory()
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield clock(time.time())


def python() -> Iterator[Finding]:
    """Python, this package, and the image if it is one of ours."""
    yield Finding("Python", "ok", f"{platform.python_version()}, {platform.python_implementation()}")
    yield Finding("sweep", "ok", sweep.__version__)
    if image := os.environ.get("SWEEP_IMAGE"):
        yield Finding("image", "ok", image)


def cpu_limit(cgroup: Path = _CGROUP) -> float:
    """How many cores this process may use: of its affinity and its container's quota the smaller."""
    cores = float(len(os.sched_getaffinity(0)))
    words = _read(cgroup / "cpu.max").split() or [
        _read(cgroup / "cpu" / "cpu.cfs_quota_us"),
        _read(cgroup / "cpu" / "cpu.cfs_period_us"),
    ]
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit():  # noqa: PLR2004 - quota and period
        return min(cores, int(words[0]) / int(words[1]))
    return cores


def memory_limit(cgroup: Path = _CGROUP) -> int | None:
    """Bytes that the container may use; None without a limit."""
    text = _read(cgroup / "memory.max") or _read(cgroup / "memory" / "memory.limit_in_bytes")
    # cgroup v1 says "no limit" by a number near 2**63.
    return int(text) if text.isdigit() and int(text) < 2**60 else None


def shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Room for Ray's object store and for tensors between processes; Docker gives 64 MB unless it is told."""
    if not folder.is_dir():
        return Finding("shared memory", "ok", f"no {folder} on this system")
    size = shutil.disk_usage(folder).total
    if size < _LEAST_SHARED:
        advice = "Ray's object store goes to a disk instead. Start the container with --shm-size=8g."
        return Finding("shared memory", "warn", f"{size / 2**20:.0f} MiB", advice)
    return Finding("shared memory", "ok", f"{size / GIB:.1f} GiB")


def open_files(limit: int) -> Finding:
    """How many files a process may have open: Ray holds one a connection between processes."""
    if 0 <= limit < _LEAST_FILES:
        advice = f"Ray may fail with many trials. Raise it: ulimit -n {_LEAST_FILES}, or --ulimit nofile=65536:65536."
        return Finding("open files", "warn", f"{limit} a process", advice)
    return Finding("open files", "ok", "no limit" if limit < 0 or limit >= 2**60 else f"{limit} a process")


def clock(now: float) -> Finding:
    """Whether the clock can be right: tokens, certificates and the times of events go by it.

    Args:
        now: seconds since 1970, by this machine's clock.
    """
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _BUILT:
        return Finding(
            "clock", "fail", told, "That is before this program was written. Set the clock, by NTP if can be."
        )
    return Finding("clock", "ok", told)


def installed(package: str) -> str | None:
    """A package's version; None where it isn't installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
