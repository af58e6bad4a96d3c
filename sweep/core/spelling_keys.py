"""Keys of other tools outside `parameters:`, each with where it goes in our file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Move(NamedTuple):
    """Where a foreign key goes.

    Attributes:
        tool: whose spelling it is.
        section: our section, "" for the top level.
        key: our key.
        convert: their value to ours; None means that the value can't be carried over.
    """

    tool: str
    section: str
    key: str
    convert: Callable[[Any], Any] = lambda value: value


ALGORITHMS = {
    "bayes": "tpe",
    "bayesian": "tpe",
    "bayesianoptimization": "gp",
    "bayesopt": "gp",
    "bo": "gp",
    "gp_bo": "gp",
    "optuna": "tpe",
    "hyperopt": "tpe",
    "tpesampler": "tpe",
    "multivariate-tpe": "tpe",
    "random_search": "random",
    "randomsearch": "random",
    "randomsampler": "random",
    "grid_search": "grid",
    "gridsearch": "grid",
    "gridsampler": "grid",
    "cma-es": "cmaes",
    "cmaessampler": "cmaes",
    "sobol": "qmc",
    "nsgaii": "nsga2",
    "nsgaiii": "nsga3",
    "adaptive_asha": "auto",
    "async_halving": "auto",
}
SCHEDULERS = {
    "async_hyperband": "asha",
    "asynchyperband": "asha",
    "ashascheduler": "asha",
    "adaptive_asha": "asha",
    "successive_halving": "asha",
    "successivehalving": "asha",
    "medianstop": "median",
    "median_stopping": "median",
    "medianpruner": "median",
    "fifo": "none",
    "nop": "none",
}
GOALS = {
    "min": "minimize",
    "minimise": "minimize",
    "lower": "minimize",
    "max": "maximize",
    "maximise": "maximize",
    "higher": "maximize",
}
VALUES: dict[tuple[str, ...], dict[str, str]] = {
    ("metric", "goal"): GOALS,
    ("search", "algorithm"): ALGORITHMS,
    ("scheduler", "type"): SCHEDULERS,
}
"""Foreign words for our values, by the key they stand at; written in lower case."""

RENAMED = {
    "hyperparameters": ("parameters", "Determined"),
    "search_space": ("parameters", "another tool"),
    "searchSpace": ("parameters", "NNI"),
    "param_space": ("parameters", "Ray Tune"),
    "config_space": ("parameters", "Syne Tune"),
    "params": ("parameters", "Hydra"),
}
"""Top-level keys of other tools whose contents may be long: only the key is told."""


def _algorithm(value: Any) -> Any:
    name = value.get("name") if isinstance(value, Mapping) else value
    return ALGORITHMS.get(str(name).lower(), name)


def _goal(value: Any) -> Any:
    return GOALS.get(str(value).lower(), value)


def _smaller(value: Any) -> Any:
    return ("minimize" if value else "maximize") if isinstance(value, bool) else None


def _larger(value: Any) -> Any:
    return _smaller(not value) if isinstance(value, bool) else None


def _program(value: Any) -> Any:
    return f"{{python}} {value} {{args}}" if isinstance(value, str) and value.endswith(".py") else None


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _points(value: Any) -> Any:
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else None


_TRIALS = {
    key: Move(tool, "budget", "trials", _whole)
    for key, tool in {
        "num_samples": "Ray Tune",
        "n_trials": "Optuna",
        "max_trials": "Determined",
        "maxTrialCount": "Katib",
        "max_trial_count": "Katib",
        "maxTrialNumber": "NNI",
        "max_trial_number": "NNI",
        "run_cap": "W&B",
        "num_trials": "another tool",
    }.items()
}
_TIME = {
    key: Move(tool, "budget", "time")
    for key, tool in {
        "timeout": "Optuna",
        "time_budget_s": "Ray Tune",
        "time_limit": "another tool",
        "max_time": "another tool",
        "maxExperimentDuration": "NNI",
        "max_wallclock_time": "Syne Tune",
    }.items()
}
_CONCURRENT = {
    key: Move(tool, "resources", "max_concurrent", _whole)
    for key, tool in {
        "max_concurrent_trials": "Ray Tune",
        "parallelTrialCount": "Katib",
        "trialConcurrency": "NNI",
        "n_jobs": "Optuna",
        "n_workers": "Syne Tune",
    }.items()
}
_SHARES = {
    key: Move(tool, "resources", ours)
    for key, (ours, tool) in {
        "gpus": ("gpu", "another tool"),
        "GPU": ("gpu", "Ray Tune"),
        "num_gpus": ("gpu", "Ray Tune"),
        "gpus_per_trial": ("gpu", "Ray Tune"),
        "slots_per_trial": ("gpu", "Determined"),
        "trialGpuNumber": ("gpu", "NNI"),
        "cpus": ("cpu", "another tool"),
        "CPU": ("cpu", "Ray Tune"),
        "num_cpus": ("cpu", "Ray Tune"),
        "cpus_per_trial": ("cpu", "Ray Tune"),
    }.items()
}
_RETRIES = {
    "max_failures": Move("Ray Tune", "retries", "max", _whole),
    "max_restarts": Move("Determined", "retries", "max", _whole),
    "max_retries": Move("another tool", "retries", "max", _whole),
}
_FAILURES = {"maxFailedTrialCount": Move("Katib", "budget", "failures", _whole)}
_RUNGS = {
    key: Move(tool, "scheduler", ours, _whole)
    for key, (ours, tool) in {
        "eta": ("reduction_factor", "W&B"),
        "divisor": ("reduction_factor", "Determined"),
        "min_iter": ("grace_period", "W&B"),
        "min_resource": ("grace_period", "Optuna"),
        "min_t": ("grace_period", "another tool"),
        "grace": ("grace_period", "another tool"),
        "max_iter": ("max_t", "W&B"),
        "max_resource": ("max_t", "Optuna"),
        "max_epochs": ("max_t", "another tool"),
        "R": ("max_t", "NNI"),
        "s": ("brackets", "W&B"),
        "bracket": ("brackets", "another tool"),
    }.items()
}
_RUNGS["time_metric"] = Move("Determined", "scheduler", "time_attr")
_ALGORITHM = {
    key: Move(tool, "search", "algorithm", _algorithm)
    for key, tool in {
        "method": "W&B",
        "sampler": "Optuna",
        "search_alg": "Ray Tune",
        "searcher": "Determined",
        "tuner": "NNI",
        "algorithm": "Katib",
    }.items()
}
_GOAL = {
    "mode": Move("Ray Tune", "metric", "goal", _goal),
    "direction": Move("Optuna", "metric", "goal", _goal),
    "smaller_is_better": Move("Determined", "metric", "goal", _smaller),
    "maximize": Move("another tool", "metric", "goal", _larger),
    "minimize": Move("another tool", "metric", "goal", _smaller),
    "do_minimize": Move("Syne Tune", "metric", "goal", _smaller),
}
_CHECKPOINT = {
    "num_to_keep": Move("Ray Tune", "checkpoint", "keep_last", _whole),
    "save_trial_latest": Move("Determined", "checkpoint", "keep_last", _whole),
    "save_experiment_best": Move("Determined", "checkpoint", "keep_best_in_study", _whole),
    "checkpoint_frequency": Move("Ray Tune", "checkpoint", "every", _whole),
}
_WHERE = {
    "storage_path": Move("Ray Tune", "", "storage"),
    "local_dir": Move("Ray Tune", "", "storage"),
    "program": Move("W&B", "", "command", _program),
    "trialCommand": Move("NNI", "", "command"),
    "entry_point": Move("Syne Tune", "", "command", _program),
    "study_name": Move("Optuna", "", "name"),
}


def _stopper(value: Any) -> Any:
    """Another tool's early stopping as fields of our scheduler."""
    given = value if isinstance(value, Mapping) else {"type": value}
    name = str(given.get("type", given.get("name", given.get("algorithmName", "asha")))).lower()
    # W&B's hyperband stops trials as they come, which is what we call asha.
    fields: dict[str, Any] = {"type": "asha" if name == "hyperband" else SCHEDULERS.get(name, name)}
    for key, item in given.items():
        if key in _RUNGS:
            fields[_RUNGS[key].key] = _whole(item)
    return fields


