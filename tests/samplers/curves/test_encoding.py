"""Configs as points, there and back."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.samplers.curves.encoding import Encoding

SPACE = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.6, step=0.2),
    "width": IntDistribution(8, 64, step=8),
    "layers": IntDistribution(1, 9, log=True),
    "act": CategoricalDistribution(["relu", None, 1, True]),
}
UNITS = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(np.array)


@given(UNITS)
def test_every_point_of_the_cube_is_a_config_of_the_space(units):
    params = Encoding(SPACE).params(units)
    for name, known in SPACE.items():
        assert known._contains(known.to_internal_repr(params[name]))


@given(UNITS)
def test_a_config_comes_back_from_its_own_point(units):
    encoding = Encoding(SPACE)
    params = encoding.params(units)
    again = encoding.params(encoding.units(params))
    assert again == params or np.isclose(again.pop("lr"), params.pop("lr"))
    assert {name: type(value) for name, value in again.items()} == {name: type(params[name]) for name in again}


@given(UNITS)
def test_a_point_and_its_config_have_the_same_row(units):
    encoding = Encoding(SPACE)
    assert np.allclose(encoding.rows(units[None])[0], encoding.row(encoding.params(units)), atol=1e-9)


def test_values_of_a_list_are_all_as_far_from_each_other():
    encoding = Encoding({"act": SPACE["act"]})
    rows = np.array([encoding.row({"act": value}) for value in ("relu", None, 1, True)])
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert np.allclose(distances[~np.eye(4, dtype=bool)], 1.0)


def test_each_value_of_a_grid_has_an_equal_part_of_the_cube():
    encoding = Encoding({"width": SPACE["width"]})
    found = [encoding.params(np.array([unit]))["width"] for unit in np.linspace(0.001, 0.999, 800)]
    assert set(found) == set(range(8, 65, 8))
    assert max(map(found.count, set(found))) - min(map(found.count, set(found))) <= 2


def test_what_a_config_lacks_stands_in_the_middle_and_chooses_nothing():
    encoding = Encoding(SPACE)
    row = encoding.row({"lr": 1e-3})
    assert row[encoding.groups[2]] == 0.5
    assert not row[encoding.groups[4]].any()


def test_values_outside_the_range_count_as_its_end():
    encoding = Encoding({"lr": SPACE["lr"]})
    assert encoding.units({"lr": 5.0}) == 1.0
    assert encoding.units({"lr": 1e-9}) == 0.0
