"""What is said of fronts, bounds, paused trials and lineages."""

from dataclasses import replace

import pytest

from sweep.core.plan import make
from sweep.core.spec import Budget, FloatRange, Metric, Scheduler, Search, StudySpec
from sweep.executors.simulated import Course
from sweep.simulating import simulate
from sweep.store.paths import study_paths
from sweep.watch.outlooks import repeats_text
from sweep.watch.plan import plan_view
from sweep.watch.tables import best, status, trial_story, trials_table

LOSS = Metric(name="loss", goal="minimize")


def done(*metrics, crash_at_s=None, trials=9, repeats=0, **rules):
    spec = StudySpec(
        name="s",
        entrypoint="m:train",
        metric=list(metrics) or [LOSS],
        parameters={"x": FloatRange(min=0, max=1)},
        search=Search(algorithm="random", repeats=repeats),
        scheduler=Scheduler(**{"max_t": 9, **rules}),
        budget=Budget(trials=trials),
    )
    run = simulate(
        spec,
        lambda config: Course({"loss": [config["x"] + 1 / t for t in range(1, 10)], "size": [1 - config["x"]] * 9}),
        crash_at_s=crash_at_s,
    )
    return run.machine


@pytest.fixture
def paths(tmp_path):
    return study_paths(tmp_path, "s")


def test_best_lists_the_front_and_status_counts_it(paths):
    study = done(LOSS, Metric(name="size", goal="minimize"), type="none")
    view = best(study, paths)
    assert [row["trial"] for row in view.data["front"]] == [trial.number for trial in study.front()]
    assert len(view.data["front"]) > 1
    assert view.data["trial"] == view.data["front"][0]["trial"]
    losses = [row["values"]["loss"] for row in view.data["front"]]
    assert losses == sorted(losses)
    assert status(study, paths).data["front"] == view.data["front"]


def test_where_no_trial_keeps_within_the_bounds_the_nearest_is_named(paths):
    study = done(LOSS, Metric(name="size", max=-1.0), type="none")
    assert best(study, paths).data["trial"] is None
    said = status(study, paths).data["nearest"]
    assert said.startswith("no trial keeps within the bounds; trial ")
    assert "(max -1)" in said


def test_means_of_all_objectives_are_told_of_each_finalist(paths):
    study = done(LOSS, Metric(name="size", goal="minimize"), type="none", repeats=2)
    view = status(study, paths)
    rows = view.data["repeats"]["finalists"]
    assert [row["trial"] for row in rows] == [row["trial"] for row in view.data["front"]]
    assert {name: one["mean"] for name, one in rows[0]["objectives"].items()} == view.data["front"][0]["values"]
    assert rows[0]["mean"] == rows[0]["objectives"]["loss"]["mean"]
    text = repeats_text(rows[0])
    assert text.startswith(f"trial {rows[0]['trial']}: means over 2 other seeds: loss ")
    assert ", size " in text


def test_finalist_whose_repeats_break_a_bound_is_told_with_what_it_breaks(paths):
    study = done(LOSS, Metric(name="size", max=1.0), type="none", repeats=1, trials=1)
    (repeat,) = (trial for trial in study.trials.values() if trial.repeat_of is not None)
    repeat.reports = [replace(report, metrics={**report.metrics, "size": 2.0}) for report in repeat.reports]
    view = status(study, paths)
    (row,) = view.data["repeats"]["finalists"]
    assert repeats_text(row).endswith("; breaks a bound: size 2 (max 1)")
    near = "no trial keeps within the bounds; trial 0 is nearest: size 2 (max 1), the mean of its repeats"
    assert view.data["nearest"] == near
    assert best(study, paths).data["trial"] is None


def test_paused_trials_say_where_they_stand(paths):
    study = done(promote=True, crash_at_s=3.5)
    rows = trials_table(study).data
    paused = [row for row in rows if row["state"] == "paused"]
    assert paused
    assert all("it waits for its turn" in row["reason"] for row in paused)
    (rung, *_) = status(study, paths).data["rungs"]
    assert rung["paused"] == len(paused)
    assert status(study, paths).data["trials"]["paused"] == len(paused)


def test_story_of_a_variant_says_whose_work_it_took_up(paths):
    study = done(type="pbt", grace_period=2, trials=4)
    variant = next(trial for trial in study.trials.values() if trial.lineage)
    (first, *_) = trial_story(study, paths, variant.number).data["lineage"]
    assert first["source"] != variant.number
    assert first["before"] != first["after"]


@pytest.mark.parametrize(
    ("rules", "judging", "expected"),
    [
        ({}, "asha: 1 in 3 goes on from each rung, the others stop", True),
        ({"promote": True}, "asha: 1 in 3 goes on from each rung, the others pause until it is their turn", True),
        ({"type": "hyperband"}, "hyperband: 3 brackets; 1 in 3 goes on from each rung, the others stop", True),
        ({"type": "median"}, "median: from epoch 1 on, whoever the others beat on average stops", False),
        (
            {"type": "pbt", "grace_period": 3},
            "pbt: each 3 epochs the worst 1 in 3 goes on as a variant of one of the best",
            True,
        ),
        ({"type": "none"}, "none: each trial runs to its end", True),
    ],
)
def test_plan_says_how_trials_are_judged_and_what_they_take_at_most(rules, judging, expected):
    study = done(trials=9, **rules)
    plan = make(study.spec, slots=1)
    data = plan_view(study.spec, plan).data
    assert data["judging"] == judging
    assert data["at_most_steps"] == 81
    assert (data["expected_steps"] is not None) == expected
    steps = sum(trial.t for trial in study.trials.values())
    assert steps <= 81
    if expected:
        assert data["expected_steps"] <= 81
    assert sum(each["expected_trials"] for each in data["brackets"]) == pytest.approx(9)
