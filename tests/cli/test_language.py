"""What the search file says of configs, from the file to the training function, its files and the registry."""

import json

import pytest

import sweep
from sweep.errors import SpecError

SPEC = """\
name: language
entrypoint: noting.py:train
metric: {name: loss, goal: minimize}
parameters:
  optimizer: [sgd, adam]
  momentum: {min: 0.5, max: 0.9, when: {optimizer: sgd}}
  width: [32, 64, 96, 128]
  heads: [1, 2, 3, 4]
  lr: {min: 1e-4, max: 1e-1, log: true}
  decay:
    when: {optimizer: sgd}
    rate: {min: 0.0, max: 0.1}
    nesterov: [true, false]
zip: [[width, heads]]
derived: {head_dim: width // heads, ffn: 4 * width, damping: 1 - momentum, decay.half: decay.rate / 2}
constraints: ["ffn <= 384", "optimizer == 'adam' or lr * 100 < momentum"]
search: {points_to_evaluate: [{momentum: 0.75}]}
scheduler: {max_t: 1}
budget: {trials: 12}
promote: {model: language}
"""
TRAIN = """
import json, pathlib

def train(config, ctx):
    pathlib.Path(ctx.log_dir).parent.joinpath("seen.json").write_text(json.dumps(config))
    ctx.report({"epoch": 1, "loss": config["lr"]}, checkpoint={"epoch": 1})
"""


@pytest.fixture
def spec(folder):
    (folder / "noting.py").write_text(TRAIN)

    def write(text=SPEC):
        (folder / "language.yaml").write_text(text)
        return "language.yaml"

    return write


def test_training_gets_what_is_in_use_and_derived_and_so_do_the_trials_files(folder, spec, launch, sweep):
    assert launch(spec()).code == 0
    trials = sorted((folder / "studies/language/trials").iterdir())
    assert len(trials) == 12
    for trial in trials:
        config = json.loads((trial / "seen.json").read_text())
        assert json.loads((trial / "params.json").read_text()) == config
        assert config["head_dim"] == 32
        assert config["ffn"] == 4 * config["width"] <= 384
        assert ("momentum" in config) == ("damping" in config) == (config["optimizer"] == "sgd")
        assert set(config.get("decay", ())) == ({"rate", "nesterov", "half"} if "momentum" in config else set())
        assert config["optimizer"] == "adam" or config["lr"] * 100 < config["momentum"]
    first = json.loads((trials[0] / "seen.json").read_text())
    assert (first["optimizer"], first["momentum"], first["damping"]) == ("sgd", 0.75, 0.25)
    shown = json.loads(sweep("trials", "language", "--json").out)
    assert {"head_dim", "ffn"}.isdisjoint(shown[0]["params"])
    assert "decay.rate" in shown[0]["params"]
    assert sweep("trials", "language", "--sort", "decay.rate", "--columns", "trial,decay.rate").code == 0
    manifest = json.loads((folder / "registry/language/v1/manifest.json").read_text())
    assert manifest["config"]["head_dim"] == 32
    card = (folder / "registry/language/v1/card.md").read_text()
    assert "| ffn |" in card
    assert ("| decay.rate |" in card) == ("decay" in manifest["config"])


@pytest.mark.parametrize("verb", ["preview", "launch", "validate"])
def test_a_space_without_an_allowed_config_is_refused_before_anything_starts(folder, spec, sweep, verb):
    result = sweep(verb, spec(SPEC.replace("ffn <= 384", "ffn < 100")))
    assert result.code == 2
    assert "language.yaml:16:14: constraints: none of 20000 configs drawn is allowed" in result.err
    assert "ffn < 100 is not met" in result.err
    assert not (folder / "studies").exists()


def test_a_narrow_space_is_told_in_the_plan(spec, sweep):
    result = sweep("preview", spec(SPEC.replace("ffn <= 384", "ffn <= 128 and lr < 0.00012")))
    assert result.code == 0
    shown = " ".join(result.out.split())
    assert "Constraints leave " in shown
    assert "in step width with heads" in shown
    assert "derived head_dim = width // heads; ffn = 4 * width; " in shown


def test_a_study_described_in_python_is_the_same(folder, spec):
    spec()
    content = {
        "name": "described",
        "entrypoint": "noting.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {
            "lr": {"min": 1e-4, "max": 0.1, "log": True},
            "optimizer": {
                "name": ["sgd", "adam"],
                "momentum": {"min": 0.5, "max": 0.9, "when": {"optimizer.name": "sgd"}},
            },
        },
        "derived": {"optimizer.steps": "round(10 / lr)"},
        "constraints": ["optimizer.momentum < lr + 0.85"],
        "scheduler": {"max_t": 1},
        "budget": {"trials": 6},
    }
    study = sweep.launch(content, executor="inline")
    assert study.best.config["optimizer"]["steps"] == round(10 / study.best.config["lr"])
    assert sweep.load("described").spec == study.spec
    with pytest.raises(SpecError, match="spec: constraints: none of 20000 configs drawn is allowed"):
        sweep.launch({**content, "name": "none", "constraints": ["lr > 1"]}, executor="inline")
