"""Configs at random, and all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_files import MINIMAL, exploring

from sweep.core.drawing import draw, draw_value, listed, values_of
from sweep.core.loading import load
from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.core.seeds import generator
from sweep.core.space import Space, contains
from sweep.core.values import value_problem

CONDITIONAL = """
  a: [x, y]
  b: {min: 1, max: 3, when: {a: x}}
  c: {values: [1, 2], when: {b: [2, 3]}}
  k: {value: 7, when: {c: 2}}
"""
FINITE = MINIMAL.replace("{min: 1e-5, max: 1e-1, log: true}", "[1, 2]")


def _space(text):
    return Space(load(text, source="vit.yaml"))


@pytest.mark.parametrize(
    "parameter",
    [
        FloatRange(min=1e-5, max=1.0, log=True),
        FloatRange(min=-1.0, max=1.0, step=0.3),
        FloatRange(min=-1.5e308, max=0.1e308),
        IntRange(min=1, max=9, log=True),
        IntRange(min=-4, max=9, step=3),
        IntRange(min=2**62, max=2**62 + 3),
        Choice(values=[1, None, "x"]),
    ],
)
def test_what_is_drawn_is_a_value_of_the_parameter(parameter):
    random = generator(0)
    drawn = [draw_value(parameter, random) for _ in range(300)]
    assert [value for value in drawn if value_problem(parameter, value)] == []
    if not isinstance(parameter, FloatRange) or parameter.step:
        assert set(drawn) == set(values_of(parameter))


@exploring(100)
@given(st.integers(0, 2**31))
def test_a_config_drawn_lies_in_the_space(seed):
    space = _space(MINIMAL + CONDITIONAL)
    assert contains(space.parameters, draw(space, generator(seed))) == []


def test_what_is_given_is_kept():
    space = _space(MINIMAL + CONDITIONAL)
    assert draw(space, generator(0), {"a": "x", "b": 2, "lr": 0.01})["b"] == 2


def test_each_config_of_a_finite_space_is_listed_once():
    configs = list(listed(_space(FINITE + CONDITIONAL)))
    assert len(configs) == 2 * (1 + 1 + 2 * 2)
    assert len({str(config) for config in configs}) == len(configs)
    assert {"lr": 1, "a": "x", "b": 3, "c": 2, "k": 7} in configs
    assert {"lr": 2, "a": "y"} in configs


def test_a_space_with_a_continuous_range_or_too_many_configs_is_not_listed():
    assert listed(_space(MINIMAL)) is None
    assert listed(_space(FINITE + "  n: {min: 1, max: 100000}\n")) is None
