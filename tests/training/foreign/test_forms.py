"""For whom a function was written is told by its source, and by the function itself alike."""

import subprocess
import sys

import pytest

from sweep.training import entrypoints
from sweep.training.foreign import forms

TUNE = "from ray import tune\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (TUNE + "def train(config): tune.report({})", "tune"),
        ("from ray.tune import report\ndef train(config): report({})", "tune"),
        ("from ray import train as of_ray\ndef train(config): of_ray.report({})", "tune"),
        ("import ray\ndef train(config): ray.tune.report({})", "tune"),
        ("import ray.train\ndef train(config): ray.train.report({})", "tune"),
        ("def train(config):\n    from ray import tune\n    tune.report({})", "tune"),
        (TUNE + "def train(config, checkpoint_dir=None): tune.report({})", "tune"),
        (TUNE + "def train(config, ctx): ...", "sweep"),
        (TUNE + "def train(config, ctx=None): ...", "sweep"),
        (TUNE + "def train(*everything): ...", "sweep"),
        ("import ray\ndef train(config): ray.get(None)", "sweep"),
        ("def train(config): ...", "sweep"),
        ("def train(trial): ...", "optuna"),
        ("def train(trial, folder='x'): ...", "optuna"),
        ("def train(trial, ctx): ...", "sweep"),
        ("def train(config, trial=None): ...", "sweep"),
    ],
)
def test_the_form_is_told_before_and_after_the_import(script, text, kind):
    entrypoint = script(text)
    assert forms.of_entrypoint(entrypoint, ".").kind == kind
    assert forms.of_function(entrypoints.resolve(entrypoint)).kind == kind


def test_what_cannot_be_found_is_left_to_the_launch(tmp_path):
    assert forms.in_file("nowhere.py:train", tmp_path) == forms.Form()
    assert forms.in_file("sweep.training.vision:train", tmp_path) == forms.Form()
    assert forms.in_file(None, tmp_path) == forms.Form()


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        (TUNE + "def train(config): tune.report({})", False),
        (TUNE + "def train(config): tune.report({}, checkpoint=tune.Checkpoint('x'))", True),
        ("from ray.tune import Checkpoint, report\ndef train(config): ...", True),
        ("def train(trial): ...", False),
        ("def train(config): ...", True),
    ],
)
def test_a_file_that_never_speaks_of_checkpoints_keeps_none(script, text, keeps):
    assert forms.of_entrypoint(script(text), ".").keeps is keeps


def test_a_class_of_tunes_is_refused_in_words(script):
    entrypoint = script(TUNE + "class train(tune.Trainable): ...")
    with pytest.raises(entrypoints.EntrypointError, match=r"is a class of Ray Tune's. Write a function"):
        entrypoints.check(entrypoint, ".")


def test_a_partial_of_a_function_has_its_form(script):
    entrypoint = script(
        TUNE + "from functools import partial\ndef of(config, data): ...\ntrain = partial(of, data=1)\n"
    )
    assert forms.of_function(entrypoints.resolve(entrypoint)).kind == "tune"


def test_an_objective_brings_neither_ray_nor_optuna(tmp_path):
    (tmp_path / "theirs.py").write_text("def objective(trial): return trial.suggest_float('x', 0, 1)\n")
    code = f"""
import sys
from sweep.core.protocols import Decision, Placement
from sweep.training.attempt import run_attempt

class Channel:
    def report(self, metrics, checkpoint):
        return Decision("finish", str(metrics))

place = Placement("s", 0, 1, {{"x": 0.5}}, r"{tmp_path}/theirs.py:objective", 0, "epoch", 1, r"{tmp_path}/trial",
                  objectives=("loss",))
assert run_attempt(place, Channel()) == "returned"
assert not {{"ray", "optuna", "torch"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
