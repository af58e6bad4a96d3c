"""The GPUs as nvidia-smi tells of them: that needs no CUDA, so it also explains why CUDA doesn't start."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweep.core.findings import Finding
from sweep.machine import SMI_S, mps_runs, visible_gpus

_FIELDS = ("index", "name", "memory.total", "memory.used", "driver_version", "mig.mode.current")
_SMI = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
_BUSY = 0.5


@dataclass(frozen=True)
class Gpu:
    """A row of nvidia-smi; memory in MiB."""

    index: int
    name: str
    memory: int
    used: int
    driver: str
    mig: bool


def gpus() -> Iterator[Finding]:
    """Driver, GPUs and MPS; of a machine without a GPU one line."""
    present = visible_gpus()
    try:
        told = subprocess.run(_SMI, capture_output=True, text=True, check=True, timeout=SMI_S).stdout
        found = rows(told)
    except FileNotFoundError:
        yield from silent(
            present, "there is no nvidia-smi", "Give the container its GPUs: --gpus all, by NVIDIA's toolkit."
        )
        return
    except subprocess.CalledProcessError as error:
        yield from silent(
            present, (error.stdout + error.stderr).strip(), "Load or repair the driver; a reboot often does."
        )
        return
    except subprocess.TimeoutExpired:
        yield Finding(
            "driver", "fail", f"nvidia-smi didn't answer in {SMI_S:.0f} s", "A GPU hangs. See dmesg, then reboot."
        )
        return
    yield Finding("driver", "ok", found[0].driver) if found else Finding("driver", "ok", "there, without a GPU")
    yield from (one(gpu) for gpu in found)
    if found:
        runs = "runs: trials on one GPU compute at the same time" if mps_runs() else "not running: shares take turns"
        yield Finding("MPS", "ok", runs)


def silent(present: int, reason: str, advice: str) -> Iterator[Finding]:
    """What it means that nvidia-smi gave no answer.

    Args:
        present: how many GPUs the kernel's driver lists.
        reason: what came instead.
        advice: what to do if there are GPUs.
    """
    if present:
        yield Finding("driver", "fail", f"{present} GPUs, but {reason}", advice)
    else:
        yield Finding("GPUs", "ok", "none: trials run on the CPU")


def one(gpu: Gpu) -> Finding:
    """A GPU and its memory."""
    name = f"GPU {gpu.index}"
    told = f"{gpu.name}, {gpu.memory / 1024:.1f} GiB" + (f", {gpu.used / 1024:.1f} used" if gpu.used else "")
    if gpu.mig:
        return Finding(
            name, "warn", f"{told}, MIG is on", "Name its parts in CUDA_VISIBLE_DEVICES; a share is of a part."
        )
    if gpu.used > _BUSY * gpu.memory:
        return Finding(
            name, "warn", told, "Another program holds most of it: nvidia-smi says which. Trials may not fit."
        )
    return Finding(name, "ok", told)


def rows(text: str) -> Sequence[Gpu]:
    """Read what nvidia-smi printed; a number that it doesn't know ("[N/A]") is 0."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == len(_FIELDS):
            index, name, memory, used, driver, mig = parts
            found.append(Gpu(_whole(index), name, _whole(memory), _whole(used), driver, mig == "Enabled"))
    return found


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else 0
