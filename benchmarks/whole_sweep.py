"""A whole search on real images: time to its end, the best value, and how much of it was training.

    python benchmarks/whole_sweep.py [--trials 32] [--epochs 9] [--seeds 1] [--gpu SHARE]

Sides in turn, each seed: this project (`--executor ray`), a script as Ray Tune's documentation writes it (OptunaSearch,
ASHAScheduler, DataLoader), and Optuna alone with its successive-halving pruner. The same space, number of trials,
sampler seed, rungs, model, images and schedule, on scikit-learn's digits. The scripts are in benchmarks/rivals. Each
core is a place for a trial; with `--gpu 0.125` the one GPU has 8. A fourth side is this project again, with as much
time as Ray Tune's script took in place of a number of trials.

The busy share is the seconds inside training and evaluation over slots times the time from the first trial's start to
the last one's end, by the notes that each side's trials write (benchmarks/rivals/book.py).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from rivals.book import FOLDER, read  # noqa: E402

SPEC = """
entrypoint: {here}/rivals/noted.py:train
metric: {{name: val_loss, goal: minimize}}
parameters:
  data: digits
  model: vit_tiny
  patch_size: 2
  heads: 4
  dim: [32, 48, 64]
  depth: {{min: 1, max: 4}}
  dropout: {{min: 0.0, max: 0.4}}
  lr: {{min: 1e-4, max: 1e-1, log: true}}
  weight_decay: {{min: 1e-3, max: 1.0, log: true}}
  batch_size: [32, 64, 128]
  schedule: onecycle
search: {{algorithm: gp, seed: {seed}}}
scheduler: {{type: asha, time_attr: epoch, max_t: {epochs}, grace_period: 1, reduction_factor: 3}}
budget: {budget}
resources: {{gpu: {gpu}}}
environment: {{working_dir: {here}, env: {{{variable}: {book}}}}}
storage: {folder}/studies
"""


def ours(
    folder: Path,
    book: Path,
    *,
    trials: int,
    epochs: int,
    grace_period: int,
    seed: int,
    gpu: float,
    seconds: float | None = None,
) -> float:
    """The search by this project; the best val_loss."""
    import sweep

    del grace_period  # 1, in the file
    spec = folder / "whole.yaml"
    spec.write_text(
        SPEC.format(
            here=HERE,
            folder=folder,
            book=book,
            variable=FOLDER,
            epochs=epochs,
            seed=seed,
            gpu=gpu or 0,
            budget=f"{{time: {seconds:.0f}s}}" if seconds else f"{{trials: {trials}}}",
        )
    )
    study = sweep.launch(spec, executor="ray")
    best = study.best
    if study.status["state"] != "complete" or best is None:
        raise SystemExit(f"{study}")
    return float(best.value)


def one(side: str, options: argparse.Namespace) -> dict[str, Any]:
    """One side once, in this process: seconds, best value, busy share."""
    slots = places(options.gpu)
    settings = {"trials": options.trials, "epochs": options.epochs, "grace_period": 1, "seed": options.seed}
    with tempfile.TemporaryDirectory(prefix="whole-", ignore_cleanup_errors=True) as name:
        folder, book = Path(name), Path(name) / "book"
        book.mkdir()
        with contextlib.redirect_stdout(io.StringIO()):
            if side != "Optuna alone":
                import ray

                os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
                ray.init(num_cpus=os.cpu_count(), log_to_driver=False, logging_level=logging.ERROR)
            began = time.perf_counter()
            if side in ("sweep", AS_LONG):
                best = ours(folder, book, gpu=options.gpu, seconds=options.seconds, **settings)
            elif side == "Ray Tune":
                from rivals import tune_script

                best = tune_script.search(folder, book, gpu=options.gpu, **settings)
            else:
                from rivals import optuna_script

                best, slots = optuna_script.search(book, **settings), 1
            seconds = time.perf_counter() - began
        notes = read(book)
    wall = max(note["ended"] for note in notes) - min(note["began"] for note in notes)
    return {"seconds": seconds, "best": best, "busy": sum(note["busy"] for note in notes) / (slots * wall)}


def places(gpu: float) -> int:
    """How many trials run at once."""
    return round(1 / gpu) if gpu else os.cpu_count() or 1


AS_LONG = "sweep, as long"
SIDES = ("sweep", "Ray Tune", "Optuna alone", AS_LONG)


def main() -> None:
    """Print each run, and the medians with their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--gpu", type=float, default=0.0, help="share of one GPU that each trial gets")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one(options.side, options)))
        return
    print(f"{options.trials} trials, at most {options.epochs} epochs, vit_tiny on digits, {places(options.gpu)} slots")
    print(f"{'':14} {'seed':>4} {'seconds':>8} {'best val_loss':>14} {'busy share':>11}")
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for seed in range(options.seeds):
        for side in SIDES:
            command = [sys.executable, __file__, "--side", side, "--seed", str(seed)]
            command += ["--trials", str(options.trials), "--epochs", str(options.epochs), "--gpu", str(options.gpu)]
            if side == AS_LONG:
                command += ["--seconds", str(found["Ray Tune"][-1]["seconds"])]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            row = json.loads(done.stdout.splitlines()[-1])
            found[side].append(row)
            print(f"{side:14} {seed:4} {row['seconds']:8.1f} {row['best']:14.4f} {row['busy']:11.2f}", flush=True)
    print()
    print(f"{'median':14} {'seconds':>8} {'of ours':>8} {'best val_loss':>14} {'busy share':>11}")
    middle = {
        side: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for side, rows in found.items()
    }
    for side, row in middle.items():
        ratio = row["seconds"] / middle["sweep"]["seconds"]
        print(f"{side:14} {row['seconds']:8.1f} {ratio:8.2f} {row['best']:14.4f} {row['busy']:11.2f}")


if __name__ == "__main__":
    main()
