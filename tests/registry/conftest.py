"""What the registry's tests share."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registry_files import new_checkpoint, new_source, new_state

import sweep.registry
from sweep.registry import Source

ROOT = Path(sweep.registry.__file__).parents[2]


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
