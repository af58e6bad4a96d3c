"""ASHA's stopping form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.core.schedulers.asha import Asha, draw_bracket, judge, ladder
from sweep.core.spec import Metric, Scheduler

LOSS = Metric(name="loss", goal="minimize")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def test_ladder_climbs_by_the_reduction_factor_and_ends_below_max_t():
    assert ladder(Scheduler(max_t=27, grace_period=1, reduction_factor=3)) == [1, 3, 9]
    assert ladder(Scheduler(max_t=28, grace_period=1, reduction_factor=3)) == [1, 3, 9, 27]
    assert ladder(Scheduler(max_t=27, brackets=2), bracket=1) == [3, 9]
    assert ladder(Scheduler(max_t=1)) == []


@given(peers=st.lists(NUMBERS, max_size=40), value=NUMBERS, factor=st.integers(2, 5))
def test_only_the_best_share_of_a_rung_advances(peers, value, factor):
    decision = judge(value, sorted(peers), reduction_factor=factor, rung=1)
    better = sum(peer < value for peer in peers)
    places = max(1, (len(peers) + 1) // factor)
    assert (decision.action == "advance") == (better < places)


@given(peers=st.lists(NUMBERS, max_size=10))
def test_nan_never_advances(peers):
    assert judge(math.nan, sorted(peers), reduction_factor=2, rung=1).action == "stop"


@pytest.mark.parametrize("value", [None, math.nan])
def test_missing_value_stops_and_is_not_recorded(value):
    asha = Asha(Scheduler(max_t=27), LOSS)
    decision = asha.report(0, 0, 1, value)
    assert decision.action == "stop"
    assert "it can't advance" in decision.reason
    assert asha.recorded()[1] == 0


def test_reduction_factor_below_two_is_refused():
    with pytest.raises(ValueError, match="reduction_factor is 1; below 2 nobody would be stopped"):
        judge(1.0, [], reduction_factor=1, rung=1)


def test_report_between_rungs_is_not_judged():
    asha = Asha(Scheduler(max_t=27), LOSS)
    asha.report(0, 0, 1, 0.1)
    assert asha.report(0, 0, 2, 99.0).action == "advance"
    assert asha.recorded() == {1: 1, 3: 0, 9: 0}


def test_report_past_several_rungs_is_judged_at_the_highest_alone():
    """Its value would be unfair to those who stood at the lower ones (and Ray's ASHA would record it there later)."""
    asha = Asha(Scheduler(max_t=27), LOSS)
    assert asha.report(0, 0, 5, 0.5).rung == 3
    assert asha.report(0, 0, 6, 0.5).rung is None
    assert asha.recorded() == {1: 0, 3: 1, 9: 0}


def test_maximize_turns_the_order_round():
    asha = Asha(Scheduler(max_t=27), Metric(name="accuracy", goal="maximize"))
    assert asha.report(0, 0, 1, 0.5).action == "advance"
    assert asha.report(1, 0, 1, 0.4).action == "stop"
    assert asha.report(2, 0, 1, 0.6).action == "advance"


def test_rungs_of_different_brackets_do_not_mix():
    asha = Asha(Scheduler(max_t=27, brackets=2), LOSS)
    asha.report(0, 0, 3, 0.1)
    assert asha.report(1, 1, 3, 0.9).action == "advance"


def test_infinite_value_is_worse_than_any_number():
    asha = Asha(Scheduler(max_t=27), LOSS)
    asha.report(0, 0, 1, 1e30)
    assert asha.report(1, 0, 1, math.inf).action == "stop"


@given(seed=st.integers(0, 2**31 - 1), trial=st.integers(0, 10_000), brackets=st.integers(1, 4))
def test_bracket_depends_on_seed_and_number_alone(seed, trial, brackets):
    scheduler = Scheduler(max_t=100, brackets=brackets)
    drawn = draw_bracket(scheduler, seed, trial)
    assert 0 <= drawn < brackets
    assert drawn == draw_bracket(scheduler, seed, trial)


def test_most_trials_start_at_the_lowest_rung():
    scheduler = Scheduler(max_t=100, brackets=3)
    drawn = [draw_bracket(scheduler, 0, trial) for trial in range(600)]
    assert drawn.count(0) > drawn.count(1) > drawn.count(2) > 0
