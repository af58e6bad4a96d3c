"""The model of all curves: what it believes before and after it has seen something."""

import itertools

import numpy as np
import pytest

from sweep.samplers.curves.model import CurveModel, Form, Points, _Loss

KNOTS = [1.0, 0.66, 0.33, 0.0]


def points(random, count, *, columns=3, trials=None):
    numbers = random.integers(0, trials or count, count)
    return Points(random.random((count, columns)), random.choice(KNOTS, count), numbers)


def form():
    return Form([np.array([0]), np.array([1, 2])], KNOTS)


def test_gradient_of_the_fit_is_that_of_its_loss():
    random = np.random.default_rng(0)
    seen = points(random, 30, trials=12)
    loss = _Loss(form(), seen, random.normal(size=30))
    theta = form().prior + 0.2 * random.normal(size=len(form().prior))
    _, gradient = loss(theta)
    for place, slope in enumerate(gradient):
        step = np.zeros_like(theta)
        step[place] = 1e-5
        numeric = (loss(theta + step)[0] - loss(theta - step)[0]) / 2e-5
        assert slope == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_what_was_seen_is_believed_and_what_is_far_isnt():
    random = np.random.default_rng(1)
    rows = random.random((25, 2))
    values = np.sin(4 * rows[:, 0]) + rows[:, 1]
    values = (values - values.mean()) / values.std()
    seen = Points(rows, np.zeros(25), np.arange(25))
    model = CurveModel(Form([np.array([0]), np.array([1])], KNOTS))
    model.fit(seen, values)
    model.condition(seen, values)
    here = model.believe(seen)
    assert np.abs(here.mean - values).max() < 0.3
    far = model.believe(Points(np.full((1, 2), 5.0), np.zeros(1), np.array([-1])))
    assert far.deviation[0] > 2 * here.deviation.max()


def test_fit_finds_scales_that_explain_better():
    random = np.random.default_rng(2)
    seen = points(random, 60, trials=30)
    values = np.sin(6 * seen.rows[:, 0])
    values = (values - values.mean()) / values.std()
    model = CurveModel(form())
    loss = _Loss(form(), seen, values)
    before = loss(model.theta)[0]
    model.fit(seen, values)
    assert loss(model.theta)[0] < before - 5


@pytest.mark.parametrize(("honest", "told"), [(True, 0.75), (False, 0.35)])
def test_low_rungs_are_trusted_as_far_as_they_deserve(honest, told):
    """Where the first rung shows the end, a good start raises hopes; where it shows nothing, hardly."""
    random = np.random.default_rng(3)
    count = 40
    rows = random.random((count, 1))
    ends = random.normal(size=count)
    starts = ends + 0.05 * random.normal(size=count) if honest else random.normal(size=count)
    trials = np.arange(count)
    seen = Points(rows, np.ones(count), trials) + Points(rows, np.zeros(count), trials)
    values = np.concatenate([starts, ends])
    model = CurveModel(Form([np.array([0])], KNOTS))
    model.fit(seen, values)
    fresh = Points(np.array([[0.5], [0.51]]), np.ones(2), np.array([100, 101]))
    model.condition(seen + fresh, np.concatenate([values, [-1.0, 1.0]]))
    good, bad = model.believe(Points(fresh.rows, np.zeros(2), fresh.trials)).mean
    assert ((bad - good) / 2 > told) == honest


def test_a_first_rung_that_shows_the_opposite_turns_hopes_round():
    """A good start lowers them where those that led at the first rung ended behind."""
    random = np.random.default_rng(6)
    rows = random.random((20, 1))
    trials = np.arange(20)
    ends = np.sin(6 * rows[:, 0])
    starts = -0.5 * ends + 0.05 * random.normal(size=20)
    seen = Points(rows, np.ones(20), trials) + Points(rows, np.zeros(20), trials)
    values = np.concatenate([starts, ends])
    model = CurveModel(Form([np.array([0])], KNOTS))
    model.fit(seen, values)
    fresh = Points(np.array([[4.0], [8.0]]), np.ones(2), np.array([100, 101]))
    model.condition(seen + fresh, np.concatenate([values, [-0.4, 0.4]]))
    good, bad = model.believe(Points(fresh.rows, np.zeros(2), fresh.trials)).mean
    assert good > bad + 0.2


def test_learning_is_foreseen_from_where_something_can_be_learned():
    random = np.random.default_rng(4)
    rows = random.random((20, 1))
    trials = np.arange(20)
    ends = np.cos(5 * rows[:, 0])
    seen = Points(rows, np.ones(20), trials) + Points(rows, np.zeros(20), trials)
    model = CurveModel(Form([np.array([0])], KNOTS))
    values = np.concatenate([ends + 0.1 * random.normal(size=20), ends])
    model.fit(seen, values)
    model.condition(seen, values)
    asked = Points(np.array([[0.3], [3.0]]), np.zeros(2), np.array([-1, -2]))
    at_end = model.believe(asked)
    for left in KNOTS[:-1]:
        there = np.full(2, left)
        foreseen = model.foreseen(at_end, model.believe(Points(asked.rows, there, asked.trials)), there)
        assert np.all(foreseen <= at_end.deviation)
        assert foreseen[1] > foreseen[0]


def test_points_keep_together():
    random = np.random.default_rng(5)
    a, b = points(random, 4), points(random, 3)
    both = a + b
    assert len(both) == 7
    for left, right in itertools.pairwise([both[np.arange(4, 7)], b]):
        assert np.array_equal(left.rows, right.rows)
        assert np.array_equal(left.trials, right.trials)
