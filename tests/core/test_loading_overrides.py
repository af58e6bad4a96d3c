"""`--set a.b=c` puts a value into the file and answers for it by name."""

import pytest
from spec_files import COMPLETE, MINIMAL, only, problems

from sweep.core.loading import load
from sweep.core.spec import Choice, Constant


def test_overrides_win_in_order_and_make_sections():
    overrides = ["scheduler.max_t=9", "scheduler.max_t=27", "budget.time=1h", "parameters.lr.max=1e-2", "name=b"]
    spec = load(MINIMAL, source="vit.yaml", overrides=overrides)
    assert (spec.scheduler.max_t, spec.budget.time_s, spec.parameters["lr"].max, spec.name) == (27, 3600, 1e-2, "b")


def test_a_parameter_becomes_a_constant_or_a_list():
    overrides = ["parameters.lr=1e-3", "parameters.bs=[16, 32]", "parameters.n={min: 1, max: 4}"]
    parameters = load(MINIMAL, source="vit.yaml", overrides=overrides).parameters
    assert parameters["lr"] == Constant(value=1e-3)
    assert parameters["bs"] == Choice(values=[16, 32])
    assert parameters["n"].max == 4


def test_an_item_of_a_list_is_numbered_from_0():
    spec = load(COMPLETE, source="vit.yaml", overrides=["search.points_to_evaluate.1.optimizer=sgd"])
    assert spec.search.points_to_evaluate[1] == {"optimizer": "sgd"}


def test_an_empty_value_unsets():
    assert load(COMPLETE, source="vit.yaml", overrides=["promote=", "budget.patience="]).promote is None


def test_a_value_may_hold_an_equals_sign():
    assert load(MINIMAL, source="vit.yaml", overrides=["environment.env.A=b=c"]).environment.env == {"A": "b=c"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scheduler.max_tt=9", "scheduler.max_tt: unknown. Did you mean max_t?"),
        ("scheduler.max_t=abc", "scheduler.max_t: expected a whole number, got the text 'abc'."),
        ("scheduler.max_t", "expected key=value. Write --set scheduler.max_t=9."),
        ("=9", "expected key=value."),
        ("scheduler..max_t=9", "expected key=value."),
        ("parameters.lr.max.x=9", "parameters.lr.max is no map, so it has no x."),
        ("parameters.lr=[1", "'[' isn't closed. Write ']' where it ends."),
        ("parameters.lr=!x 1", "parameters.lr: the tag !x is not allowed."),
        ("num_samples=9", "num_samples: 'num_samples' is Ray Tune's spelling. Write: budget: {trials: 9}"),
        ("parameters.lr.low=9", "parameters.lr: 'low' is Optuna's spelling."),
        ("resources.gpu=1.5", "resources.gpu: got 1.5. Use a fraction"),
        ("parameters.lr.max=1e-9", "parameters.lr.min: min 1.0e-05 is above max 1.0e-09."),
    ],
)
def test_a_wrong_override_is_named(override, message):
    found = only(MINIMAL, override)
    assert message in found
    assert f"--set {override}: " in found or found.startswith("vit.yaml:4:")


def test_a_list_says_how_long_it_is():
    assert "search.points_to_evaluate is a list of 2. Number its items from 0." in only(
        COMPLETE, "search.points_to_evaluate.2.lr=1"
    )


def test_overrides_come_after_the_file():
    assert [problem.split(":")[0] for problem in problems(MINIMAL + "foo: 1\n", "bar=1")] == ["vit.yaml", "--set bar=1"]
