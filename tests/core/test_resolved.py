"""The complete file, its hash, and the difference between two."""

import pytest
from spec_files import COMPLETE, MINIMAL

from sweep.core.flow import flow, flow_float
from sweep.core.loading import load
from sweep.core.resolved import difference, resolved_yaml, spec_sha256
from sweep.core.spec import ORDER


def _spec(text=MINIMAL, *overrides):
    return load(text, source="vit.yaml", overrides=overrides)


def test_the_resolved_file_has_every_section_in_order():
    lines = resolved_yaml(_spec(COMPLETE)).splitlines()
    assert [line.split(":")[0] for line in lines if line[0].isalpha()] == [key for key in ORDER if key != "command"]
    assert "  max_t: 20" in lines
    assert '  time: "1h30m"' in lines
    assert "  lr: {min: 1.0e-05, max: 0.1, log: true}" in lines


def test_both_examples_survive_being_written_out():
    for text in (MINIMAL, COMPLETE):
        assert load(resolved_yaml(_spec(text)), source="vit.yaml") == _spec(text)


@pytest.mark.parametrize(
    "value", ["yes", "1e-5", "null", "a: b", "#x", "", " x", "é", "😀", "\x85", "\u2028", "-", "a\nb", "~", "1_0"]
)
def test_texts_that_look_like_something_else_stay_texts(value):
    spec = _spec(MINIMAL, f"parameters.a={{value: {flow(value)}}}")
    assert spec.parameters["a"].value == value
    assert load(resolved_yaml(spec), source="vit.yaml") == spec


def test_what_yaml_1_1_would_misread_is_quoted():
    assert flow(["yes", "off", "1_0", "1:30", "y"]) == '["yes", "off", "1_0", "1:30", "y"]'
    assert flow(["sgd", "a b", "train.py:train", "s3"]) == "[sgd, a b, train.py:train, s3]"


def test_floats_are_readable_for_yaml_1_1_too():
    assert flow_float(1e-5) == "1.0e-05"
    assert flow_float(1.5e22) == "1.5e+22"
    assert flow_float(0.1) == "0.1"


def test_the_hash_is_of_the_content():
    other_order = "\n".join(reversed([MINIMAL[MINIMAL.index("parameters") :].rstrip(), *MINIMAL.splitlines()[:2]]))
    assert spec_sha256(_spec(other_order)) == spec_sha256(_spec())
    assert spec_sha256(_spec(MINIMAL + "# a comment\nstorage: elsewhere\n")) == spec_sha256(_spec())
    assert spec_sha256(_spec(MINIMAL, "search.seed=1")) != spec_sha256(_spec())


def test_the_order_of_parameters_is_part_of_the_hash():
    one, two = _spec(MINIMAL + "  a: [1, 2]\n  b: [1, 2]\n"), _spec(MINIMAL + "  b: [1, 2]\n  a: [1, 2]\n")
    assert spec_sha256(one) != spec_sha256(two)
    assert difference(one, two) == ["parameters: in the order lr, a, b -> lr, b, a"]


def test_the_difference_names_each_value():
    new = _spec(MINIMAL, "scheduler.max_t=30", "parameters.lr.max=0.2", "parameters.bs=[1, 2]", "storage=x")
    assert difference(_spec(), new) == [
        "parameters.lr.max: 0.1 -> 0.2",
        "parameters.bs: added {values: [1, 2]}",
        "scheduler.max_t: 100 -> 30",
    ]
    assert difference(new, _spec())[1] == "parameters.bs: {values: [1, 2]} -> removed"
    assert difference(_spec(), _spec(MINIMAL, "promote.model=vit"))[0].startswith("promote: null -> {model: vit, ")
