"""What more trials would buy: an estimate that is in the metric's own units, never negative, and right often enough."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core.convergence import MIN_TRIALS, outlook

VALUES = st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=MIN_TRIALS, max_size=80)


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
