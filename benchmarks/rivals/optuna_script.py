"""The search on Optuna alone, as its documentation writes it: one process, a pruner, all cores for each trial."""

from __future__ import annotations

import os
from pathlib import Path

import optuna
import torch

from rivals import plain
from rivals.book import FOLDER


def search(book: Path, *, trials: int, epochs: int, grace_period: int, seed: int) -> float:
    """Run it in this process; the best val_loss of any epoch."""
    os.environ[FOLDER] = str(book)
    torch.set_num_threads(os.cpu_count() or 1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    best = float("inf")

    def objective(trial: optuna.Trial) -> float:
        config = {
            "dim": trial.suggest_categorical("dim", [32, 48, 64]),
            "depth": trial.suggest_int("depth", 1, 4),
            "dropout": trial.suggest_float("dropout", 0.0, 0.4),
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1.0, log=True),
            "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        }
        losses: list[float] = []

        def report(epoch: int, loss: float, checkpoint: Path) -> None:
            nonlocal best
            del checkpoint
            losses.append(loss)
            best = min(best, loss)
            trial.report(loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        plain.train(config, epochs, report)
        return min(losses)

    study = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=grace_period, reduction_factor=3),
    )
    study.optimize(objective, n_trials=trials)
    return best
