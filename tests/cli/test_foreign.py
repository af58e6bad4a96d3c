"""What the verbs that start nothing say of functions written for other tools."""

import json

import pytest

TUNE = "from ray import tune\ndef train(config): tune.report({'loss': 1.0})\n"
OPTUNA = "def train(trial): return trial.suggest_float('x', 0, 1)\n"


@pytest.mark.parametrize(("text", "words"), [(TUNE, "as a Ray Tune function"), (OPTUNA, "as an Optuna objective")])
def test_validate_and_preview_say_how_a_function_is_taken(sweep, folder, text, words):
    (folder / "train.py").write_text(text)
    assert f"train.py:train runs {words}." in sweep("validate", "toy.yaml").out
    done = sweep("preview", "toy.yaml")
    (line,) = [line for line in done.out.splitlines() if line.startswith("runs")]
    assert line.split(maxsplit=1)[1] == f"train.py:train {words}"
    assert json.loads(sweep("preview", "toy.yaml", "--json").out)["form"] == words


def test_of_our_own_functions_nothing_is_said(sweep):
    assert " runs " not in sweep("validate", "toy.yaml").out
    assert "\nruns" not in sweep("preview", "toy.yaml").out


@pytest.mark.parametrize("text", [TUNE, OPTUNA])
def test_a_function_that_keeps_nothing_is_told_where_trials_pause(sweep, folder, text):
    (folder / "train.py").write_text(text)
    pausing = ("--set", "scheduler.type=asha", "--set", "scheduler.promote=true")
    assert "keeps no checkpoints: a trial that pauses starts anew" in sweep("preview", "toy.yaml", *pausing).out
    assert "keeps no checkpoints" not in sweep("preview", "toy.yaml", "--set", "scheduler.promote=false").out
