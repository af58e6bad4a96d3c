"""What more trials would buy: an estimate that is in the metric's own units, never negative, and right often enough."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core import convergence
from sweep.core.convergence import MIN_TRIALS, Record

VALUES = st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=MIN_TRIALS, max_size=80)


def outlook(values, trials):
    """Of trials that all came to the same fidelity."""
    return convergence.outlook([ended(value) for value in values], trials)


def ended(value, t=9):
    return Record(t, ((t, value),)) if math.isfinite(value) else Record()


@given(st.lists(st.floats(-1e3, 1e3), max_size=MIN_TRIALS - 1), st.integers(0, 100))
def test_few_trials_tell_nothing(values, trials):
    assert outlook(values, trials) is None


@given(VALUES, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_amounts_are_in_order_and_never_negative(values, trials):
    found = outlook(values, trials)
    assert 0 <= found.low <= found.high < math.inf
    assert 0 <= found.gain < math.inf


@given(VALUES, st.integers(0, 50), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_more_trials_never_promise_less(values, trials, more):
    fewer, many = outlook(values, trials), outlook(values, trials + more)
    assert many.gain >= fewer.gain * (1 - 1e-9)
    assert many.high >= fewer.high * (1 - 1e-9)


@given(VALUES, st.integers(1, 50), st.floats(0.01, 100), st.integers(-100, 100))
@settings(max_examples=60, deadline=None)
def test_estimate_is_in_the_units_of_the_metric(values, trials, scale, shift):
    found = outlook(values, trials)
    moved = outlook([scale * value + shift for value in values], trials)
    # Values that differ in their last digits alone may become equal when they are shifted.
    assert moved.gain == pytest.approx(scale * found.gain, rel=1e-3, abs=1e-6)
    assert moved.high == pytest.approx(scale * found.high, rel=1e-3, abs=1e-6)


@given(VALUES)
@settings(max_examples=30, deadline=None)
def test_no_more_trials_buy_nothing(values):
    assert outlook(values, 0).high == 0


def test_equal_values_promise_nothing():
    assert outlook([0.5] * 40, 40).high == 0


def test_trials_that_came_to_nothing_count_as_such():
    generator = random.Random(3)
    values = [generator.random() for _ in range(40)]
    spread = [value for pair in zip(values, [math.inf] * 40, strict=True) for value in pair]
    assert outlook([math.inf] * 40, 40) is None
    assert outlook(spread, 40).gain > 0


def distance(parameters):
    """From a minimum inside a box: what searches with so many parameters that matter look like near their best."""
    return lambda draw: sum((draw.random() - 0.3) ** 2 for _ in range(parameters))


@pytest.mark.parametrize(
    "value",
    [
        lambda draw: draw.random(),
        lambda draw: draw.betavariate(2, 5),
        lambda draw: draw.lognormvariate(0, 1),
        distance(2),
        distance(4),
        distance(6),
    ],
    ids=["uniform", "beta", "lognormal", "2 parameters", "4 parameters", "6 parameters"],
)
@pytest.mark.parametrize("trials", [30, 120])
def test_interval_holds_what_random_search_really_gains(value, trials):
    held, repeats = 0, 40
    for seed in range(repeats):
        draw = random.Random(1000 * trials + seed)
        values = [value(draw) for _ in range(trials)]
        gain = max(0.0, min(values) - min(value(draw) for _ in range(trials)))
        found = outlook(values, trials)
        held += found.low <= gain <= found.high
    assert held >= 0.85 * repeats, "said to hold in 90 of 100"


def stopped(draw, t, spread, offset):
    """A trial that was stopped at `t`, of whose value its config explains this much there."""
    return Record(t, ((t, offset + spread * draw.random()),))


def far(draw):
    """A trial that came to the end: a wide value on its way, a narrow one there."""
    early = 2 + draw.random()
    return Record(9, ((1, early), (9, 1 + 0.01 * draw.random())))


def test_values_of_trials_that_were_stopped_early_dont_widen_the_estimate():
    draw = random.Random(5)
    ended_far = [far(draw) for _ in range(12)]
    mixed = [record for one in ended_far for record in (one, stopped(draw, 1, 1.0, 2.0), stopped(draw, 1, 1.0, 2.0))]
    found = convergence.outlook(mixed, 36)
    assert 0 < found.gain < 0.01
    assert found.high < 0.05, "by the spread of those that came to the end, not that of all"


def test_too_few_that_came_far_are_compared_where_enough_came_to():
    draw = random.Random(6)
    records = [stopped(draw, 1, 1.0, 2.0) for _ in range(30)] + [far(draw) for _ in range(9)]
    near = convergence.outlook(records, 30)
    one_more = convergence.outlook([*records, far(draw)], 30)
    assert near.high > 10 * one_more.high


def test_best_so_far_is_that_of_all_trials_and_not_of_the_last_ones():
    draw = random.Random(7)
    later = [ended(1 + draw.random()) for _ in range(60)]
    assert convergence.outlook([ended(-5.0), *later], 60).high == 0


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(-1e3, 1e3)), max_size=9), st.integers(0, 10))
def test_record_shows_the_best_up_to_a_fidelity_that_the_trial_came_to(reports, t):
    reports = sorted(dict(reports).items())
    lowest = [(when, value) for when, value in reports if value < min((v for w, v in reports if w < when), default=1e9)]
    record = Record(reports[-1][0] if reports else 0, tuple(lowest))
    seen = [value for when, value in reports if when <= t]
    assert record.at(t) == (min(seen) if seen and t <= record.t else math.inf)
