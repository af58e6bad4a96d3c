"""Questions about the space."""

import pytest
from spec_files import COMPLETE, MINIMAL

from sweep.core.loading import load
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange
from sweep.core.space import constants, contains, describe, midpoint, size, varying


def _spec(*lines):
    return load(MINIMAL + "".join(f"  {line}\n" for line in lines), source="vit.yaml")


def test_what_varies_and_what_does_not():
    spec = load(COMPLETE, source="vit.yaml")
    assert constants(spec) == {"epochs": 20, "note": "plain: text"}
    assert list(varying(spec)) == ["lr", "depth", "dropout", "optimizer", "momentum", "width", "heads"]


@pytest.mark.parametrize(
    ("parameter", "middle"),
    [
        (FloatRange(min=1e-4, max=1.0, log=True), 0.01),
        (FloatRange(min=0.0, max=1.0), 0.5),
        (FloatRange(min=0.0, max=1.0, step=0.3), 0.3),
        (FloatRange(min=-1.5e308, max=0.1e308), -0.7e308),
        (IntRange(min=1, max=10), 5),
        (IntRange(min=1, max=100, log=True), 10),
        (IntRange(min=2, max=12, step=2), 6),
        (IntRange(min=2**62, max=2**62 + 3), 2**62 + 1),
        (Choice(values=[1, 2, 3]), 2),
        (Constant(value="x"), "x"),
    ],
)
def test_the_middle(parameter, middle):
    spec = _spec().model_copy(update={"parameters": {"a": parameter}})
    value = midpoint(spec)["a"]
    assert value == pytest.approx(middle, rel=1e-12) if isinstance(middle, float) else value == middle
    assert type(value) is type(middle)
    assert contains(spec.parameters, {"a": value}) == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"lr": 1e-3, "n": 3}, []),
        ({"lr": 1, "n": 3}, ["lr: got 1, which is outside 1e-05 to 0.1."]),
        ({"lr": float("nan"), "n": 3}, ["lr: got nan, which is outside 1e-05 to 0.1."]),
        ({"lr": 1e-3, "n": 4}, ["n: got 4, which is no step of 2 from 1."]),
        ({"lr": 1e-3, "n": 3.0}, ["n: expected a whole number, got 3.0."]),
        ({"lr": 1e-3, "n": True}, ["n: expected a whole number, got true."]),
        ({"lr": 1e-3}, ["n: is missing."]),
        ({"lr": 1e-3, "n": 3, "m": 1}, ["m: is no parameter."]),
    ],
)
def test_what_a_config_may_hold(value, problem):
    assert contains(_spec("n: {min: 1, max: 9, step: 2}").parameters, value) == problem


def test_true_is_not_one():
    parameters = {"a": Choice(values=[1, 2]), "b": Constant(value=1)}
    assert len(contains(parameters, {"a": True, "b": True})) == 2


def test_steps_count_in_binary_too():
    parameter = FloatRange(min=0.0, max=1.0, step=0.1)
    assert all(contains({"a": parameter}, {"a": 0.1 * k}) == [] for k in range(10))
    assert size({"a": parameter}) == 11


def test_a_conditional_parameter_may_be_missing_where_it_does_not_apply():
    parameters = _spec("o: [sgd, adam]", "m: {min: 0, max: 1, when: {o: [sgd]}}").parameters
    assert contains(parameters, {"lr": 1e-3, "o": "adam"}) == []
    assert contains(parameters, {"lr": 1e-3, "o": "sgd"}) == ["m: is missing."]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{min: 1e-5, max: 0.1, log: true}", "1e-5 … 0.1, log"),
        ("{min: 0, max: 1, step: 0.25}", "0 … 1, step 0.25"),
        ("{min: 1, max: 9}", "1 … 9"),
        ("{values: [1, a], ordered: true}", "1 | a, ordered"),
        ("3", "3"),
        ("{min: 1, max: 9, when: {lr: [0.01, 0.1]}}", "1 … 9, when lr is 0.01 or 0.1"),
    ],
)
def test_a_parameter_in_a_table(form, text):
    assert describe(_spec(f"a: {form}").parameters["a"]) == text


def test_the_number_of_configs():
    spec = _spec("a: [1, 2, 3]", "b: {min: 1, max: 9, step: 2}", "c: 3", "d: {min: 0, max: 4}")
    assert size(spec.parameters) is None
    assert size({name: one for name, one in spec.parameters.items() if name != "lr"}) == 3 * 5 * 5
