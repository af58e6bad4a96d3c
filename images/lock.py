#!/usr/bin/env python3
"""Write the lock files of the images: every package with its version and the hashes of its files.

    python images/lock.py                  # keep what is locked and still fits: after a change of requirements
    python images/lock.py --upgrade        # take the newest
    python images/lock.py --torch 2.13.0 --torchvision 0.28.0     # one more PyTorch to build with

torch and what only it brings are in a file of its own, named after its version, so that another PyTorch changes one
layer and one file. Where packages come from is pip's setting on this machine; nothing of it enters a file.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "images" / "lock"
TORCH, TORCHVISION = "2.14.1", "0.29.1"
OLDEST_PYTHON = "3.11"
"""The oldest that the image may have; the files serve every later one too, by markers."""
ENVIRONMENTS = [
    {
        "sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": machine,
        "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.2", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for minor in (11, 12, 13, 14)
    for machine in ("x86_64", "aarch64")
]  # fmt: skip

HEAD = "# Written by `make lock`. What is asked for stands in images/lock.py and pyproject.toml.\n"
REQUIREMENTS = {
    # What Ray's autoscaler needs on a head: boto3 on AWS, Google's client on Compute Engine. For buckets: obstore.
    "base": ["boto3>=1.34", "google-api-python-client>=2.100", "obstore>=0.10,<1"],
    "cv": ["opencv-python-headless>=4.10", "timm>=1.0"],
    "nlp": ["datasets>=3", "sentencepiece>=0.2", "tokenizers>=0.20", "transformers>=4.50"],
    "dev": ["ipywidgets>=8", "jupyterlab>=4.2", "optuna-dashboard>=0.18", "pytest>=8.2", "ruff>=0.9"],
}


def main(arguments: list[str] | None = None) -> None:
    """Resolve each target on top of those before it."""
    parser = argparse.ArgumentParser(description="Write the lock files of the images.")
    parser.add_argument("--torch", default=TORCH, help="version of torch")
    parser.add_argument("--torchvision", default=TORCHVISION, help="the version that belongs to it")
    parser.add_argument("--upgrade", action="store_true", help="take the newest of everything else")
    parser.add_argument("--out", type=Path, default=LOCK, help="folder of the files")
    parser.add_argument("--only-torch", action="store_true", help="write torch's file alone")
    parser.add_argument("--python", help="for this Python on Linux alone, rather than for each since the oldest")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch = options.out / f"torch-{options.torch}.txt"
    compile_lock(
        torch, [f"torch=={options.torch}", f"torchvision=={options.torchvision}"], [],
        upgrade=options.upgrade, python=options.python,
    )  # fmt: skip
    if options.only_torch:
        return
    below = [torch]
    for target, wanted in REQUIREMENTS.items():
        project = [str(ROOT / "pyproject.toml")] if target == "base" else []
        out = options.out / f"{target}.txt"
        compile_lock(out, wanted, below, project=project, upgrade=options.upgrade, python=options.python)
        # cv, nlp and dev stand beside each other on base.
        below = below if target != "base" else [*below, out]


def compile_lock(
    out: Path,
    wanted: list[str],
    below: list[Path],
    *,
    project: list[str] | None = None,
    upgrade: bool = False,
    python: str | None = None,
) -> None:
    """Let uv resolve; what files below hold keeps its version and isn't written again.

    Args:
        out: the lock file; what it holds is kept where it still fits.
        wanted: requirements.
        below: lock files of the layers under this one.
        project: files whose dependencies are wanted too.
        upgrade: keep nothing of what `out` holds.
        python: see `main`.
    """
    source = out.with_suffix(".in")
    source.write_text("\n".join(wanted) + "\n")
    held = {name for path in below for name in installed(path)}
    command = [
        sys.executable, "-m", "uv", "pip", "compile", *(project or []), str(source), "--output-file", str(out),
        "--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--python-version", python or OLDEST_PYTHON,
        *(["--python-platform", "linux"] if python else ["--universal"]),
        *(["--upgrade"] if upgrade else []),
        *(word for path in below for word in ("--constraint", str(path))),
        *(word for name in sorted(held) for word in ("--no-emit-package", name)),
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **sources()})
    finally:
        source.unlink()
    out.write_text(HEAD + out.read_text())


def installed(path: Path) -> set[str]:
    """The packages of a lock file that any image has: those whose markers hold on Linux with each Python.

    A line for Windows alone installs nothing here; a layer above that needs that package has to bring it.
    """
    lines = re.findall(r"^([A-Za-z0-9._-]+)==[^\s;\\]+(?: ; ([^\\\n]+))?", path.read_text(), re.MULTILINE)
    names = {name for name, _ in lines}
    return {
        name
        for name in names
        if all(
            any(own == name and (not marker or Marker(marker).evaluate(environment)) for own, marker in lines)
            for environment in ENVIRONMENTS
        )
    }


def sources() -> dict[str, str]:
    """Pip's settings of this machine, as uv wants them: in the environment, so that no file names them."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = ast.literal_eval(value)
    names = {"index-url": "UV_DEFAULT_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE"}
    return {variable: settings[key] for key, variable in names.items() if key in settings}


if __name__ == "__main__":
    main()
