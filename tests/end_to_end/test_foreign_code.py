"""Whole studies of code written for Ray Tune or Optuna, unchanged: in this process and on real Ray."""

import json
import re
from pathlib import Path

import pytest

from sweep.core.spec import StudySpec
from sweep.core.trial import TrialState
from sweep.launching import Options, launch
from sweep.store import checkpoints
from sweep.store.spec_file import read_spec

TUNE = '''
import json, tempfile
from pathlib import Path

from ray import tune
from ray.tune import Checkpoint


def train(config):
    """The loss sums up what each epoch's own x does: it depends on the whole way, as a model's weights do."""
    state = {"epoch": 0, "gone": 0.0, "by": []}
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            state = json.loads((Path(folder) / "state.json").read_text())
    for epoch in range(state["epoch"] + 1, 20):
        gone = state["gone"] + 1 - (config["x"] - 0.3) ** 2
        state = {"epoch": epoch, "gone": gone, "by": [*state["by"], config["x"]]}
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state.json").write_text(json.dumps(state))
            tune.report({"loss": 9 - gone, "note": "fine"}, checkpoint=Checkpoint.from_directory(folder))


if __name__ == "__main__":
    tune.Tuner(train, param_space={"x": tune.uniform(0, 1)}).fit()
'''

OPTUNA = """
import optuna


def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    loss = 9.0
    for step in range(9):
        loss -= 1 - (x - 0.3) ** 2
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return loss


if __name__ == "__main__":
    optuna.create_study().optimize(objective, n_trials=9)
"""

EXECUTORS = [
    "inline",
    *(pytest.param(name, marks=[pytest.mark.ray, pytest.mark.xdist_group("ray")]) for name in ("ray", "tune")),
]


@pytest.fixture
def run(tmp_path, request):
    """Runs a study of code by somebody else; returns it as its folder tells."""

    def build(executor, text, function, **sections):
        if executor != "inline":
            request.getfixturevalue("ray_cluster")
        (tmp_path / "theirs.py").write_text(text)
        spec = StudySpec.model_validate({
            "name": "s",
            "entrypoint": f"theirs.py:{function}",
            "metric": [{"name": "loss", "goal": "minimize"}],
            "parameters": {"x": {"kind": "float", "min": 0.0, "max": 1.0}},
            "search": {"algorithm": "random", "seed": 5},
            # At a rung one after the other, so that some stop at each executor alike.
            "resources": {"cpu": 1, "max_concurrent": 1},
            "budget": {"trials": 5},
            "storage": str(tmp_path / "studies"),
            **sections,
        })  # fmt: skip
        return launch(spec, base_dir=tmp_path, options=Options(executor=executor))

    return build


def stopped_early(stored):
    """Checks that the study has run as one of our own functions would have, and that ASHA has stopped trials."""
    trials = stored.machine.trials.values()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.STOPPED}, [t.reason for t in trials]
    for trial in trials:
        assert [report.t for report in trial.reports] == list(range(1, trial.t + 1))
        assert (trial.t == 9) == (trial.state is TrialState.COMPLETE)
        step = 1 - (trial.config["x"] - 0.3) ** 2
        assert [report.metrics["loss"] for report in trial.reports] == pytest.approx(
            [9 - t * step for t in range(1, trial.t + 1)]
        )
    return trials


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_ray_tune_function_is_stopped_by_asha(run, executor):
    stored = run(executor, TUNE, "train", scheduler={"type": "asha", "max_t": 9, "promote": False})
    stopped_early(stored)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_optuna_objective_is_pruned_by_asha(run, executor):
    stored = run(executor, OPTUNA, "objective", scheduler={"type": "asha", "max_t": 9, "promote": False})
    stopped_early(stored)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_ray_tune_function_pauses_and_goes_on_from_its_checkpoint(run, executor):
    stored = run(
        executor,
        TUNE,
        "train",
        scheduler={"type": "asha", "max_t": 9, "promote": True},
        budget={"trials": 6},
        # Far apart: but at a rung there is one.
        checkpoint={"every": 100},
    )
    trials = stopped_early(stored)
    again = [trial for trial in trials if len(trial.attempts) > 1]
    assert again
    (complete,) = (trial for trial in again if trial.state is TrialState.COMPLETE)
    (last,) = (
        folder
        for folder in checkpoints.complete_ones(stored.paths.trial(complete.number).checkpoints)
        if checkpoints.manifest(folder)["t"] == 9
    )
    state = json.loads((last / "state" / "state.json").read_text())
    # By nine epochs, though no attempt had nine.
    assert state["by"] == [complete.config["x"]] * 9


def test_an_optuna_objective_that_pauses_starts_anew(run):
    stored = run("inline", OPTUNA, "objective", scheduler={"type": "asha", "max_t": 9, "promote": True})
    trials = stopped_early(stored)
    assert any(len(trial.attempts) > 1 for trial in trials)
    text = (stored.paths.root / "events.jsonl").read_text()
    assert "theirs.py:objective runs as an Optuna objective and keeps no checkpoints" in text


@pytest.mark.parametrize(("file", "steps"), [("tuned.py", "training_iteration"), ("objective.py", "epoch")])
def test_the_examples_of_the_docs_run_as_they_stand(tmp_path, monkeypatch, file, steps):
    text = (Path(__file__).parents[2] / "docs" / "training-function.md").read_text()
    section = text.partition("## Code written for Ray Tune or Optuna")[2].partition("\n## ")[0]
    code, config = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "yaml"))
    number = ["tuned.py", "objective.py"].index(file)
    (tmp_path / file).write_text(code[number])
    (tmp_path / "s.yaml").write_text(config[number])
    spec = read_spec(tmp_path / "s.yaml", ["budget.trials=4", "search.algorithm=random"])
    monkeypatch.chdir(tmp_path)
    stored = launch(spec, base_dir=tmp_path, options=Options(executor="inline"))
    trials = stored.machine.trials.values()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.STOPPED}
    assert all(report.metrics[steps] == report.t for trial in trials for report in trial.reports)
