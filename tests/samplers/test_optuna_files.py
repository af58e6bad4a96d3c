"""Optuna studies, in a journal log and in SQLite, as search files."""

import optuna
import pytest

from sweep.core.convert.from_optuna import from_optuna
from sweep.core.loading import load
from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.errors import InputError, SpecError
from sweep.samplers.optuna_files import read_study


def objective(trial):
    x = trial.suggest_float("x", -1.0, 1.0)
    trial.suggest_float("opt.lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 8, 64, step=8)
    if trial.suggest_categorical("kind", ["a", "b", None]) == "a":
        trial.suggest_int("depth", 1, 4)
    trial.report(x, 1)
    if trial.number == 7:
        raise optuna.TrialPruned
    return x**2


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    """A storage in a file, and the file's path."""
    if request.param == "sqlite":
        path = tmp_path / "study.db"
        made = optuna.storages.RDBStorage(f"sqlite:///{path}")
        yield made, str(path)
        made.engine.dispose()
        return
    path = tmp_path / "study.log"
    yield optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path))), str(path)


def made(storage, name="first", objective=objective, **options):
    study = optuna.create_study(
        storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(seed=1), **options
    )
    study.optimize(objective, n_trials=12)
    return study


def test_a_study_becomes_a_file_with_its_space_and_its_best_trials(storage):
    study = made(storage[0], direction="minimize")
    text = from_optuna(read_study(storage[1]), storage[1])
    spec = load(text, source="ours.yaml")
    assert spec.parameters == {
        "x": FloatRange(min=-1.0, max=1.0),
        "opt.lr": FloatRange(min=1e-4, max=1e-1, log=True),
        "width": IntRange(min=8, max=64, step=8),
        "kind": Choice(values=["a", "b", None]),
        "depth": IntRange(min=1, max=4),
    }
    assert (spec.name, spec.objective.goal, spec.scheduler.type) == ("first", "minimize", "asha")
    assert spec.search.points_to_evaluate[0] == study.best_trial.params
    assert len(spec.search.points_to_evaluate) == 3
    assert "of 12 trials: add the when: that it hung on" in text
    assert "# Left out: sampler and pruner: a storage doesn't keep them" in text


def test_several_objectives_and_their_names(storage):
    def two(trial):
        x = trial.suggest_float("x", 0.0, 1.0)
        return x, 1 - x

    study = optuna.create_study(storage=storage[0], study_name="two", directions=["minimize", "maximize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["loss", "speed"])
    study.optimize(two, n_trials=3)
    spec = load(from_optuna(read_study(storage[1]), "x"), source="ours.yaml")
    assert [(metric.name, metric.goal) for metric in spec.metric] == [("loss", "minimize"), ("speed", "maximize")]


def test_a_parameter_whose_range_changed_has_no_equivalent(storage):
    made(storage[0], objective=lambda trial: trial.suggest_float("x", 0.0, 1.0 + trial.number % 2))
    with pytest.raises(SpecError, match=r"parameters\.x: it had 2 ranges: \{min: 0\.0, max: 1\.0\}; \{min: 0\.0"):
        from_optuna(read_study(storage[1]), "study.db")


def test_of_several_studies_one_is_named(storage):
    made(storage[0])
    made(storage[0], "second")
    with pytest.raises(InputError, match="It has first, second; name one with --study"):
        read_study(storage[1])
    assert read_study(storage[1], "second").name == "second"
    with pytest.raises(InputError, match="there is no study 'third'"):
        read_study(storage[1], "third")


def test_what_is_no_storage_is_told(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_study(str(tmp_path / "none.log"))
    (tmp_path / "text.log").write_text("hello\n")
    with pytest.raises(InputError, match=r"text\.log"):
        read_study(str(tmp_path / "text.log"))
