"""The median rule."""

import statistics

from hypothesis import given
from hypothesis import strategies as st

from sweep.core.objectives import Objectives
from sweep.core.schedulers.median import MIN_PEERS, Median
from sweep.core.spec import Metric, Scheduler
from sweep.core.trial import Trial, TrialState

NUMBERS = st.floats(-100, 100, allow_nan=False)
THREE = st.lists(NUMBERS, min_size=3, max_size=3)


def rule(grace_period=1, *metrics):
    return Median(Scheduler(type="median", max_t=100, grace_period=grace_period), Objectives(metrics or [LOSS]))


LOSS = Metric(name="loss", goal="minimize")


def show(median, number, *values, name="loss"):
    trial = Trial(number, {}, 0, 0.0)
    return [median.report(trial, t, {name: value}) for t, value in enumerate(values, start=1)][-1]


@given(peers=st.lists(THREE, min_size=MIN_PEERS, max_size=8), own=THREE)
def test_a_trial_stops_when_its_best_is_worse_than_the_median_of_the_others_averages(peers, own):
    median = rule(3)
    for number, values in enumerate(peers):
        show(median, number, *values)
    middle = statistics.median([statistics.fmean(values) for values in peers])
    decision = show(median, len(peers), *own)
    if abs(min(own) - middle) > 1e-9:
        assert (decision.action == "stop") == (min(own) > middle), decision


def test_nobody_is_stopped_in_the_grace_period_or_with_too_few_others():
    median = rule(2)
    for number in range(MIN_PEERS - 1):
        show(median, number, 0.1, 0.1)
    assert show(median, 8, 9.0).action == "advance"
    assert show(median, 9, 9.0, 9.0).action == "advance"
    assert show(median, 10, 9.0, 9.0).action == "stop"


def test_maximize_turns_it_round():
    median = rule(1, Metric(name="acc", goal="maximize"))
    for number, value in enumerate([0.5, 0.6, 0.7]):
        show(median, number, value, name="acc")
    assert show(median, 3, 0.8, name="acc").action == "advance"
    decision = show(median, 4, 0.1, name="acc")
    assert decision.action == "stop"
    assert decision.reason == "best so far 0.1, the median of 4 others' averages 0.65 at epoch 1"


def test_failed_trial_is_forgotten():
    median = rule()
    for number in range(3):
        show(median, number, 0.1)
    median.ended(Trial(0, {}, 0, 0.0, state=TrialState.FAILED))
    assert show(median, 3, 9.0).action == "advance", "two others are too few"


def test_values_beyond_a_bound_count_for_nothing():
    median = rule(1, LOSS, Metric(name="size", max=5.0))
    for number in range(3):
        median.report(Trial(number, {}, 0, 0.0), 1, {"loss": 0.5, "size": 1.0})
    assert median.report(Trial(3, {}, 0, 0.0), 1, {"loss": 0.1, "size": 9.0}).action == "stop"
