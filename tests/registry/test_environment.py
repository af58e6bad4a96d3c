"""The facts for the manifest: what ran, and from which code."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version

import pytest

from sweep.registry import environment, environment_facts


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    git("init")
    (tmp_path / "train.py").write_text("lr = 1\n")
    return tmp_path, git


def test_packages_image_and_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_IMAGE", "pytorch-cuda:v2.9")
    facts = environment_facts(tmp_path, gpu="A100")
    assert facts["packages"].keys() == {"torch", "torchvision", "ray", "optuna", "numpy"}
    assert facts["packages"]["torch"] == version("torch")
    assert (facts["image"], facts["gpu"]) == ("pytorch-cuda:v2.9", "A100")
    assert json.loads(json.dumps(facts)) == facts


def test_package_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    assert environment_facts(tmp_path)["packages"] == {"no-such-package": None}


def test_clean_and_changed_tree(repository):
    folder, git = repository
    git("add", ".")
    git("commit", "-m", "first")
    clean = environment_facts(folder)["git"]
    assert clean == {"commit": git("rev-parse", "HEAD"), "dirty": False, "untracked": False, "diff_sha256": None}

    (folder / "train.py").write_text("lr = 2\n")
    changed = environment_facts(folder)["git"]
    (folder / "train.py").write_text("lr = 3\n")
    other = environment_facts(folder)["git"]
    assert (changed["commit"], changed["dirty"], changed["untracked"]) == (clean["commit"], True, False)
    assert len({changed["diff_sha256"], other["diff_sha256"], None}) == 3


def test_tree_with_untracked_files_only(repository):
    folder, git = repository
    git("add", ".")
    git("commit", "-m", "first")
    (folder / "notes.txt").write_text("new\n")
    facts = environment_facts(folder)["git"]
    assert (facts["dirty"], facts["untracked"], facts["diff_sha256"]) == (True, True, None)


def test_repository_without_a_commit(repository):
    assert environment_facts(repository[0])["git"] == {
        "commit": None,
        "dirty": True,
        "untracked": True,
        "diff_sha256": None,
    }


def test_no_repository_and_no_git(tmp_path, monkeypatch):
    assert environment_facts(tmp_path)["git"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment_facts(tmp_path)["git"] is None
