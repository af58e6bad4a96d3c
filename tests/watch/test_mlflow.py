"""A study in MLflow, read back with MLflow's own client."""

import logging

import pytest
from mlflow import MlflowClient
from plays import Play, new_spec

from sweep.core.trial import TrialState
from sweep.errors import InputError
from sweep.watch.mlflow import PARENT, STUDY, TRIAL, Mlflow

# MLflow's own: what SQLAlchemy will drop, and connections that it leaves to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/runs.db"


@pytest.fixture
def client(tracking):
    return MlflowClient(tracking_uri=tracking)


def runs_of(client, name):
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    (study,) = [run for run in found if TRIAL not in run.data.tags]
    return study, {int(run.data.tags[TRIAL]): run for run in found if TRIAL in run.data.tags}


def acted(tracking, name, steps=None):
    play = Play(new_spec(name=name))
    watcher = Mlflow(tracking, name)
    play._seen = watcher.event
    play.begin()
    for _ in range(steps or 0):
        play.step()
    if not steps:
        play.to_the_end(fail_each=9)
    watcher.close()
    return play


def test_each_trial_is_a_run_nested_in_the_study_s(tracking, client):
    machine = acted(tracking, "whole").machine
    study, trials = runs_of(client, "whole")
    assert study.data.tags[STUDY] == "whole"
    assert "lr: {min: 1.0e-05" in study.data.tags["mlflow.note.content"]
    assert study.info.status == "FINISHED"
    assert study.data.metrics["best.val_loss"] == machine.best.value(machine.metric)
    assert sorted(trials) == [number for number, trial in machine.trials.items() if trial.attempts]
    for number, run in trials.items():
        trial = machine.trials[number]
        assert run.data.tags[PARENT] == study.info.run_id
        assert float(run.data.params["lr"]) == pytest.approx(trial.config["lr"], rel=1e-3)
        assert run.data.params["optimizer"] == trial.config["optimizer"]
        words = {TrialState.COMPLETE: "FINISHED", TrialState.STOPPED: "KILLED", TrialState.FAILED: "FAILED"}
        assert run.info.status == words[trial.state]


def test_reports_are_metrics_at_their_fidelity(tracking, client):
    machine = acted(tracking, "curves").machine
    _, trials = runs_of(client, "curves")
    for number, run in trials.items():
        history = client.get_metric_history(run.info.run_id, "val_loss")
        wanted = [(report.t, report.metrics["val_loss"]) for report in machine.trials[number].reports]
        assert sorted((each.step, each.value) for each in history) == wanted


def test_no_file_is_left_where_the_study_was_launched(tracking, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    acted(tracking, "elsewhere")
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_study_goes_on_in_its_runs(tracking, client):
    play = acted(tracking, "resumed", steps=12)
    before, _ = runs_of(client, "resumed")
    watcher = Mlflow(tracking, "resumed")
    play._seen = watcher.event
    play.begin()
    play.to_the_end()
    watcher.close()
    after, trials = runs_of(client, "resumed")
    assert after.info.run_id == before.info.run_id
    assert sorted(trials) == [number for number, trial in play.machine.trials.items() if trial.attempts]


def test_a_server_that_fails_ends_the_writing_but_not_the_study(tracking, monkeypatch, caplog):
    watcher = Mlflow(tracking, "broken")

    def fail(*_, **__):
        raise OSError("the network is down")

    monkeypatch.setattr(watcher._client, "log_batch", fail)
    play = Play(new_spec(name="broken"), seen=watcher.event)
    with caplog.at_level(logging.WARNING):
        play.to_the_end()
        watcher.close()
    assert [record.message for record in caplog.records if "MLflow" in record.message] == [
        "MLflow is written no more: the network is down. The study goes on."
    ]
    assert play.over


def test_an_address_that_is_none_is_told():
    with pytest.raises(InputError, match="--mlflow: 'nonsense://x' can't be used"):
        Mlflow("nonsense://x", "toy")
