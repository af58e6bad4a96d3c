"""What this machine has, found without torch or Ray."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.core.capacity import Node

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def visible_gpus(driver: Path = _NVIDIA) -> int:
    """How many NVIDIA GPUs a training process here would see: the driver's list, cut by CUDA_VISIBLE_DEVICES."""
    present = len(list(driver.iterdir())) if driver.is_dir() else 0
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return present
    return min(present, len([name for name in mask.split(",") if name.strip() not in ("", "-1")]))


def oom_kills(cgroup: Path = Path("/sys/fs/cgroup/memory.events"), machine: Path = Path("/proc/vmstat")) -> int | None:
    """How many processes the kernel has killed for want of memory: in this container, else on this machine."""
    for file in (cgroup, machine):
        if file.is_file():
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return None


def this_machine() -> Node:
    """This machine as a node of one."""
    return Node("this machine", float(os.cpu_count() or 1), float(visible_gpus()))
