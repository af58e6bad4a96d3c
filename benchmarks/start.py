"""How long `sweep --help` and `sweep validate` take beyond a bare interpreter's start.

    python benchmarks/start.py

The promise: help within 0.3 s of a bare start. Each command is run in turn with the others, RUNS times; medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 11
ROOT = Path(__file__).parent.parent
MAIN = "import sys; from sweep.cli.main import main; main()"
COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "sweep --help": [sys.executable, "-c", MAIN, "--help"],
    "sweep validate": [sys.executable, "-c", MAIN, "validate", str(ROOT / "search_spaces" / "vit.yaml")],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Wall seconds of one run."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - began


def main() -> None:
    """Print a table."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    bare = statistics.median(taken["bare interpreter"])
    print(f"{'command':18} {'median s':>9} {'beyond bare':>12} {'ratio':>6}")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:18} {median:9.3f} {median - bare:12.3f} {median / bare:6.1f}")


if __name__ == "__main__":
    main()
