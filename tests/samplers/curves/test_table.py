"""What the model is told of curves."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from sweep.samplers.curves.table import Curve, Ladder, gather, scale, thin

LADDER = Ladder.geometric(1, 27, 3)


def curve(number, values, status="ended", until=None):
    passed = tuple(LADDER.passed(values))
    return Curve(number, np.array([0.5]), np.array([0.5]), tuple(values.items()), passed, status, until)


def test_rungs_are_geometric_and_end_at_max_t():
    assert LADDER.rungs == (1, 3, 9, 27)
    assert Ladder.geometric(2, 52, 3).rungs == (2, 6, 18, 52)
    assert Ladder.geometric(5, 5, 3).rungs == (5,)
    assert LADDER.knots == pytest.approx([1, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, []),
        ({1: 5.0}, [(1, 5.0)]),
        ({1: 5.0, 2: 6.0, 3: 7.0}, [(1, 5.0), (3, 5.0)]),
        ({1: 5.0, 2: 4.0}, [(1, 5.0), (2, 4.0)]),
        ({2: 5.0, 4: 3.0, 10: 4.0}, [(3, 5.0), (9, 3.0), (10, 3.0)]),
        ({27: 1.0}, [(27, 1.0)]),
        ({9: 2.0, 27: 3.0}, [(9, 2.0), (27, 2.0)]),
    ],
)
def test_model_is_told_the_best_so_far_at_rungs_and_at_the_last_report(values, told):
    assert list(LADDER.passed(values)) == told


@given(st.dictionaries(st.integers(1, 27), st.floats(-5, 5), max_size=12))
def test_what_is_told_only_gets_better_and_ends_at_the_best(values):
    values = dict(sorted(values.items()))
    told = list(LADDER.passed(values))
    assert [t for t, _ in told] == sorted({t for t, _ in told})
    best = [value for _, value in told]
    assert best == sorted(best, reverse=True)
    if told:
        assert best[-1] == min(values.values())


def test_failed_trial_counts_as_the_worst_where_it_failed():
    table = gather(
        [curve(0, {1: 1.0}), curve(1, {1: 3.0}), curve(2, {}, "failed"), curve(3, {1: 2.0}, "failed")], LADDER
    )
    assert list(table.seen.trials) == [0, 1, 3, 2, 3]
    assert table.values[3] == table.values[4] == table.values.max()
    assert list(table.seen.left) == pytest.approx([1, 1, 1, 1, 2 / 3])


def test_nothing_reported_is_no_table():
    assert gather([curve(0, {}, "running"), curve(1, {}, "failed")], LADDER) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_scaling_keeps_the_order_of_the_good_ones(values):
    values = np.array(values)
    scaled = scale(values)
    assert np.all(np.isfinite(scaled))
    good = values <= np.median(values)
    assert np.all(np.diff(scaled[good][np.argsort(values[good])]) >= -1e-9)


def test_one_terrible_value_doesnt_set_the_scale_of_the_others():
    assert scale(np.array([1.0, 1.1, 1.2, 1e9])) == pytest.approx(scale(np.array([1.0, 1.1, 1.2, 1e3])))


def test_thinning_keeps_whole_trials_the_best_and_those_that_got_far():
    random = np.random.default_rng(0)
    curves = [curve(n, {t: float(random.random()) for t in (1, 3, 9, 27)[: 1 + (n % 10 == 0) * 3]}) for n in range(200)]
    table = gather(curves, LADDER)
    seen, values = thin(table, 60, random)
    assert len(values) <= 60
    assert seen.trials.size == len(values)
    for number in set(seen.trials):
        assert (seen.trials == number).sum() == len(curves[number].passed)
    assert (seen.left == 0).sum() >= 7
    assert values.min() == table.best
    whole, _ = thin(table, 10_000, random)
    assert len(whole) == len(table.values)


def test_curve_knows_its_best_and_how_far_it_got():
    assert curve(0, {1: 5.0, 2: 4.0, 3: 6.0}).best == 4.0
    assert curve(0, {1: 5.0, 2: 4.0}).t == 2
    assert curve(0, {}).best == math.inf
    assert curve(0, {}).t == 0
