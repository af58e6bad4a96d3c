"""Questions about the space."""

import pytest
from spec_files import COMPLETE, MINIMAL

from sweep.core.loading import load
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange
from sweep.core.space import Space, constants, contains, describe, midpoint, size, varying


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


NESTED_CONDITIONS = """
  momentum: {min: 0.5, max: 0.9, when: {optimizer: sgd}}
  optimizer: [sgd, adam, lamb]
  nesterov: {values: [true, false], when: {momentum_on: true, optimizer: [sgd, lamb]}}
  momentum_on: {values: [true, false], when: {optimizer: [sgd, lamb]}}
  decay: {value: 0.1, when: {nesterov: true}}
"""


def space_of(*lines, **parts):
    text = MINIMAL + "\n".join(f"  {line}" for line in lines) + "\n"
    text += "".join(f"{key}: {value}\n" for key, value in parts.items())
    return Space(load(text, source="vit.yaml"))


def test_parents_come_first_and_otherwise_the_files_order_stands():
    space = Space(load(MINIMAL + NESTED_CONDITIONS, source="vit.yaml"))
    assert space.order == ("lr", "optimizer", "momentum", "momentum_on", "nesterov", "decay")
    assert list(space.proposed) == ["lr", "optimizer", "momentum", "momentum_on", "nesterov"]


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        ({"optimizer": "adam", "momentum_on": True, "nesterov": True}, ["lr", "optimizer"]),
        ({"optimizer": "lamb", "momentum_on": False}, ["lr", "optimizer", "momentum_on"]),
        (
            {"optimizer": "lamb", "momentum_on": True, "nesterov": True},
            ["lr", "optimizer", "nesterov", "momentum_on", "decay"],
        ),
        (
            {"optimizer": "sgd", "momentum": 0.6, "momentum_on": True, "nesterov": False},
            ["lr", "momentum", "optimizer", "nesterov", "momentum_on"],
        ),
    ],
)
def test_what_is_not_in_use_is_absent_and_so_is_what_hangs_on_it(chosen, left):
    space = Space(load(MINIMAL + NESTED_CONDITIONS, source="vit.yaml"))
    config = space.complete({"lr": 0.01, **chosen})
    assert list(config) == left
    assert contains(space.parameters, config) == []


def test_a_condition_tells_true_from_one():
    space = space_of("a: [0, 1]", "b: {min: 1, max: 2, when: {a: [1]}}")
    assert "b" in space.complete({"lr": 0.1, "a": 1, "b": 1})
    assert contains(space.parameters, {"lr": 0.1, "a": 0, "b": 1}) == ["b: is only for trials in which a is 1."]


def test_lists_in_step_follow_the_first_and_are_proposed_once():
    space = space_of("w: [64, 128]", "h: {values: [2, 4], ordered: true}", zip="[[w, h]]")
    assert list(space.proposed) == ["lr", "w"]
    assert space.proposed["w"].ordered
    config = space.complete({"lr": 0.1, "w": 128})
    assert config == {"lr": 0.1, "w": 128, "h": 4}
    assert space.chosen(config) == {"lr": 0.1, "w": 128}
    assert space.chosen({"h": 2}) == {"w": 64}


def test_a_value_that_is_only_for_one_says_that_one():
    space = Space(load(MINIMAL + NESTED_CONDITIONS, source="vit.yaml"))
    assert space.implied({"momentum": 0.6}) == {"optimizer": "sgd", "momentum": 0.6}
    assert space.implied({"nesterov": True}) == {"momentum_on": True, "nesterov": True}


def test_constraints_speak_of_the_names_that_a_config_has():
    space = space_of(
        "n: {min: 1, max: 9}",
        "m: {min: 1, max: 9, when: {n: [1, 2]}}",
        constraints='["m < n + 3", "n % 2 == 1 or lr < 0.05", "ratio < 4"]',
        derived="{double: 2 * n, ratio: double / m}",
    )
    assert space.broken({"lr": 0.01, "n": 5}) == []
    assert space.derived({"lr": 0.01, "n": 5}) == {"double": 10}
    assert space.broken({"lr": 0.01, "n": 1, "m": 4}) == ["m < n + 3 is not met with m 4, n 1"]
    assert space.broken({"lr": 0.1, "n": 2, "m": 1}) == [
        "n % 2 == 1 or lr < 0.05 is not met with n 2, lr 0.1",
        "ratio < 4 is not met with ratio 4.0",
    ]


def test_a_config_whose_derived_values_cannot_be_had_is_no_config():
    space = space_of("n: {min: 0, max: 9}", derived="{part: 10 // n}", constraints='["n / (n - 1) < 9"]')
    assert space.broken({"lr": 0.1, "n": 0}) == ["derived.part: 10 // n: division by zero"]
    assert space.broken({"lr": 0.1, "n": 1}) == ["n / (n - 1) < 9 can't be told (division by zero) with n 1"]
    assert space.feasible({"lr": 0.1, "n": 2})


def test_training_gets_derived_values_too():
    space = space_of("width: [64, 128]", derived="{ffn: 4 * width, deep: ffn > 300}")
    config = {"lr": 0.1, "width": 64}
    assert space.for_training(config) == {"lr": 0.1, "width": 64, "ffn": 256, "deep": False}
