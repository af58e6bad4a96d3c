"""The search on Ray Tune, as its documentation writes it: a function, OptunaSearch, ASHAScheduler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from rivals.book import FOLDER


def search(folder: Path, book: Path, *, trials: int, epochs: int, grace_period: int, seed: int, gpu: float) -> float:
    """Run it on the Ray that is there, each trial on this share of a GPU; the best val_loss."""

    def train(config: dict[str, Any]) -> None:
        os.environ[FOLDER] = str(book)
        from rivals import plain

        def report(epoch: int, loss: float, checkpoint: Path) -> None:
            tune.report({"epoch": epoch, "val_loss": loss}, checkpoint=tune.Checkpoint.from_directory(checkpoint))

        plain.train(config, epochs, report)

    space = {
        "dim": tune.choice([32, 48, 64]),
        "depth": tune.randint(1, 5),
        "dropout": tune.uniform(0.0, 0.4),
        "lr": tune.loguniform(1e-4, 1e-1),
        "weight_decay": tune.loguniform(1e-3, 1.0),
        "batch_size": tune.choice([32, 64, 128]),
    }
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1, "gpu": gpu}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="val_loss",
            mode="min",
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(time_attr="epoch", max_t=epochs, grace_period=grace_period, reduction_factor=3),
            num_samples=trials,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            name="tune",
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute="val_loss", checkpoint_score_order="min"
            ),
        ),
    )
    results = tuner.fit()
    return float(results.get_best_result(scope="all").metrics["val_loss"])
