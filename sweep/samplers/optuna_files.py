"""Optuna studies in a storage, as facts from which a search file can be made."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from sweep.core.convert.from_optuna import OptunaFacts
from sweep.errors import InputError

BEST_KEPT = 3
"""So many of the best trials become points to evaluate."""


def read_study(location: str, name: str | None = None) -> OptunaFacts:
    """The facts of one study.

    Args:
        location: a journal log, an SQLite file, or a URL as Optuna takes it.
        name: of the study, where the storage holds several.

    Raises:
        InputError: nothing is there, or no such study.
    """
    storage = _storage(location)
    names = optuna.get_all_study_names(storage)
    if name is None and len(names) != 1:
        told = f"It has {', '.join(names)}; name one with --study." if names else "It has no study."
        raise InputError(f"{location}: {told}")
    wanted = name or names[0]
    if wanted not in names:
        raise InputError(f"{location}: there is no study {wanted!r}. It has {', '.join(names) or 'none'}.")
    return _facts(optuna.load_study(study_name=wanted, storage=storage))


def _storage(location: str) -> BaseStorage:
    if "://" not in location and not Path(location).is_file():
        raise InputError(f"{location}: there is no such file. Give a journal log, an SQLite file or a storage's URL.")
    try:
        if "://" in location:
            return optuna.storages.get_storage(location)
        with Path(location).open("rb") as file:
            if file.read(15) == b"SQLite format 3":
                return optuna.storages.get_storage(f"sqlite:///{location}")
        return JournalStorage(JournalFileBackend(location))
    except Exception as error:
        # Whatever Optuna, SQLAlchemy or a database's driver raise for what is no storage.
        raise InputError(f"{location}: Optuna can't read it ({error}). Give a journal log or SQLite.") from error


def _facts(study: optuna.Study) -> OptunaFacts:
    trials = study.get_trials(deepcopy=False)
    forms: dict[str, list[Any]] = {}
    seen: Counter[str] = Counter()
    for trial in trials:
        for name, distribution in trial.distributions.items():
            form = _form(distribution)
            seen[name] += 1
            if form not in forms.setdefault(name, []):
                forms[name].append(form)
    return OptunaFacts(
        name=study.study_name,
        goals=[direction.name.lower() for direction in study.directions],
        metrics=study.metric_names,
        parameters=forms,
        seen=seen,
        trials=sum(bool(trial.distributions) for trial in trials),
        best=[dict(trial.params) for trial in _best(study, trials)],
        pruned=any(trial.state is TrialState.PRUNED for trial in trials),
    )


def _best(study: optuna.Study, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if len(study.directions) > 1:
        return study.best_trials[:BEST_KEPT]
    sign = 1 if study.direction is optuna.study.StudyDirection.MINIMIZE else -1
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))[:BEST_KEPT]


def _form(distribution: BaseDistribution) -> Any:
    """A distribution in our form."""
    match distribution:
        case FloatDistribution() | IntDistribution() as numbers if numbers.single():
            return {"value": numbers.low}
        case FloatDistribution() | IntDistribution() as numbers:
            form: dict[str, Any] = {"min": numbers.low, "max": numbers.high}
            if numbers.log:
                form["log"] = True
            if numbers.step is not None and not (isinstance(numbers, IntDistribution) and numbers.step == 1):
                form["step"] = numbers.step
            return form
        case CategoricalDistribution():
            return {"values": list(distribution.choices)}
        case _:
            warnings.warn(f"an unknown distribution of Optuna: {distribution!r}", stacklevel=2)
            return None
