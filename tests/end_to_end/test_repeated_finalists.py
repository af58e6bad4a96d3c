"""Finalists trained again with other seeds, in real studies that are killed in the midst of it."""

import json

import pytest
from processes import Study

EXECUTORS = ["inline", pytest.param("ray", marks=pytest.mark.ray)]

SPEC = """
name: hardy
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters: {x: {min: -1.0, max: 1.0}}
search: {algorithm: random, seed: 3, repeats: 2, finalists: 2}
scheduler: {max_t: 3, reduction_factor: 2}
budget: {trials: 4}
resources: {cpu: 1, max_concurrent: 2}
checkpoint: {keep_best_in_study: 1}
promote: {model: hardy}
"""


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_killed_repeats_go_on_and_rank_what_is_promoted(tmp_path, executor):
    study = Study(tmp_path, executor, SPEC)
    study.hold(5, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for_epoch(5, 2)
    study.kill()
    study.release()
    study.start("resume", "hardy")
    assert study.ended() == 0, study.output()

    rows = json.loads(study.ask("trials", "hardy", "--json"))
    searched = [row for row in rows if row["repeat_of"] is None]
    repeats = [row for row in rows if row["repeat_of"] is not None]
    assert len(searched) == 4
    first, second = [row["trial"] for row in sorted(searched, key=lambda row: row["value"])][:2]
    assert sorted(row["repeat_of"] for row in repeats) == sorted([first, first, second, second])
    assert {row["state"] for row in repeats} == {"complete"}
    for row in repeats:
        assert row["params"] == rows[row["repeat_of"]]["params"]
    values = {row["value"] for row in repeats if row["repeat_of"] == first}
    assert len(values) == 2, "each repeat has a seed of its own"

    best = json.loads(study.ask("best", "hardy", "--json"))
    finalists = {each["trial"]: each for each in best["repeats"]["finalists"]}
    assert best["repeats"]["settled"]
    assert best["trial"] == min(finalists.values(), key=lambda each: each["worth"])["trial"]
    assert best["checkpoint"] is not None, "a finalist keeps its checkpoint"
    (model,) = json.loads(study.ask("models", "ls", "--json"))
    assert model["trial"] == best["trial"]

    starts = [(line["trial"], line["attempt"]) for line in study.lines("attempt_started")]
    assert len(starts) == len(set(starts))
    text = study.ask("trials", "hardy")
    assert "repeat_of" in text.splitlines()[0]
    assert "finalists" in study.output()
