"""The search files that ship: each is right, and runs."""

from pathlib import Path

import numpy as np
import pytest

import sweep
from sweep.core.space import midpoint, varying
from sweep.core.support import unsupported
from sweep.registry import load_weights, resolve
from sweep.store.spec_file import read_spec
from sweep.training import text
from sweep.training.entrypoints import check
from sweep.training.scripts.checking import check as check_command
from sweep.training.settings import Settings, TextSettings

FOLDER = Path(__file__).parents[2] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_right_and_nothing_in_it_is_unsupported(path, tmp_path):
    spec = read_spec(path)
    assert unsupported(spec) == []
    assert spec.name == path.stem
    assert len(varying(spec)) >= 3
    if spec.command is not None:
        check_command(spec.command, FOLDER.parent)
        return
    check(spec.entrypoint, tmp_path)
    # Every key of every config is one that the training function knows.
    settings = TextSettings if spec.entrypoint == "sweep.training.text:train" else Settings
    settings.parse(midpoint(spec), spec.scheduler.max_t)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_newcomer_is_told_what_each_section_does(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert any(line.strip().startswith("#   sweep launch search_spaces/") for line in lines[:12])


@pytest.mark.slow
def test_quick_search_ends_with_a_model_that_loads():
    study = sweep.launch(FOLDER / "quick.yaml", executor="inline")
    assert study.status["state"] == "complete"
    assert study.best.value > 0.9
    version = resolve(Path("registry"), "quick@champion")
    weights = load_weights(version)
    assert version.manifest.config == dict(study.best.config)
    assert sum(tensor.numel() for tensor in weights.values()) > 500


@pytest.mark.slow
def test_vit_search_runs_as_shipped_only_shorter():
    study = sweep.launch(
        FOLDER / "vit.yaml", executor="inline", overrides=["scheduler.max_t=4", "budget.trials=4", "search.seed=2"]
    )
    assert study.status["state"] == "complete"
    assert resolve(Path("registry"), "vit@champion").manifest.metric.name == "val_loss"


@pytest.mark.slow
def test_text_search_ends_with_a_model_that_classifies():
    changes = ["scheduler.max_t=4", "budget.trials=2", "parameters.dim=32", "parameters.lr=0.005", "parameters.depth=1"]
    study = sweep.launch(FOLDER / "text.yaml", executor="inline", overrides=changes)
    assert study.status["state"] == "complete"
    version = resolve(Path("registry"), "text@champion")
    assert load_weights(version)["tokens.weight"].shape[1] == 32
    # A fifth would be right by chance.
    assert text.evaluate(version.checkpoint)["test_accuracy"] > 0.5
    assert text.classify(version.checkpoint, ["Return the nodes and edges of the graph."]) == ["networkx"]


@pytest.mark.slow
def test_resnet_search_runs_on_a_folder_of_images(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    for label, tone in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(80):
            pixels = np.clip(tone + generator.normal(0, 20, (20, 24, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
    changes = {
        "parameters.data_dir": tmp_path / "images",
        "parameters.image_size": 16,
        "parameters.model": "resnet18",
        "parameters.batch_size": 8,
        "parameters.warmup_epochs": 0,
        "parameters.lr": "{min: 0.003, max: 0.01}",
        "parameters.optimizer": "sgd",
        "scheduler.max_t": 5,
        "scheduler.grace_period": 1,
        "budget.trials": 1,
    }
    study = sweep.launch(
        FOLDER / "resnet.yaml", executor="inline", overrides=[f"{key}={value}" for key, value in changes.items()]
    )
    assert study.best.value > 0.9, study.trials()
