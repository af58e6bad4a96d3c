"""A trace of the training between two reports."""

import gzip
import json

import pytest

SCRIPT = """
import torch

def train(config, ctx):
    weight = torch.ones(64, 64)
    for epoch in range(1, config["epochs"] + 1):
        with torch.profiler.record_function(f"epoch {epoch}"):
            weight = weight @ weight / 64
        ctx.report({"epoch": epoch, "loss": 1.0})
"""


@pytest.fixture
def traced(run_trial, tmp_path):
    """Runs so many epochs with a profile; the names of what was traced."""
    (tmp_path / "train.py").write_text(SCRIPT)

    def run(epochs, **fields):
        run_trial(f"{tmp_path}/train.py:train", {"epochs": epochs}, profile=True, **fields)
        folder = tmp_path / "trial" / "profile"
        with gzip.open(folder / "attempt-2.json.gz") as file:
            events = json.load(file)["traceEvents"]
        assert "aten::mm" in (folder / "attempt-2.txt").read_text()
        return {event.get("name") for event in events}

    return run


def test_what_lies_between_the_first_two_reports_is_traced_and_nothing_else(traced):
    names = traced(3)
    assert "epoch 2" in names
    assert "aten::mm" in names
    assert not {"epoch 1", "epoch 3"} & names


def test_an_attempt_that_ends_before_its_second_report_is_traced_to_its_end(traced):
    assert "epoch 2" in traced(3, answers={2: "stop"})


def test_an_attempt_that_ends_with_its_first_report_leaves_no_empty_trace(run_trial, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    run_trial(f"{tmp_path}/train.py:train", {"epochs": 3}, profile=True, answers={1: "stop"})
    assert not (tmp_path / "trial" / "profile").exists()
    assert "nothing to trace" in (tmp_path / "trial" / "attempt-2.log").read_text()


def test_the_log_says_where_the_trace_is(traced, tmp_path):
    traced(2)
    assert "attempt-2.json.gz" in (tmp_path / "trial" / "attempt-2.log").read_text()


def test_nobody_else_is_traced(run_trial, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    run_trial(f"{tmp_path}/train.py:train", {"epochs": 2})
    assert not (tmp_path / "trial" / "profile").exists()
