"""The card tells a person what the version is, and its snippets run."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from registry_files import new_state

from sweep.registry import promote
from sweep.store import checkpoints


@pytest.fixture
def text(registry, source):
    return promote(registry, "vit", source, alias=None).card.read_text()


def test_says_what_it_is_and_where_it_came_from(text):
    assert text.startswith("# vit v1\n\n**val_loss 0.25** (minimize), promoted 20")
    assert "from trial 17 of study digits." in text
    for row in (
        "| lr | 0.0003 |",
        "| optimizer | adamw |",
        "| grad_norm | nan |",
        "| trial | 17, attempt 2, epoch 3 |",
        "| seed | 123 |",
        "| packages | torch 2.9 |",
        "| code | not recorded |",
        "8 parameters in 2 tensors (float32).",
    ):
        assert row in text


def test_data_and_network_are_told_a_fact_a_row(registry, source, tmp_path):
    network = {"name": "vit", "options": {"hidden": 51, "dropout": 0.0467402401}, "classes": None}
    data = {"name": "digits", "options": {}, "mean": [0.305239968, 0.5]}

    def fill(beside):
        torch.save(new_state(), beside / "state.pt")

    checkpoints.write(tmp_path / "told", fill, {"t": 3, "data": data, "model": network})
    text = promote(registry, "vit", replace(source, checkpoint=tmp_path / "told"), alias=None).card.read_text()
    assert "## Data\n\n| fact | value |\n|---|---|\n| name | digits |\n| mean | 0.30524, 0.5 |\n" in text
    for row in ("| name | vit |", "| options.hidden | 51 |", "| options.dropout | 0.0467402 |"):
        assert row in text.split("## Network")[1]
    assert "{" not in text.split("## Data")[1]


def test_data_and_network_that_were_not_recorded(registry, source, tmp_path):
    checkpoints.write(tmp_path / "untold", lambda beside: torch.save(new_state(), beside / "state.pt"), {"t": 3})
    text = promote(registry, "vit", replace(source, checkpoint=tmp_path / "untold"), alias=None).card.read_text()
    assert "## Data\n\nnot recorded\n" in text


def test_curve_is_summed_up_without_its_infinite_part(text):
    assert "| first | inf at epoch 1 |" in text
    assert "| best | 0.25 at epoch 3 |" in text
    assert "3 reports; all of them are in `curve.json`." in text


def test_best_follows_the_goal(registry, source):
    curve = [
        {"acc": float("inf"), "epoch": 0.0},
        {"acc": 0.9, "epoch": 1.0},
        {"acc": 0.5, "epoch": 2.0},
        {"other": 1.0},
    ]
    version = promote(registry, "vit", replace(source, metric="acc", goal="maximize", curve=curve), alias=None)
    assert "| best | 0.9 at epoch 1 |" in version.card.read_text()


def test_curve_without_the_metric(registry, source):
    version = promote(registry, "vit", replace(source, curve=[]), alias=None)
    assert "0 reports of val_loss, none of them finite." in version.card.read_text()


def test_value_can_not_break_the_table(registry, source):
    version = promote(registry, "vit", replace(source, config={"a|b": "x\n| y |"}), alias=None)
    assert r"| a\|b | x \| y \| |" in version.card.read_text()


def test_code_names_the_commit_and_its_changes(registry, source):
    git = {"commit": "abc", "dirty": True, "diff_sha256": "f00"}
    version = promote(registry, "vit", replace(source, environment={"git": git}), alias=None)
    assert "| code | commit abc, changed since (diff SHA-256 f00) |" in version.card.read_text()


def test_snippets_run_in_the_folder(registry, source, python):
    version = promote(registry, "vit", source, alias=None)
    snippets = re.findall(r"```python\n(.*?)```", version.card.read_text(), flags=re.DOTALL)
    assert len(snippets) == 2
    check = "print(sorted((name, tuple(value.shape)) for name, value in state_dict.items()))\n"
    done = python("-c", "".join(snippet + check for snippet in snippets), cwd=version.path)
    assert done.stdout.decode().splitlines() == ["[('bias', (2,)), ('weight', (2, 3))]"] * 2


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"dirty": True, "untracked": True, "diff_sha256": None}, "commit abc, with untracked files"),
        ({"dirty": True, "diff_sha256": None}, "commit abc, with untracked files"),
        (
            {"dirty": True, "untracked": True, "diff_sha256": "f00"},
            "commit abc, changed since (diff SHA-256 f00), with untracked files",
        ),
        ({"dirty": True, "untracked": False}, "commit abc, changed since (the diff couldn't be read)"),
        ({"dirty": False, "untracked": False, "diff_sha256": None}, "commit abc"),
        ({"commit": None, "dirty": True, "untracked": True}, "no commit yet, with untracked files"),
    ],
)
def test_code_says_what_is_beside_the_commit(registry, source, facts, told):
    environment = {"git": {"commit": "abc"} | facts}
    version = promote(registry, "vit", replace(source, environment=environment), alias=None)
    assert f"| code | {told} |" in version.card.read_text()
