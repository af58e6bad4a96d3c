"""What this machine has, found without torch or Ray."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sweep.core.pool import Node

SMI_S = 30.0
"""How long nvidia-smi may take; without its persistence daemon the driver is loaded for it."""

_SMI = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
_MPS = "/tmp/nvidia-mps"  # noqa: S108 - where the daemon puts it, unless told otherwise
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


def this_machine(*, memory: bool = False) -> Node:
    """This machine as a node of one.

    Args:
        memory: ask its GPUs how much they have.
    """
    gpus = visible_gpus()
    return Node("this machine", float(os.cpu_count() or 1), float(gpus), smallest_gpu() if memory and gpus else None)


def smallest_gpu() -> int | None:
    """Bytes of memory of this machine's smallest NVIDIA GPU; None where nvidia-smi can't tell."""
    try:
        told = subprocess.run(_SMI, capture_output=True, text=True, check=True, timeout=SMI_S).stdout
        return min(int(line) for line in told.splitlines() if line.strip()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def mps_runs() -> bool:
    """Whether NVIDIA's Multi-Process Service is here: its daemon's folder is."""
    return Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", _MPS)).is_dir()


def mps_settings(gpu: float) -> dict[str, str]:
    """What a process with a share of a GPU has to find in its environment before CUDA starts in it."""
    if not 0 < gpu < 1 or not mps_runs():
        return {}
    return {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": f"{max(1, round(100 * gpu))}"}
