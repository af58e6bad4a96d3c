"""A search file's content as Python values means what it means as a file, its problems too."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from spec_files import COMPLETE, MINIMAL, exploring

from sweep.core.loading import load, load_plain
from sweep.errors import SpecError

CONTENT = {
    "name": "s",
    "entrypoint": "m:f",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"lr": {"min": 1e-5, "max": 0.1, "log": True}, "net": {"depth": [1, 2], "width": (64, 128)}},
}


def _problems(**changes):
    with pytest.raises(SpecError) as caught:
        load_plain({**CONTENT, **changes})
    return caught.value.problems


@pytest.mark.parametrize("text", [MINIMAL + "name: s\n", COMPLETE])
def test_the_same_content_is_the_same_study(text):
    content = YAML(typ="safe", pure=True).load(text)
    content["parameters"]["lr"] = {"min": 1e-5, "max": 1e-1, "log": True}  # YAML 1.1 or 1.2, 1e-5 is ours to read
    assert load_plain(content) == load(text, source="vit.yaml")


def test_tuples_are_lists_and_numpys_numbers_are_numbers():
    spec = load_plain({**CONTENT, "parameters": {"a": {"min": np.float64(0.5), "max": np.int64(2)}, "b": (1, None)}})
    assert spec.parameters["a"].min == 0.5
    assert spec.parameters["b"].values == [1, None]


def test_a_none_is_a_value_for_a_parameter():
    assert load_plain({**CONTENT, "parameters": {**CONTENT["parameters"], "a": None}}).parameters["a"].value is None


def test_problems_name_the_key_and_what_came():
    assert _problems(parameters={"lr": {"low": 1, "high": 2}}) == [
        "spec: parameters.lr: 'low' is Optuna's spelling. Write: lr: {min: 1, max: 2}"
    ]
    assert _problems(parameters={"lr": [1, object()]})[0].startswith("spec: parameters.lr[1]: got a object.")
    assert _problems(search={1: 2})[0] == "spec: search: expected texts as keys, got 1."
    nested = {}
    nested["a"] = nested
    assert "is nested more than 30 deep" in _problems(environment=nested)[0]


def test_a_study_without_a_name_has_one():
    content = {key: value for key, value in CONTENT.items() if key != "name"}
    assert load_plain(content).name == "spec"


def test_overrides_apply():
    assert load_plain(CONTENT, overrides=["parameters.net.depth=[3, 4]"]).parameters["net.depth"].values == [3, 4]


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@exploring(300)
@given(st.sampled_from(["parameters", "search", "derived", "zip", "constraints", "metric", "name"]), _values)
def test_whatever_comes_is_a_spec_or_told(key, value):
    # Any other exception would fail here.
    with contextlib.suppress(SpecError):
        load_plain({**CONTENT, key: value})
