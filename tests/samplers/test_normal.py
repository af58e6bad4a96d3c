"""The distribution that CMA-ES moves."""

import numpy as np
import pytest

from sweep.samplers.normal import Normal, Rates


def ellipsoid(point):
    scale = 10.0 ** (4 * np.arange(len(point)) / (len(point) - 1))
    return float(scale @ (point - 0.7) ** 2)


def rosenbrock(point):
    x = 4 * point - 2
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def descend(function, n, generations, *, seed=0, late=0, outsider=None):
    """The best value; with `late`, a generation is drawn from the distribution of so many before."""
    random, size = np.random.default_rng(seed), 4 + int(3 * np.log(n))
    normals, best = [Normal.first(np.full(n, 0.5), size)], np.inf
    for _ in range(generations):
        points = [normals[max(0, len(normals) - 1 - late)].draw(random, np.zeros(n)) for _ in range(size)]
        if outsider is not None:
            points[0] = np.asarray(outsider)
        values = [function(point) for point in points]
        best = min(best, *values)
        normals.append(normals[-1].learn(np.array([points[place] for place in np.argsort(values)])))
    return best, normals[-1]


@pytest.mark.parametrize(
    ("function", "n", "within"), [(ellipsoid, 5, 1e-8), (rosenbrock, 2, 1e-8), (ellipsoid, 10, 0.1)]
)
def test_it_finds_the_bottom_of_ill_conditioned_valleys(function, n, within):
    assert descend(function, n, 200)[0] < within


def test_points_of_an_older_distribution_dont_throw_it_off():
    assert descend(ellipsoid, 5, 200, late=1)[0] < 1e-4


def test_a_point_from_far_away_in_each_generation_doesnt_blow_it_up():
    best, normal = descend(ellipsoid, 5, 200, outsider=[0.0, 1.0, 0.0, 1.0, 0.0])
    assert best < 1e-2
    assert np.all(normal.spread < 0.5)
    assert np.all(np.linalg.eigvalsh(normal.covariance) > 0)


def test_draws_lie_in_the_cube_and_leave_a_value_of_a_list():
    random, steps = np.random.default_rng(0), np.array([0.0, 0.25])
    narrow = Normal(np.array([1.02, 0.375]), 1e-6, np.eye(2), np.zeros(2), np.zeros(2), 9, 6)
    points = np.array([narrow.draw(random, steps) for _ in range(300)])
    assert np.all((points >= 0) & (points <= 1))
    assert 10 < np.sum(np.floor(points[:, 1] / 0.25) != 1) < 100


def test_weights_of_a_generation_favour_the_better_half():
    rates = Rates(4, 8)
    assert np.isclose(rates.weights[:4].sum(), 1)
    assert np.all(np.diff(rates.weights) < 0)
    assert np.all(rates.weights[4:] < 0)
