"""An Optuna objective as an attempt: what it is suggested, what it reports, and how it ends."""

import pytest

from sweep.errors import TrainingError
from sweep.training.attempt import run_attempt

CURVE = """
import optuna

def train(trial):
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    for step in range(4):
        trial.report(lr / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return lr / 4
"""


@pytest.fixture
def run(placement, scripted, script):
    """Runs an objective; returns the outcome and the reports."""

    def call(text, answers=None, *, config=None, objectives=("loss",), **fields):
        channel = scripted(answers)
        config = {"lr": 0.08} if config is None else config
        fields = {"config": config, "objectives": objectives, **fields}
        return run_attempt(placement(entrypoint=script(text), **fields), channel), channel.reports

    return call


def test_steps_from_0_are_fidelities_from_1(run):
    outcome, reports = run(CURVE)
    assert outcome == "returned"
    assert reports == [{"loss": 0.08 / t, "epoch": t} for t in (1, 2, 3, 4)]


def test_steps_from_1_stay_what_they_are(run):
    _, reports = run("def train(trial):\n    for step in (1, 3): trial.report(1 / step, step)\n    return 1 / 3\n")
    assert [each["epoch"] for each in reports] == [1, 3]


@pytest.mark.parametrize(("answer", "outcome"), [("stop", "stopped"), ("pause", "interrupted"), ("move", "moved")])
def test_the_decision_is_what_should_prune_says(run, answer, outcome):
    assert run(CURVE, {2: answer}) == (outcome, [{"loss": 0.08, "epoch": 1}, {"loss": 0.04, "epoch": 2}])


def test_an_objective_that_never_asks_ends_with_its_next_report(run):
    outcome, reports = run(CURVE.replace("if trial.should_prune()", "if False"), {2: "stop"})
    assert (outcome, len(reports)) == ("stopped", 2)


def test_an_objective_that_returns_after_the_decision_ends_as_decided(run):
    text = "def train(trial):\n    trial.report(1.0, 0)\n    return 0.5\n"
    assert run(text, {1: "stop"}) == ("stopped", [{"loss": 1.0, "epoch": 1}])


def test_what_has_come_to_its_end_is_not_pruned(run):
    text = "def train(trial):\n    trial.report(1.0, 3)\n    assert not trial.should_prune()\n    return 1.0\n"
    assert run(text, {3: "finish"})[0] == "returned"


def test_one_value_is_reported_at_max_t(run):
    assert run("def train(trial):\n    return 3\n") == ("returned", [{"loss": 3.0, "epoch": 4}])


def test_another_value_than_the_last_is_one_more_report(run):
    text = "def train(trial):\n    trial.report(2.0, 0)\n    return {}\n"
    assert run(text.format("1.5"))[1] == [{"loss": 2.0, "epoch": 1}, {"loss": 1.5, "epoch": 2}]
    assert run(text.format("2.0"))[1] == [{"loss": 2.0, "epoch": 1}]


def test_several_objectives_are_a_tuple_in_the_files_order(run):
    both = {"objectives": ("loss", "size")}
    assert run("def train(trial):\n    return 1.0, 20\n", **both)[1] == [{"loss": 1.0, "size": 20.0, "epoch": 4}]
    with pytest.raises(TrainingError, match="returned 1 values, and the search file has 2 objectives: loss, size"):
        run("def train(trial):\n    return 1.0\n", **both)
    with pytest.raises(TrainingError, match="With several, only what the objective returns"):
        run("def train(trial):\n    trial.report(1.0, 0)\n", **both)


def test_a_step_reported_twice_counts_once(run):
    text = "def train(trial):\n    trial.report(1.0, 0)\n    trial.report(2.0, 0)\n    return 1.0\n"
    assert run(text)[1] == [{"loss": 1.0, "epoch": 1}]


def test_every_kind_of_value_comes_from_the_config(run):
    text = """
def train(trial):
    assert trial.suggest_int("width", 16, 64, step=16) == 48
    assert trial.suggest_float("lr", 0.0, 1.0, step=0.1) == 0.3
    assert trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "adam"
    assert trial.suggest_float("head.lr", 0, 1) == 1.0
    assert trial.suggest_categorical("nesterov", (1, True)) is True
    assert trial.params == {"width": 48, "lr": 0.3, "optimizer": "adam", "head.lr": 1.0, "nesterov": True}
    assert trial.number == 17
    trial.set_user_attr("seconds", 2.5)
    trial.set_user_attr("note", "fine")
    assert trial.user_attrs == {"seconds": 2.5, "note": "fine"}
    return 0.5
"""
    config = {"width": 48, "lr": 0.3, "optimizer": "adam", "head": {"lr": 1}, "nesterov": True}
    assert run(text, config=config)[1] == [{"loss": 0.5, "seconds": 2.5, "epoch": 4}]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            'float("rate", 1e-5, 0.1, log=True)',
            r"asks for rate, .* parameters: lr. Write .*: rate: {min: 1.0e-05, max: ",
        ),
        (
            'float("lr", 1e-5, 1e-2)',
            r"lr is 0.08, .* has no such value: suggest_float\('lr', 1e-05, 0.01\). Write .* lr: ",
        ),
        ('int("lr", 1, 8)', r"lr is 0.08, .* Write .*: lr: {min: 1, max: 8}; or widen"),
        ('float("lr", 0.0, 1.0, step=0.05)', r"step=0.05\)"),
        ('categorical("lr", ["a", "b"])', r"Write under parameters in the search file: lr: \[a, b\]"),
    ],
)
def test_what_the_file_does_not_have_is_an_error_that_says_what_to_write(run, call, words):
    with pytest.raises(TrainingError, match=words):
        run(f"def train(trial):\n    return trial.suggest_{call}\n")


def test_what_only_optuna_has_is_told_in_words(run):
    with pytest.raises(TrainingError, match=r"asks for trial.study, which it has in a study of Optuna's only"):
        run("def train(trial):\n    return len(trial.study.trials)\n")
    run("def train(trial):\n    assert not hasattr(trial, 'storage')\n    return 1\n")


@pytest.mark.parametrize("value", ["None", "'good'", "(1.0, 2.0)", "True"])
def test_what_is_no_value_is_refused(run, value):
    with pytest.raises(TrainingError, match="the objective returned"):
        run(f"def train(trial):\n    return {value}\n")


def test_pruning_by_itself_keeps_what_was_reported(run):
    text = "import optuna\ndef train(trial):\n    trial.report(1.0, 0)\n    raise optuna.TrialPruned\n"
    assert run(text) == ("returned", [{"loss": 1.0, "epoch": 1}])
    with pytest.raises(TrainingError, match="raised TrialPruned before it reported anything"):
        run(text.replace("trial.report(1.0, 0)", "pass"))


def test_an_error_of_its_own_is_a_failure(run):
    with pytest.raises(ZeroDivisionError):
        run("def train(trial):\n    return 1 / 0\n")


def test_a_traceback_begins_with_the_objective(run, tmp_path):
    with pytest.raises(ZeroDivisionError):
        run("def train(trial):\n    return 1 / 0\n")
    lines = (tmp_path / "trial" / "attempt-2.log").read_text().splitlines()
    (first,) = (at for at, line in enumerate(lines) if "Traceback" in line)
    assert lines[first + 1].endswith("line 2, in train")


def test_a_loss_with_its_graph_is_a_number(run):
    text = """
import torch
def train(trial):
    loss = torch.ones(1, requires_grad=True) * 2
    trial.report(loss, 0)
    return loss
"""
    assert run(text)[1] == [{"loss": 2.0, "epoch": 1}]
