"""Real checkpoints of a small torch module, and what a promotion says about them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import sweep.registry
from sweep.registry import Source
from sweep.store import checkpoints

ROOT = Path(sweep.registry.__file__).parents[2]


def new_state(seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    return {"model": torch.nn.Linear(3, 2).state_dict(), "epoch": 3}


def new_checkpoint(folder: Path, state: Any) -> Path:
    meta = {"t": 3, "data": {"name": "digits", "sha256": "d" * 64}, "model": {"name": "linear", "classes": 2}}

    def fill(beside: Path) -> None:
        torch.save(state, beside / "state.pt")
        (beside / "extra").mkdir()
        (beside / "extra" / "notes.txt").write_text("position 17\n")

    checkpoints.write(folder, fill, meta)
    return folder


def new_source(checkpoint: Path, **changes: Any) -> Source:
    facts: dict[str, Any] = {
        "study": "digits",
        "trial": 17,
        "attempt": 2,
        "t": 3,
        "checkpoint": checkpoint,
        "metric": "val_loss",
        "goal": "minimize",
        "value": 0.25,
        "metrics": {"val_loss": 0.25, "epoch": 3.0, "grad_norm": float("nan")},
        "config": {"lr": 3e-4, "optimizer": "adamw", "layers": 2},
        "seed": 123,
        "spec_sha256": "e" * 64,
        "spec_yaml": "name: digits\n",
        "curve": [
            {"epoch": 1.0, "val_loss": float("inf")},
            {"epoch": 2.0, "val_loss": 0.5},
            {"epoch": 3.0, "val_loss": 0.25},
        ],
        "environment": {"python": "3.11.0", "packages": {"torch": "2.9", "ray": None}, "git": None},
    }
    return Source(**{**facts, **changes})


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return new_checkpoint(tmp_path / "epoch-3", new_state())


@pytest.fixture
def source(checkpoint: Path) -> Source:
    return new_source(checkpoint)


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    return lambda name, state: new_checkpoint(tmp_path / name, state)


@pytest.fixture
def make_source(checkpoint: Path) -> Callable[..., Source]:
    return lambda **changes: new_source(**{"checkpoint": checkpoint, **changes})


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs this interpreter with arguments, in a process that finds the package."""

    def run(*arguments: str, cwd: Path = ROOT, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, *arguments]
        # One thread, so that a process of ours may fork after it imported torch.
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False, env=env, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done

    return run


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that this user may read and not write; root steps down for the test's length."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield folder
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
