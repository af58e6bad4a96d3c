"""By how much the best trial of search_spaces/vit.yaml beats the middle of its own space.

    python benchmarks/vit_margin.py [--seeds 3] [--executor inline|ray|tune]

For each seed the whole search is run, and the mid-point config (geometric mean of logarithmic ranges, arithmetic of
others, middle of lists) is trained to max_t by the same code in the same run. Both are judged by their best checkpoint:
val_loss, which the search saw, and the test split, which nobody saw.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import statistics
import tempfile
import time
from pathlib import Path

import sweep
from sweep.core.space import midpoint
from sweep.core.spec import StudySpec
from sweep.store.checkpoints import complete_ones, verify
from sweep.store.spec_file import read_spec
from sweep.training import standalone
from sweep.training.vision import evaluate, train

SPEC = Path(__file__).parent.parent / "search_spaces" / "vit.yaml"


def trained_midpoint(spec: StudySpec, seed: int, folder: Path) -> dict[str, float]:
    """The mid-point config's best checkpoint, after training to max_t."""
    context = standalone(midpoint(spec), max_t=spec.scheduler.max_t, seed=seed, folder=folder, checkpoint_every=1)
    with contextlib.redirect_stdout(io.StringIO()):
        train(dict(context.config), context)
    manifests = {path: verify(path) for path in complete_ones(folder / "checkpoints")}
    best = min(manifests, key=lambda path: manifests[path]["metrics"]["val_loss"])
    return judged(best, manifests[best]["metrics"])


def searched(seed: int, executor: str, folder: Path) -> dict[str, float]:
    """The search's best checkpoint."""
    changes = [f"search.seed={seed}", f"storage={folder / 'studies'}", f"promote.registry={folder / 'registry'}"]
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        study = sweep.launch(SPEC, overrides=changes, executor=executor)
    best = study.best
    if best is None or best.checkpoint is None:
        raise SystemExit(f"seed {seed}: the search came to nothing: {study}")
    return {**judged(best.checkpoint, verify(best.checkpoint)["metrics"]), "seconds": time.perf_counter() - began}


def judged(checkpoint: Path, metrics: dict[str, float]) -> dict[str, float]:
    """A checkpoint's values on val and test."""
    return {"val_loss": metrics["val_loss"], "val_accuracy": metrics["val_accuracy"], **evaluate(checkpoint)}


def main() -> None:
    """Print a table, and the ratio of the losses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--executor", default="inline", choices=["inline", "ray", "tune"])
    options = parser.parse_args()
    spec = read_spec(SPEC)
    columns = ["val_loss", "val_accuracy", "test_loss", "test_accuracy", "seconds"]
    print(f"{'seed':>4} {'':9} " + " ".join(f"{name:>13}" for name in columns))
    ratios: dict[str, list[float]] = {"val_loss": [], "test_loss": []}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="vit-margin-") as name:
            folder = Path(name)
            rows = {
                "mid-point": trained_midpoint(spec, seed, folder / "mid"),
                "search": searched(seed, options.executor, folder),
            }
        for label, row in rows.items():
            print(
                f"{seed:>4} {label:9} " + " ".join(f"{row.get(name, math.nan):13.4f}" for name in columns), flush=True
            )
        for metric, values in ratios.items():
            values.append(rows["search"][metric] / rows["mid-point"][metric])
    for metric, values in ratios.items():
        median = statistics.median(values)
        print(f"{metric}: search / mid-point = {median:.2f} (median; {min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