_STOPPERS = {
    key: Move(tool, "", "scheduler", _stopper)
    for key, tool in {
        "early_terminate": "W&B",
        "earlyStopping": "Katib",
        "early_stopping": "another tool",
        "assessor": "NNI",
        "pruner": "Optuna",
    }.items()
}
_POINTS = {"initial": "another tool", "enqueue_trial": "Optuna", "initial_points": "another tool"}

MOVES: dict[str, dict[str, Move]] = {
    "": {
        **_TRIALS, **_TIME, **_CONCURRENT, **_SHARES, **_RETRIES, **_FAILURES, **_RUNGS, **_ALGORITHM,
        **_GOAL, **_CHECKPOINT, **_WHERE, **_STOPPERS,
    },
    "metric": {**_GOAL, "type": Move("Katib", "metric", "goal", _goal)},
    "search": {
        **{key: move for key, move in _ALGORITHM.items() if key != "algorithm"},
        **_TRIALS,
        **{key: Move(tool, "search", "points_to_evaluate", _points) for key, tool in _POINTS.items()},
        "name": Move("Determined", "search", "algorithm", _algorithm),
        "type": Move("another tool", "search", "algorithm", _algorithm),
        "n_startup_trials": Move("Optuna", "search", "startup_trials", _whole),
        "n_initial_points": Move("Ray Tune", "search", "startup_trials", _whole),
        "random_seed": Move("another tool", "search", "seed", _whole),
        "random_state": Move("another tool", "search", "seed", _whole),
    },
    "scheduler": {
        **_RUNGS,
        "name": Move("another tool", "scheduler", "type", lambda name: SCHEDULERS.get(str(name).lower(), name)),
        **_TRIALS,
        **_CONCURRENT,
        "max_time": Move("Determined", "scheduler", "max_t", _whole),
    },
    "budget": {**_TRIALS, **_TIME, **_FAILURES},
    "resources": {**_SHARES, **_CONCURRENT},
    "retries": _RETRIES,
    "checkpoint": _CHECKPOINT,
}  # fmt: skip
"""Section to foreign key to where it goes; "" is the top level."""
