"""ASHA's stopping form."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sweep.core.objectives import Objectives
from sweep.core.schedulers.asha import Asha
from sweep.core.schedulers.rungs import draw_bracket, ladder
from sweep.core.spec import Metric, Scheduler
from sweep.core.trial import Trial, TrialState

LOSS = Metric(name="loss", goal="minimize")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


class Judged:
    """ASHA with trials that have nothing but a number and a bracket."""

    def __init__(self, metric=LOSS, **rules):
        self.asha = Asha(Scheduler(**{"max_t": 27, **rules}), Objectives([metric]), seed=0)
        self.name = metric.name

    def report(self, number, bracket, t, value):
        metrics = {} if value is None else {self.name: value}
        return self.asha.report(Trial(number, {}, bracket, 0.0), t, metrics)

    def recorded(self, bracket=0):
        return self.asha.rungs.recorded(bracket)


def test_ladder_climbs_by_the_reduction_factor_and_ends_below_max_t():
    assert ladder(Scheduler(max_t=27, grace_period=1, reduction_factor=3)) == [1, 3, 9]
    assert ladder(Scheduler(max_t=28, grace_period=1, reduction_factor=3)) == [1, 3, 9, 27]
    assert ladder(Scheduler(max_t=27, brackets=2), bracket=1) == [3, 9]
    assert ladder(Scheduler(max_t=1)) == []


@given(peers=st.lists(NUMBERS, max_size=40), value=NUMBERS, factor=st.integers(2, 5))
def test_only_the_best_share_of_a_rung_advances(peers, value, factor):
    judged = Judged(reduction_factor=factor)
    for number, peer in enumerate(peers):
        judged.report(number, 0, 1, peer)
    decision = judged.report(len(peers), 0, 1, value)
    better = sum(peer < value for peer in peers)
    places = max(1, (len(peers) + 1) // factor)
    assert (decision.action == "advance") == (better < places)


@given(peers=st.lists(NUMBERS, max_size=10), value=st.sampled_from([None, math.nan]))
def test_nan_and_missing_values_stop_and_are_not_recorded(peers, value):
    judged = Judged()
    for number, peer in enumerate(peers):
        judged.report(number, 0, 1, peer)
    decision = judged.report(len(peers), 0, 1, value)
    assert decision.action == "stop"
    assert "it can't advance" in decision.reason
    assert judged.recorded()[1] == len(peers)


def test_failed_trial_leaves_its_rungs():
    judged = Judged()
    judged.report(0, 0, 1, 0.1)
    judged.report(0, 0, 3, 0.1)
    judged.asha.ended(Trial(0, {}, 0, 0.0, state=TrialState.STOPPED))
    assert judged.report(1, 0, 1, 0.2).action == "stop"
    judged.asha.ended(Trial(0, {}, 0, 0.0, state=TrialState.FAILED))
    assert judged.recorded() == {1: 1, 3: 0, 9: 0}
    assert judged.report(2, 0, 1, 0.15).action == "advance"


def test_report_between_rungs_is_not_judged():
    judged = Judged()
    judged.report(0, 0, 1, 0.1)
    assert judged.report(0, 0, 2, 99.0).action == "advance"
    assert judged.recorded() == {1: 1, 3: 0, 9: 0}


def test_report_past_several_rungs_is_judged_at_the_highest_alone():
    """Its value would be unfair to those who stood at the lower ones (and Ray's ASHA would record it there later)."""
    judged = Judged()
    assert judged.report(0, 0, 5, 0.5).rung == 3
    assert judged.report(0, 0, 6, 0.5).rung is None
    assert judged.recorded() == {1: 0, 3: 1, 9: 0}


def test_maximize_turns_the_order_round():
    judged = Judged(Metric(name="accuracy", goal="maximize"))
    assert judged.report(0, 0, 1, 0.5).action == "advance"
    assert judged.report(1, 0, 1, 0.4).action == "stop"
    assert judged.report(2, 0, 1, 0.6).action == "advance"


def test_rungs_of_different_brackets_do_not_mix():
    judged = Judged(brackets=2)
    judged.report(0, 0, 3, 0.1)
    assert judged.report(1, 1, 3, 0.9).action == "advance"


def test_infinite_value_is_worse_than_any_number():
    judged = Judged()
    judged.report(0, 0, 1, 1e30)
    assert judged.report(1, 0, 1, math.inf).action == "stop"


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
