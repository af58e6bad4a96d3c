"""A Ray Tune function as an attempt: reports, checkpoints, and a process that keeps nothing of it."""

import json
from pathlib import Path

import pytest

from sweep.errors import TrainingError
from sweep.store import checkpoints
from sweep.training.attempt import run_attempt

SAVING = """
import json, tempfile
from pathlib import Path
from ray import tune
from ray.tune import Checkpoint

def train(config):
    begin = 0
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            begin = json.loads((Path(folder) / "state.json").read_text())["epoch"] + 1
    for epoch in range(begin, 9):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state.json").write_text(json.dumps({"epoch": epoch}))
            tune.report({"loss": config["x"] / (epoch + 1) %s}, checkpoint=Checkpoint.from_directory(folder))
"""


@pytest.fixture
def run(placement, scripted, script):
    """Runs a function; returns its outcome and the channel that it reported to."""

    def call(text, answers=None, **fields):
        channel = scripted(answers)
        fields = {"config": {"x": 1.0}, "objectives": ("loss",), **fields}
        return run_attempt(placement(entrypoint=script(text), **fields), channel), channel

    return call


@pytest.fixture(autouse=True)
def _nothing_is_left():
    from ray.train._internal import session
    from ray.train.v2._internal.execution import train_fn_utils

    yield
    assert session.get_session() is None
    assert train_fn_utils._train_fn_utils is None


@pytest.mark.parametrize(
    "imports",
    [
        "from ray import tune\nreport = tune.report",
        "from ray.tune import report",
        "from ray.train import report",
        "import ray.train\ndef report(metrics): ray.train.report(metrics)",
    ],
)
def test_every_way_to_report_is_a_report(run, imports):
    text = f"{imports}\ndef train(config):\n    for x in (3, 2): report({{'loss': x}})\n"
    outcome, channel = run(text)
    assert outcome == "returned"
    # As training_iteration is with Tune, the fidelity is counted where the metrics lack it.
    assert channel.reports == [{"loss": 3.0, "epoch": 1}, {"loss": 2.0, "epoch": 2}]


@pytest.mark.parametrize(("answer", "outcome"), [("stop", "stopped"), ("pause", "interrupted"), ("finish", "returned")])
def test_a_decision_ends_the_function_at_its_report(run, answer, outcome):
    ended, channel = run(SAVING % "", {2: answer})
    assert (ended, len(channel.reports)) == (outcome, 2)


@pytest.mark.parametrize("named", ["", ", 'epoch': epoch", ", 'epoch': epoch + 1"])
def test_checkpoints_are_complete_and_the_next_attempt_goes_on_from_one(run, named):
    _, first = run(SAVING % named, {2: "pause"})
    (_, kept) = first.checkpoints
    assert checkpoints.verify(Path(kept))["t"] == 2
    assert json.loads((Path(kept) / "state" / "state.json").read_text()) == {"epoch": 1}
    _, second = run(SAVING % named, {4: "pause"}, checkpoint=kept)
    assert [each["epoch"] for each in second.reports] == [3, 4]
    assert [each["loss"] for each in second.reports] == [1 / 3, 1 / 4]
    _, third = run(SAVING % named, {5: "stop"}, checkpoint=second.checkpoints[-1])
    assert [each["epoch"] for each in third.reports] == [5]


def test_a_checkpoint_that_is_not_due_is_not_written(run):
    _, channel = run(SAVING % "", {3: "stop"}, checkpoint_every=3)
    assert [each and Path(each).name for each in channel.checkpoints] == [None, None, "epoch-3"]


def test_a_checkpoint_of_another_function_is_refused(run):
    text = "def train(config, ctx):\n    ctx.report({'loss': 1.0}, checkpoint={'a': 1})\n"
    _, channel = run(text)
    with pytest.raises(TrainingError, match="isn't a folder that a Ray Tune function has saved"):
        run(SAVING % "", checkpoint=channel.checkpoints[0])


def test_numbers_are_flattened_and_the_rest_is_left_out(run, capsys):
    text = """
import numpy
from ray import tune
def train(config):
    for _ in range(2):
        tune.report({"loss": numpy.float32(0.5), "val": {"acc": 1}, "name": "a", "curve": [1, 2]})
"""
    _, channel = run(text)
    assert channel.reports[0] == {"loss": 0.5, "val/acc": 1.0, "epoch": 1}
    assert capsys.readouterr().out.count("curve is reported as list, no number, and is left out") == 1


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("return {'loss': 2}", [2.0]),
        ("return 2", [2.0]),
        ("return None", []),
        ("return {}", []),
        ("yield {'loss': 3}; yield 2", [3.0, 2.0]),
    ],
)
def test_what_it_returns_or_yields_is_a_report(run, end, expected):
    _, channel = run(f"from ray import tune\ndef train(config):\n    {end}\n")
    assert [each["loss"] for each in channel.reports] == expected


def test_the_context_knows_the_trial(run):
    text = """
from pathlib import Path
from ray import train as of_ray, tune
def train(config):
    ctx = tune.get_context()
    assert (ctx.get_trial_id(), ctx.get_trial_name(), ctx.get_experiment_name()) == ("00017", "test_00017", "test")
    assert Path(ctx.get_trial_dir()).is_dir() and ctx.get_trial_resources().required_resources == {"CPU": 1}
    assert of_ray.get_context().get_world_size() == 1 and tune.get_checkpoint() is None
    tune.report({"loss": 1})
"""
    assert run(text)[0] == "returned"
    with pytest.raises(TrainingError, match="asks Ray's session for storage, which it has under Ray Tune only"):
        run("from ray import tune\ndef train(config): tune.get_context().get_storage()\n")


def test_an_error_leaves_nothing_either(run):
    with pytest.raises(ZeroDivisionError):
        run("from ray import tune\ndef train(config): 1 / 0\n")


def test_a_report_of_no_dict_is_refused(run):
    with pytest.raises(TrainingError, match=r"tune\.report got 3\. Give a dict"):
        run("from ray import tune\ndef train(config): tune.report(3)\n")
