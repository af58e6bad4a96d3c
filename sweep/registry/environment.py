"""What a trial ran with, for the manifest: packages, git, image, GPU."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy")
GIT_TIMEOUT_S = 60


def environment_facts(working_dir: Path | None = None, gpu: str | None = None) -> dict[str, Any]:
    """What this process runs with, as JSON values.

    Args:
        working_dir: the folder whose git state is recorded; None for the current one.
        gpu: the GPU's name, which only the training process knows.

    Returns:
        "sweep", "python", "platform", "packages" (name to version, None for one that isn't installed),
        "git" (None outside a repository), "image" (from SWEEP_IMAGE) and "gpu".
    """
    return {
        "sweep": _version("sweep"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git_facts(working_dir or Path.cwd()),
        "image": os.environ.get("SWEEP_IMAGE"),
        "gpu": gpu,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_facts(folder: Path) -> dict[str, Any] | None:
    """Commit, whether files differ from it or aren't tracked, and the digest of the difference in tracked ones."""
    status = _git(folder, "status", "--porcelain")
    if status is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    diff = _git(folder, "diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    return {
        "commit": commit.decode().strip() if commit else None,
        "dirty": bool(status.strip()),
        "untracked": any(line.startswith(b"??") for line in status.splitlines()),
        "diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
    }


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None when it fails, isn't installed or doesn't answer."""
    # Recording the state must not take the repository's index lock from someone who works in it.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            timeout=GIT_TIMEOUT_S,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
