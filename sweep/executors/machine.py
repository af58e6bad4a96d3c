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


def this_machine() -> Node:
    """This machine as a node of one."""
    return Node("this machine", float(os.cpu_count() or 1), float(visible_gpus()))
