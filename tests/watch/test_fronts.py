"""What is said of fronts, bounds, paused trials and lineages."""

from dataclasses import replace

import pytest
from plays import drawn

from sweep.core.events import Decided
from sweep.core.plan import make
from sweep.core.spec import Budget, FloatRange, Metric, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import TrialState
from sweep.executors.simulated import Course
from sweep.simulating import simulate
from sweep.store.paths import study_paths
from sweep.watch.outlooks import repeats_text
from sweep.watch.plan import plan_view
from sweep.watch.summary import summary
from sweep.watch.tables import best, status, trial_story, trials_table
from sweep.watch.telling import Teller
from sweep.watch.text import number
from sweep.watch.words import News

LOSS = Metric(name="loss", goal="minimize")


def done(*metrics, **rules):
    return run(*metrics, **rules).machine


def history(*metrics, **rules):
    return run(*metrics, **rules).log.events()


def run(*metrics, crash_at_s=None, trials=9, repeats=0, **rules):
    spec = StudySpec(
        name="s",
        entrypoint="m:train",
        metric=list(metrics) or [LOSS],
        parameters={"x": FloatRange(min=0, max=1)},
        search=Search(algorithm="random", repeats=repeats),
        scheduler=Scheduler(**{"max_t": 9, **rules}),
        budget=Budget(trials=trials),
    )
    return simulate(
        spec,
        lambda config: Course({"loss": [config["x"] + 1 / t for t in range(1, 10)], "size": [1 - config["x"]] * 9}),
        crash_at_s=crash_at_s,
    )


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


def test_every_view_tells_all_objectives(paths):
    study = done(LOSS, Metric(name="size", goal="minimize"), type="none")
    top = study.best.best(study.metric).metrics
    value = f"loss {number(top['loss'])}, size {number(top['size'])}"
    for view in (status(study, paths), best(study, paths), summary(study, paths)):
        assert value in "\n".join(drawn(view, (100, 40)))
    assert drawn(trials_table(study), (100, 40))[0].split() == ["trial", "state", "epoch", "loss", "size", "x", "time"]
    story = "\n".join(drawn(trial_story(study, paths, study.best.number), (100, 40)))
    assert f"size   {number(top['size'])}" in story
    assert f"front       {len(study.front())} trials" in "\n".join(drawn(summary(study, paths), (100, 40)))
    said = []
    teller = Teller(paths)
    again = StudyMachine(study.spec)
    for event in history(LOSS, Metric(name="size", goal="minimize"), type="none"):
        again.handle(event)
        said += teller.lines(again, event)
    assert any(f" complete at epoch 9: {value}, the best loss so far; " in line for line in said)
    assert any(line.startswith("best loss so far: loss ") and ", size " in line for line in said)


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


def test_attempt_whose_trial_pauses_is_called_paused(paths):
    study = done(promote=True, crash_at_s=3.5)
    paused = next(trial for trial in study.trials.values() if trial.state is TrialState.PAUSED)
    story = trial_story(study, paths, paused.number)
    assert story.data["attempts"][-1]["outcome"] == "paused"
    assert status(study, paths).data["attempts"]["paused"]


def test_what_is_answered_to_steps_ahead_of_a_pause_is_no_news():
    def decided(trial, t, action, rung=None):
        return Decided(time=0.0, trial=trial, t=t, action=action, reason="-", rung=rung)

    events = [
        decided(1, 1, "pause", 1), decided(2, 1, "advance", 1), decided(1, 2, "pause"), decided(2, 2, "advance"),
        decided(1, 3, "pause"), decided(1, 3, "pause", 3), decided(2, 3, "pause"),
    ]  # fmt: skip
    news = News()
    assert [event for event in events if news.tells(event)] == [events[0], events[1], events[5], events[6]]


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
