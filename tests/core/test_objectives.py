"""What a report is worth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_spec import small_spec
from study_runs import Run

from sweep.core.objectives import Objectives, front, ranked
from sweep.core.spec import Budget, Metric, Scheduler
from sweep.core.trial import Report, Trial, TrialState

LOSS = Metric(name="loss", goal="minimize")
ACCURACY = Metric(name="accuracy", goal="maximize")
LATENCY = Metric(name="latency", max=5.0)


def trial(number, *reports):
    found = Trial(number, {}, 0, 0.0)
    found.reports = [Report(t, metrics, f"epoch-{t}", 1, 0.0) for t, metrics in enumerate(reports, start=1)]
    return found


def test_best_within_the_bounds_comes_before_any_that_breaks_one():
    metric = Objectives([LOSS, LATENCY])
    trials = [trial(0, {"loss": 0.1, "latency": 9.0}), trial(1, {"loss": 0.5, "latency": 4.0})]
    assert [each.number for each in ranked(trials, metric)] == [1, 0]
    assert [each.number for each in front(trials, metric)] == [1]
    assert metric.broken(trials[0].reports[0].metrics) == "latency 9 (max 5)"


def test_missing_bound_counts_as_infinitely_far_beyond():
    metric = Objectives([LOSS, LATENCY])
    trials = [trial(0, {"loss": 0.1}), trial(1, {"loss": 0.5, "latency": 900.0})]
    assert [each.number for each in ranked(trials, metric)] == [1, 0]
    assert front(trials, metric) == []
    assert metric.broken({"loss": 0.1}) == "latency missing (max 5)"


def test_trials_best_report_is_within_the_bounds_where_one_is():
    metric = Objectives([LOSS, LATENCY])
    one = trial(0, {"loss": 0.1, "latency": 9.0}, {"loss": 0.4, "latency": 5.0}, {"loss": 0.6, "latency": 1.0})
    assert one.best(metric).t == 2
    assert one.value(metric) == 0.4


@given(
    values=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12),
    goals=st.tuples(st.sampled_from(["minimize", "maximize"]), st.sampled_from(["minimize", "maximize"])),
)
def test_nobody_beats_a_trial_of_the_front_in_all(values, goals):
    metric = Objectives([Metric(name="a", goal=goals[0]), Metric(name="b", goal=goals[1])])
    trials = [trial(n, {"a": float(a), "b": float(b)}) for n, (a, b) in enumerate(values)]
    sign = [1 if goal == "minimize" else -1 for goal in goals]
    found = {each.number for each in front(trials, metric)}
    points = [(sign[0] * a, sign[1] * b) for a, b in values]
    for number, point in enumerate(points):
        beaten = any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
        assert (number in found) == (not beaten)
    assert ranked(trials, metric)[0].number in found
    assert {each.number for each in ranked(trials, metric)[: len(found)]} == found


def test_targets_are_reached_when_one_report_reaches_them_all_within_the_bounds():
    metric = Objectives([
        Metric(name="loss", goal="minimize", target=0.2),
        Metric(name="accuracy", goal="maximize", target=0.9),
        LATENCY,
    ])  # fmt: skip
    assert metric.reached({"loss": 0.2, "accuracy": 0.95, "latency": 5.0})
    assert not metric.reached({"loss": 0.2, "accuracy": 0.8, "latency": 5.0})
    assert not metric.reached({"loss": 0.2, "accuracy": 0.95, "latency": 6.0})
    assert not metric.reached({"loss": math.nan, "accuracy": 0.95, "latency": 1.0})


def test_at_a_rung_a_trial_that_breaks_a_bound_loses_to_one_that_does_not():
    run = Run(small_spec(metric=[LOSS, LATENCY]), slots=3)
    run.begin()
    for _ in range(3):
        run.start()
    run.report(0, 1, 1, loss=0.9, latency=1.0)
    decision = run.report(1, 1, 1, loss=0.1, latency=7.0)
    assert decision.action == "stop"
    assert decision.reason == "2 of 2 at rung 1 (latency 7 (max 5)): not within the best 1"
    assert run.report(2, 1, 1, loss=0.8, latency=5.0).action == "advance"


def test_study_of_two_objectives_ends_with_its_front():
    run = Run(
        small_spec(metric=[LOSS, ACCURACY], scheduler=Scheduler(type="none", max_t=1), budget=Budget(trials=3)), slots=3
    )
    run.begin()
    for number, (loss, accuracy) in enumerate([(0.1, 0.5), (0.2, 0.9), (0.3, 0.8)]):
        run.start()
        run.report(number, 1, 1, loss=loss, accuracy=accuracy)
        run.end(number, 1, "returned")
    assert [each.number for each in run.machine.front()] == [0, 1]
    assert run.machine.best.number == 0


def test_trial_that_never_reported_one_of_its_objectives_has_failed():
    run = Run(small_spec(metric=[LOSS, ACCURACY]))
    run.begin()
    run.start()
    assert run.report(0, 1, 1, loss=0.1).reason == "accuracy is missing at rung 1: it can't advance"
    run.end(0, 1, "stopped")
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].reason == "the metric accuracy was never reported; it reported loss."


@pytest.mark.parametrize("value", [math.nan, None])
@pytest.mark.parametrize(
    "rules", [{}, {"promote": True}, {"type": "hyperband", "brackets": 1}, {"type": "median"}, {"type": "pbt"}], ids=str
)
def test_a_report_without_a_number_never_advances(rules, value):
    run = Run(small_spec(scheduler=Scheduler(max_t=9, **rules), budget=Budget(trials=2)), slots=2)
    run.begin()
    run.start()
    run.start()
    run.report(0, 1, 1, loss=0.5)
    assert run.report(1, 1, 1, **({} if value is None else {"loss": value})).action in ("stop", "pause")
