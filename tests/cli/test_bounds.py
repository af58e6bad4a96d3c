"""Bounds in a whole study: what its finalists turn out to break isn't promoted."""

import json

import pytest

BOUNDED = """
metric: [{name: loss, goal: minimize}, {name: latency, max: 5.0}]
search: {algorithm: random, repeats: 1, finalists: 1}
"""
TRAIN = """
def train(config, ctx):
    # The searched trials are 0 to 3, so the repeat alone is slow.
    latency = 9.0 if ctx.trial > 3 else 1.0
    ctx.report({"epoch": 1, "loss": abs(config["x"]), "latency": latency}, checkpoint={"x": config["x"]})
"""


def read_events(folder):
    return [json.loads(line) for line in (folder / "studies/toy/events.jsonl").read_text().splitlines()]


@pytest.fixture
def bounded(folder):
    lines = (folder / "toy.yaml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("metric:", "search:"))]
    (folder / "toy.yaml").write_text("\n".join(kept) + BOUNDED)
    (folder / "train.py").write_text(TRAIN)


def test_finalist_whose_repeats_break_a_bound_isnt_promoted(folder, bounded, launch, sweep):
    result = launch("toy.yaml", "--set", "promote.top_k=4")
    assert result.code == 0
    rows = [row for row in json.loads(sweep("trials", "toy", "--json").out) if row["repeat_of"] is None]
    first, second = (row["trial"] for row in sorted(rows, key=lambda row: row["value"])[:2])
    best = json.loads(sweep("best", "toy", "--json").out)
    assert (best["trial"], best["repeats"]["finalists"][0]["trial"]) == (second, first)
    assert json.loads(sweep("models", "show", "toy@champion", "--json").out)["lineage"]["trial"] == second
    promoted = [event for event in read_events(folder) if event["type"] == "promoted"]
    assert {event["trial"] for event in promoted} <= {row["trial"] for row in rows} - {first}
    assert "breaks a bound: latency 9 (max 5)" in result.out
