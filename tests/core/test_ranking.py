"""Who is better than whom: by one value, and by several of which none counts more."""

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.core.objectives import Score
from sweep.core.ranking import Ranking, beats, layers, spread

VALUES = st.integers(0, 6).map(float)
POINTS = st.lists(st.tuples(VALUES, VALUES), max_size=25)
SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 1.0, math.inf]), st.tuples(VALUES, VALUES)), max_size=25)


def plain_layers(points):
    """By the definition: take away the front, again and again."""
    left, found, k = set(range(len(points))), [0] * len(points), 0
    while left:
        front = {i for i in left if not any(beats(points[j], points[i]) for j in left)}
        for i in front:
            found[i] = k
        left, k = left - front, k + 1
    return found


@given(points=POINTS)
def test_layers_are_front_after_front(points):
    assert layers(points) == plain_layers(points)


@given(points=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=20))
def test_layers_of_three_objectives_too(points):
    assert layers(points) == plain_layers(points)
    assert [min(layer, 1) for layer in plain_layers(points)] == layers(points, most=1)


@given(points=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=12, unique=True))
def test_spread_leads_with_the_best_first_value_and_then_goes_far(points):
    order = spread(points)
    assert sorted(order) == list(range(len(points)))
    assert points[order[0]] == min(points)
    if len(points) > 1:
        ranges = [max(column) - min(column) or 1.0 for column in zip(*points, strict=True)]
        far = [
            math.dist(*([x / r for x, r in zip(points[i], ranges, strict=True)] for i in (order[0], j))) for j in order
        ]
        assert math.isclose(far[1], max(far))


def test_scale_of_an_objective_does_not_matter():
    points = [(0.0, 10.0), (1.0, 9.0), (5.0, 4.0), (9.0, 1.0), (10.0, 0.0)]
    assert spread(points) == spread([(x, 1000 * y) for x, y in points]) == [0, 4, 2, 1, 3]


@settings(max_examples=200)
@given(scores=SCORES, gone=st.sets(st.integers(0, 24)))
def test_ranking_is_the_same_whoever_came_first_and_whoever_has_left(scores, gone):
    scores = [Score(excess, values) for excess, values in scores]
    ranking, fresh = Ranking(), Ranking()
    for trial, score in enumerate(scores):
        ranking.add(trial, score)
    for trial in gone:
        ranking.discard(trial)
    kept = [trial for trial in reversed(range(len(scores))) if trial not in gone]
    for trial in kept:
        fresh.add(trial, scores[trial])
    order = ranking.best(len(ranking))
    assert order == fresh.best(len(fresh))
    assert sorted(order) == sorted(kept)
    # Within the bounds first, and whoever is beaten comes after whoever beats it.
    assert [scores[trial].excess for trial in order] == sorted(scores[trial].excess for trial in order)
    for before, after in itertools.combinations(order, 2):
        if not scores[after].excess:
            assert not beats(scores[after].values, scores[before].values)
    assert [ranking.place(trial) for trial in order if not scores[trial].excess] == list(
        range(1, sum(not scores[trial].excess for trial in order) + 1)
    )


@given(values=st.lists(VALUES, min_size=1, max_size=25))
def test_by_one_value_equals_share_the_better_place(values):
    ranking = Ranking()
    for trial, value in enumerate(values):
        ranking.add(trial, Score(0.0, (value,)))
    for trial, value in enumerate(values):
        assert ranking.place(trial) == 1 + sum(other < value for other in values)
