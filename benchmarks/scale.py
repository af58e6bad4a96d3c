"""What a trial costs the driver when there are thousands: it should cost the same as with a few.

    python benchmarks/scale.py [--trials 1000 10000] [--reports 9] [--algorithm random]

Each size is a process of its own: a study with ASHA whose function does nothing, run by `sweep.launch` with the inline
executor. So a trial's cost is all that the project does for it: sampler, scheduler, synced log, TensorBoard files,
Optuna's journal, the attempt's own log. Beside it stands what reading the study back costs. With `--algorithm tpe` the
model's own cost, which grows with the trials it looks at, comes on top.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sweep

TRAIN = """
def train(config, ctx):
    for epoch in range(1, {reports} + 1):
        ctx.report({{"epoch": epoch, "loss": config["x"] / epoch}})
"""

SPEC = """
entrypoint: {folder}/train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.1, max: 1.0}}}}
search: {{algorithm: {algorithm}}}
scheduler: {{type: asha, max_t: {reports}, grace_period: 1, reduction_factor: 3}}
budget: {{trials: {trials}}}
storage: {folder}/studies
"""


def measure(trials: int, reports: int, algorithm: str) -> dict[str, float]:
    """Run one study in this process."""
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        (folder / "train.py").write_text(TRAIN.format(reports=reports))
        spec = folder / "noop.yaml"
        spec.write_text(SPEC.format(folder=folder, reports=reports, trials=trials, algorithm=algorithm))
        began, worked = time.perf_counter(), time.process_time()
        study = sweep.launch(spec, executor="inline")
        took, busy = time.perf_counter() - began, time.process_time() - worked
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if study.status["state"] != "complete":
            raise SystemExit(f"{study}")
        command = [sys.executable, "-m", "sweep", "status", "noop", "--storage", str(folder / "studies"), "--json"]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        status = time.perf_counter() - began
        files = sum(1 for _ in folder.rglob("*"))
    return {
        "wall_ms": 1000 * took / trials,
        "cpu_ms": 1000 * busy / trials,
        "memory_mb": memory,
        "status_s": status,
        "files": files / trials,
    }


def main() -> None:
    """Print a row a size, and the ratio of the last to the first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--reports", type=int, default=9)
    parser.add_argument("--algorithm", default="random")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.reports, options.algorithm)))
        return
    print(f"{options.algorithm}, ASHA, at most {options.reports} reports a trial, executor inline")
    print(
        f"{'trials':>7} {'ms a trial':>11} {'of them CPU':>12} {'memory, MB':>11} {'status, s':>10} {'files each':>11}"
    )
    rows = []
    for trials in options.trials:
        command = [sys.executable, __file__, "--one", str(trials), "--reports", str(options.reports)]
        command += ["--algorithm", options.algorithm]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(
            f"{trials:7} {row['wall_ms']:11.2f} {row['cpu_ms']:12.2f} {row['memory_mb']:11.0f} {row['status_s']:10.2f} "
            f"{row['files']:11.1f}",
            flush=True,
        )
    if len(rows) > 1:
        times, work = (rows[-1][key] / rows[0][key] for key in ("wall_ms", "cpu_ms"))
        print(f"last to first: {times:.2f} of the time, {work:.2f} of the CPU")


if __name__ == "__main__":
    main()
