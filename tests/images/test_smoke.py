"""The smoke script prints every finding, compares what was asked for, and its exit code says the verdict."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from sweep.core.findings import Finding
from sweep.doctor import gpus, machine, ray_check, torch_check

SCRIPT = Path(__file__).parents[2] / "images" / "smoke.py"


@pytest.fixture
def script(monkeypatch) -> ModuleType:
    """The script, on a machine with two GPUs that are all right."""
    monkeypatch.setattr(machine, "python", lambda: [Finding("Python", "ok", "3.12.3, CPython")])
    monkeypatch.setattr(gpus, "gpus", lambda: [Finding(f"GPU {index}", "ok", "NVIDIA L4") for index in range(2)])
    told = [Finding("PyTorch", "ok", "2.14.1+cu130"), Finding("CUDA", "ok", "13.0, 2 GPUs")]
    monkeypatch.setattr(torch_check, "torch", lambda: told)
    monkeypatch.setattr(ray_check, "version", lambda: Finding("Ray", "ok", "2.60.0"))
    spec = importlib.util.spec_from_file_location("images_smoke", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_image_as_asked_for_ends_with_0(script, capsys):
    asked = ["--torch", "2.14.1", "--python", "3.12", "--cuda", "13", "--ray", "2.60", "--gpus", "2"]
    assert script.main(asked) == 0
    out = capsys.readouterr().out
    assert "ok    PyTorch" in out
    assert out.count("as asked") == 5


@pytest.mark.parametrize(
    "asked",
    [
        ["--torch", "2.13.0"],
        ["--python", "3.11"],
        ["--python", "3.1"],
        ["--cuda", "12"],
        ["--ray", "2.6"],
        ["--gpus", "4"],
    ],
)
def test_an_image_other_than_asked_for_ends_with_1(script, capsys, asked):
    assert script.main(asked) == 1
    out = capsys.readouterr().out
    assert "fail" in out
    assert "Build the image anew" in out


def test_a_check_that_fails_ends_with_1(script, monkeypatch, capsys):
    monkeypatch.setattr(torch_check, "torch", lambda: [Finding("all-reduce", "fail", "rank 1 hangs", "Look at NCCL.")])
    assert script.main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"name": "all-reduce", "verdict": "fail", "value": "rank 1 hangs", "advice": "Look at NCCL."} in found


def test_what_breaks_a_check_is_a_finding(script, monkeypatch, capsys):
    def broken():
        raise OSError("no /proc")

    monkeypatch.setattr(gpus, "gpus", broken)
    assert script.main([]) == 1
    out = capsys.readouterr().out
    assert "no /proc" in out
    assert "PyTorch" in out
