"""Grids: how many configs, in which order."""

import pytest
from spec_files import MINIMAL

from sweep.core import grid
from sweep.core.feasibility import problems
from sweep.core.loading import load
from sweep.core.resolved import resolved_yaml
from sweep.core.space import Space
from sweep.errors import SpecError

FINITE = MINIMAL.replace("{min: 1e-5, max: 1e-1, log: true}", "[1, 2]")
SPACE = FINITE + "  n: {min: 1, max: 6, step: 2}\n  c: {values: [x, y], when: {n: 3}}\n"
GRID = "search: {algorithm: grid}\n"


def _space(text):
    return Space(load(text, source="vit.yaml"))


def test_configs_are_counted_with_conditions_and_constraints():
    assert grid.count(_space(SPACE)) == 2 * (1 + 2 + 1)
    assert grid.count(_space(SPACE + 'constraints: ["n + lr != 2"]\n')) == 7
    assert grid.count(_space(SPACE), 8) == 8
    assert grid.count(_space(SPACE), 7) is None


def test_continuous_and_endless_spaces_are_not_counted():
    assert grid.count(_space(MINIMAL)) is None
    assert grid.count(_space(FINITE + "  n: {min: 1, max: 9000000000}\n")) is None
    assert grid.count(_space(FINITE + '  n: {min: 1, max: 90000}\nconstraints: ["n == 7"]\n'), 5) is None


def test_order_has_each_config_once_and_depends_on_the_seed():
    space = _space(SPACE)
    first, second = grid.order(space, 0), grid.order(space, 1)
    assert first != second
    assert first == grid.order(space, 0)
    assert len({space.key(config) for config in first}) == len(first) == 8
    assert sorted(map(str, first)) == sorted(map(str, second))


def test_what_has_no_grid_is_said_with_its_line():
    with pytest.raises(SpecError) as caught:
        load(MINIMAL + "  w: {min: 0.5, max: 1.0}\n" + GRID, source="vit.yaml")
    assert caught.value.problems == [
        "vit.yaml:4:7: parameters.lr: is a continuous range, which has no grid. Write a list of values.",
        (
            "vit.yaml:5:6: parameters.w: is a continuous range, which has no grid. "
            "Give it a step, or write a list of values."
        ),
    ]


@pytest.mark.parametrize("more", ["  n: {min: 1, max: 100001}\n", "  n: {min: 1, max: 60000, when: {lr: [1, 2]}}\n"])
def test_a_grid_that_is_too_large_is_refused(more):
    (line,) = problems(load(FINITE + more + GRID, source="vit.yaml"))
    assert line.startswith("vit.yaml:6:21: search.algorithm: the grid has more than 100000 configs.")


def test_a_grid_needs_no_budget_and_keeps_the_one_it_has():
    spec = load(FINITE + GRID, source="vit.yaml")
    assert spec.budget.trials is None
    assert load(resolved_yaml(spec), source="vit.yaml") == spec
    assert load(FINITE + GRID + "budget: {trials: 7}\n", source="vit.yaml").budget.trials == 7
    assert load(FINITE, source="vit.yaml").budget.trials == 50
