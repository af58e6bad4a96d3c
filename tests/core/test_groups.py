"""Groups of parameters: maps in the file and for the training function, whole names between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_files import MINIMAL, exploring, only, problems

from sweep.core.groups import flattened, in_file_order, members, nested
from sweep.core.loading import load
from sweep.core.parameters import Choice, Constant, FloatRange
from sweep.core.resolved import difference, resolved_yaml, spec_sha256
from sweep.core.space import Space
from sweep.core.spec import StudySpec

GROUPED = (
    MINIMAL
    + """
  optimizer:
    name: [sgd, adam]
    sgd:
      when: {optimizer.name: sgd}
      momentum: {min: 0.5, max: 0.9}
      nesterov: [true, false]
      damping: {min: 0.0, max: 0.5, when: {optimizer.sgd.nesterov: false}}
      fixed: 3
    weight-decay: 0.1
  width: [64, 128]
derived: {optimizer.warm: lr / 10, scaled: optimizer.sgd.momentum * `optimizer.weight-decay`}
constraints: [optimizer.sgd.momentum < lr + 0.8]
search: {points_to_evaluate: [{optimizer.sgd.momentum: 0.7}]}
"""
)


def _spec(text=GROUPED, *overrides):
    return load(text, source="vit.yaml", overrides=overrides)


def test_members_have_whole_names_in_the_files_order():
    assert list(_spec().parameters) == [
        "lr", "optimizer.name", "optimizer.sgd.momentum", "optimizer.sgd.nesterov", "optimizer.sgd.damping",
        "optimizer.sgd.fixed", "optimizer.weight-decay", "width",
    ]  # fmt: skip


def test_a_groups_condition_is_that_of_its_members():
    found = _spec().parameters
    assert found["optimizer.sgd.momentum"].when == {"optimizer.name": "sgd"}
    assert found["optimizer.sgd.damping"].when == {"optimizer.name": "sgd", "optimizer.sgd.nesterov": False}
    assert found["optimizer.sgd.fixed"] == Constant(value=3, when={"optimizer.name": "sgd"})
    assert found["optimizer.name"].when is None


def test_training_gets_maps():
    space = Space(_spec())
    chosen = {"lr": 0.1, "optimizer.name": "sgd", "optimizer.sgd.momentum": 0.75, "optimizer.sgd.nesterov": True}
    config = space.complete({**chosen, "width": 64})
    assert space.for_training(config) == {
        "lr": 0.1,
        "optimizer": {
            "name": "sgd",
            "sgd": {"momentum": 0.75, "nesterov": True, "fixed": 3},
            "weight-decay": 0.1,
            "warm": 0.01,
        },
        "width": 64,
        "scaled": pytest.approx(0.075),
    }
    adam = space.for_training(space.complete({"lr": 0.1, "optimizer.name": "adam", "width": 64}))
    assert adam["optimizer"] == {"name": "adam", "weight-decay": 0.1, "warm": 0.01}


def test_the_resolved_file_is_the_same_study():
    spec = _spec()
    text = resolved_yaml(spec)
    again = load(text, source="spec.yaml")
    assert again == spec
    assert spec_sha256(again) == spec_sha256(spec)
    assert "  optimizer:\n    name: {values: [sgd, adam]}\n    sgd:\n      momentum: {min: 0.5" in text


def test_overrides_reach_members_by_their_whole_name():
    changed = _spec(GROUPED, "parameters.optimizer.sgd.momentum.max=0.8", "parameters.optimizer.weight-decay=0.2")
    assert changed.parameters["optimizer.sgd.momentum"].max == 0.8
    assert difference(_spec(), changed) == [
        "parameters.optimizer.sgd.momentum.max: 0.9 -> 0.8",
        "parameters.optimizer.weight-decay.value: 0.1 -> 0.2",
    ]


def test_typed_specs_take_whole_names_and_put_groups_together():
    spec = StudySpec(
        name="s",
        entrypoint="m:f",
        metric={"name": "loss", "goal": "minimize"},
        parameters={"a.x": FloatRange(min=0.0, max=1.0), "b": Choice(values=[1, 2]), "a.y": Constant(value=2)},
    )
    assert list(spec.parameters) == ["a.x", "a.y", "b"]
    nested_form = StudySpec(
        name="s",
        entrypoint="m:f",
        metric={"name": "loss", "goal": "minimize"},
        parameters={"a": {"x": {"min": 0.0, "max": 1.0}, "y": 2}, "b": [1, 2]},
    )
    assert nested_form == spec


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("  g: {a: {min: 1, max: 2}, b: {min: 3, max: 2}}\n", "vit.yaml:5:37: parameters.g.b.min: min 3 is above"),
        ("  g: {a: {min: 1, max: x}}\n", "vit.yaml:5:24: parameters.g.a.max: expected a number, got the text 'x'"),
        ("  g: {a: {low: 1, high: 2}}\n", "parameters.g.a: 'low' is Optuna's spelling. Write: a: {min: 1, max: 2}"),
        ("  g: {a: [1, 2], when: 3}\n", "vit.yaml:5:24: parameters.g.when: expected a map such as {optimizer: sgd}"),
        ("  g: {a: [1, 2], when: {o: 3}}\n", "vit.yaml:5:28: parameters.g.a.when.o: 'o' is no parameter."),
        ("  g: {a: [1, 2], 'b c': [3, 4]}\n", "parameters.g.b c: can't be a parameter's name."),
        ("  'g h': {a: [1, 2], b: [3, 4]}\n", "vit.yaml:5:3: parameters.g h: can't be a parameter's name."),
        ("  g: {a: [1, 2]}\nderived: {g: lr * 2}\n", "derived.g: 'g' can't be a value and a group: g.a is there too."),
        ("  g: {a: [1, 2]}\nderived: {lr.b: lr}\n", "derived.lr.b: 'lr.b' can't be a value and a group: lr is there"),
        ("  g: {weight-decay: [1, 2]}\nconstraints: [g.weight < 2]\n", "In an expression g.weight-decay stands in"),
        ("  g: {mn: 0, max: 1}\n", "parameters.g.mn: unknown. Did you mean min?"),
        ("  g: {a: 0, b: 1}\n", "parameters.g.a: unknown."),
    ],
)  # fmt: skip
def test_problems_inside_a_group_name_their_place(addition, line):
    assert line in problems(MINIMAL + addition)[0]


def test_a_problem_in_a_group_hides_no_other_and_makes_none():
    text = MINIMAL + "  g: {a: {min: 3, max: 2}, c: [1, 2]}\n  b: {min: 1, max: 2, when: {g.a: 3, g.c: 1}}\n"
    assert only(text).startswith("vit.yaml:5:16: parameters.g.a.min: min 3 is above max 2.")


_names = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)


@exploring(300)
@given(st.lists(_names, min_size=1, max_size=6, unique=True))
def test_groups_and_whole_names_are_the_same(names):
    names = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    flat = {name: {"value": name} for name in names}
    found = {member.name: member.raw for member in members(nested(flat))}
    assert found == flat
    assert list(found) == list(in_file_order(flat))
    assert flattened(nested(dict.fromkeys(names, 1))) == dict.fromkeys(names, 1)
