"""How many trials a second start and end: the search's own cost, with a training function that does nothing.

    python benchmarks/turnover.py [--trials 400] [--reports 3] [--torch] [--tpe]

Sides, in turn on one Ray: Ray Tune as documented (a function, random search), Ray Tune with actors reused,
and this project's executors with all that they do besides: a log that is synced at each report, Optuna's journal,
TensorBoard files. With --torch the function imports torch, as every real one does; with --tpe all sides ask Optuna's
TPE, Ray Tune through its OptunaSearch. Each side runs once to warm up. Sides that start a process for each trial run
at most 40 trials: they take a second each, and 400 would tell the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

import sweep

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

TRAIN = """
{imports}

def train(config, ctx):
    for epoch in range(1, {reports} + 1):
        ctx.report({{"epoch": epoch, "loss": config["x"] / epoch}})
"""

SPEC = """
entrypoint: {folder}/train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.1, max: 1.0}}}}
search: {{algorithm: {algorithm}}}
scheduler: {{type: none, max_t: {reports}}}
budget: {{trials: {trials}}}
resources: {{cpu: 1}}
"""


SLOW = ("Ray Tune, as documented", "sweep --executor tune")
MOST_SLOW = 40


def plain_tune(trials: int, reports: int, folder: Path, *, reuse: bool, with_torch: bool, tpe: bool) -> None:
    """The same search, written on Ray Tune by its documentation."""

    def train(config: dict[str, float]) -> None:
        if with_torch:
            import torch

            del torch
        for epoch in range(1, reports + 1):
            tune.report({"epoch": epoch, "loss": config["x"] / epoch})

    tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"x": tune.uniform(0.1, 1.0)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            num_samples=trials,
            reuse_actors=reuse,
            search_alg=OptunaSearch() if tpe else None,
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name="plain", verbose=0),
    ).fit()


def ours(trials: int, reports: int, folder: Path, *, executor: str, with_torch: bool, tpe: bool) -> None:
    """The same search by this project."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(TRAIN.format(imports="import torch" if with_torch else "", reports=reports))
    spec = folder / "noop.yaml"
    algorithm = "tpe" if tpe else "random"
    spec.write_text(SPEC.format(folder=folder, reports=reports, trials=trials, algorithm=algorithm))
    study = sweep.launch(spec, overrides=[f"storage={folder / 'studies'}"], executor=executor)
    if study.status["state"] != "complete":
        raise SystemExit(f"{executor}: {study}")


def measured(run: Callable[[int, Path], None], trials: int) -> float:
    """Trials a second, after one short run to warm up."""
    with tempfile.TemporaryDirectory(prefix="turnover-", ignore_cleanup_errors=True) as name:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run(2, Path(name) / "warm-up")
            began = time.perf_counter()
            run(trials, Path(name) / "measured")
        return trials / (time.perf_counter() - began)


def main() -> None:
    """Print a table of trials a second, and each side's ratio to plain Ray Tune."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--reports", type=int, default=3)
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--tpe", action="store_true")
    options = parser.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(num_cpus=os.cpu_count(), log_to_driver=False, logging_level=logging.ERROR)
    n = options.reports
    way = {"with_torch": options.torch, "tpe": options.tpe}
    sides: dict[str, Callable[[int, Path], None]] = {
        "Ray Tune, as documented": lambda k, f: plain_tune(k, n, f, reuse=False, **way),
        "Ray Tune, actors reused": lambda k, f: plain_tune(k, n, f, reuse=True, **way),
        "sweep --executor tune": lambda k, f: ours(k, n, f, executor="tune", **way),
        "sweep --executor ray": lambda k, f: ours(k, n, f, executor="ray", **way),
        "sweep --executor inline": lambda k, f: ours(k, n, f, executor="inline", **way),
    }
    search = "Optuna's TPE" if options.tpe else "random search"
    print(f"{options.trials} trials, {n} reports each, torch {'imported' if options.torch else 'not used'}, {search}")
    print(f"{'':26} {'trials':>6} {'trials/s':>9} {'ratio':>7}")
    first = 0.0
    for name, run in sides.items():
        trials = min(options.trials, MOST_SLOW) if name in SLOW else options.trials
        rate = measured(run, trials)
        first = first or rate
        print(f"{name:26} {trials:6} {rate:9.2f} {rate / first:7.1f}", flush=True)
    ray.shutdown()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
