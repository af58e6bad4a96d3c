"""What a script finds around it: its command line, its environment, its working directory, its part of the GPUs."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import sweep
from sweep.core import command_line
from sweep.core.protocols import Placement
from sweep.machine import smallest_gpu
from sweep.store.paths import TrialPaths
from sweep.training import memory
from sweep.training.scripts.folder import ScriptFolder

SOCKET = "SWEEP_SOCKET"
"""Names the socket on which the attempt listens."""

_ALLOCATORS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""The newer name and the older, which every version reads."""

_FRACTION = "per_process_memory_fraction"
_FIRST_TORCH = (2, 10)
"""The first version whose allocator takes its limit from the environment."""

_gpu_bytes = cache(smallest_gpu)


def command(placement: Placement, folder: ScriptFolder) -> list[str]:
    """The words to run."""
    return command_line.filled(placement.command, placement.config, _facts(placement, folder))


def _facts(placement: Placement, folder: ScriptFolder) -> dict[str, object]:
    log_dir = TrialPaths(Path(placement.trial_dir)).tensorboard
    log_dir.mkdir(parents=True, exist_ok=True)
    gpus = math.ceil(placement.gpu) if _has_gpu(placement) else 0
    return {
        "python": sys.executable,
        "config_file": folder.config,
        "seed": placement.seed,
        "trial": placement.trial,
        "attempt": placement.attempt,
        "study": placement.study,
        "max_t": placement.max_t,
        "checkpoint_dir": folder.checkpoints,
        "log_dir": log_dir,
        "device": "cuda" if gpus else "cpu",
        "gpus": gpus,
        "cpus": max(1, int(placement.cpu)),
        "batch_split": placement.batch_split,
    }


def environment(placement: Placement, folder: ScriptFolder, socket: Path) -> dict[str, str]:
    """All of its environment; what the search file sets comes before threads and Python's own."""
    facts = _facts(placement, folder)
    threads = str(facts["cpus"])
    env = {
        # Python writes to a pipe in blocks, and lines are to come as they are printed.
        "PYTHONUNBUFFERED": "1",
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        **placement.env,
        **_gpus(placement),
        "SWEEP_STUDY": placement.study,
        "SWEEP_TRIAL": str(placement.trial),
        "SWEEP_ATTEMPT": str(placement.attempt),
        "SWEEP_SEED": str(placement.seed),
        "SWEEP_MAX_T": str(placement.max_t),
        "SWEEP_T": str(folder.t),
        "SWEEP_GPU": f"{placement.gpu:g}",
        "SWEEP_CONFIG": str(folder.config),
        "SWEEP_CHECKPOINT_DIR": str(folder.checkpoints),
        "SWEEP_LOG_DIR": str(facts["log_dir"]),
        SOCKET: str(socket),
    }
    env["PYTHONPATH"] = _python_path(env.get("PYTHONPATH", ""))
    return env


def working_dir(placement: Placement) -> str:
    """The study's working directory; where this node lacks it, that of the process."""
    wanted = placement.working_dir
    return wanted if wanted is not None and Path(wanted).is_dir() else str(Path.cwd())


def _has_gpu(placement: Placement) -> bool:
    return placement.gpu > 0 and placement.device != "cpu"


def _gpus(placement: Placement) -> dict[str, str]:
    """Which GPUs it sees, and how much of one."""
    if not _has_gpu(placement):
        return {"CUDA_VISIBLE_DEVICES": ""}
    count = max(1, int(placement.gpu))
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = [str(number) for number in range(count)] if mask is None else mask.split(",")[:count]
    found = {"CUDA_VISIBLE_DEVICES": ",".join(seen)}
    if 0 < placement.gpu < 1 and placement.command[0] == "{python}" and _torch() >= _FIRST_TORCH:
        # Ray's half a GPU is bookkeeping, not a wall. Another interpreter's torch might refuse a word that it lacks.
        env = {**os.environ, **placement.env}
        name = next((each for each in _ALLOCATORS if each in env), _ALLOCATORS[-1])
        before = env.get(name, "")
        if _FRACTION not in before:
            total = _gpu_bytes()
            fraction = memory.allocator_fraction(placement.gpu, total) if total else placement.gpu
            found[name] = f"{before},{_FRACTION}:{fraction:.4f}".lstrip(",")
    return found


@cache
def _torch() -> tuple[int, ...]:
    """The version of torch here, without importing it."""
    try:
        return tuple(map(int, metadata.version("torch").split(".")[:2]))
    except (metadata.PackageNotFoundError, ValueError):
        return ()


def _python_path(before: str) -> str:
    """Where a script's `import sweep` finds this one, unless it is installed."""
    root = Path(sweep.__file__).parent.parent
    if {"site-packages", "dist-packages"} & set(root.parts) or str(root) in before.split(os.pathsep):
        return before
    return f"{before}{os.pathsep}{root}" if before else str(root)
