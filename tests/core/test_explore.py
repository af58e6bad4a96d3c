"""A config near another."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.core.loading import load
from sweep.core.schedulers.explore import explored_names, moved, neighbour
from sweep.core.space import Space, contains
from sweep.core.spec import Choice, FloatRange, IntRange

TEXT = """\
entrypoint: a.b:train
metric: {name: loss, goal: minimize}
parameters:
  lr: {min: 1e-5, max: 1e-1, log: true}
  decay: {min: 0.0, max: 1.0, step: 0.1}
  width: {min: 16, max: 256, step: 16}
  depth: {min: 1, max: 8}
  size: {values: [s, m, l], ordered: true}
  optimizer: [sgd, adam]
  momentum: {min: 0.5, max: 0.99, when: {optimizer: sgd}}
  seed: 3
constraints: ["width * depth <= 512"]
"""
START = {
    "lr": 1e-3, "decay": 0.3, "width": 64, "depth": 4, "size": "m", "optimizer": "sgd", "momentum": 0.9, "seed": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def space():
    return Space(load(TEXT, source="s.yaml"))


@given(seed=st.integers(0, 10_000))
def test_neighbours_lie_in_the_space_within_its_constraints(seed):
    space = Space(load(TEXT, source="s.yaml"))
    found = neighbour(space, START, list(space.proposed), random.Random(seed))
    assert contains(space.parameters, found) == []
    assert space.broken(found) == []
    assert found != START
    assert found == neighbour(space, START, list(space.proposed), random.Random(seed)), "by the generator alone"


@given(seed=st.integers(0, 1000))
def test_what_may_not_change_does_not(seed):
    space = Space(load(TEXT, source="s.yaml"))
    found = neighbour(space, START, ["lr"], random.Random(seed))
    assert {**found, "lr": 0} == {**START, "lr": 0}


def test_real_ranges_may_change_unless_the_file_names_others(space):
    assert explored_names(space, None) == ["lr", "decay", "momentum"]
    assert explored_names(space, ["depth", "lr"]) == ["lr", "depth"]


@given(
    parameter=st.sampled_from([
        FloatRange(min=-1.0, max=1.0),
        FloatRange(min=1e-6, max=1.0, log=True),
        FloatRange(min=0.0, max=0.9, step=0.3),
        IntRange(min=1, max=4),
        IntRange(min=-8, max=8, step=4),
        Choice(values=["a", "b", "c"], ordered=True),
    ]),
    data=st.data(),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_numbers_and_ordered_values_always_move_and_never_leave_their_range(parameter, data, seed):
    from sweep.core.drawing import draw_value
    from sweep.core.values import value_problem

    start = draw_value(parameter, random.Random(data.draw(st.integers(0, 1000))))

    class NeverAnew(random.Random):
        """Draws no value anew."""

        def random(self):
            return 0.25 + super().random() * 0.75

    found = moved(parameter, start, NeverAnew(seed))
    assert value_problem(parameter, found) is None
    if start != 0:
        assert found != start


def test_config_that_is_hemmed_in_stays_as_it_is():
    text = TEXT.replace('constraints: ["width * depth <= 512"]', 'constraints: ["depth == 4"]')
    space = Space(load(text, source="s.yaml"))
    assert neighbour(space, START, ["depth"], random.Random(0)) == START
