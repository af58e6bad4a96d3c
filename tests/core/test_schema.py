"""The JSON Schema that editors use: up to date, and of the same opinion as the loader about shapes."""

import re

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from spec_files import COMPLETE, MINIMAL, exploring, files

from sweep.core.loading import load
from sweep.core.resolved import resolved_yaml
from sweep.core.schema import SCHEMA_FILE, build_schema, schema_text
from sweep.core.yaml_tree import parse

VALIDATOR = Draft202012Validator(build_schema())


def _errors(text):
    tree, problems = parse(text, "vit.yaml")
    assert not problems
    return [error.message for error in VALIDATOR.iter_errors(tree.plain())]


def test_the_published_schema_is_up_to_date():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m sweep.core.schema"


def test_it_is_a_schema():
    Draft202012Validator.check_schema(build_schema())


def test_each_key_has_a_description():
    schema = build_schema()
    fields = [field for name in schema["$defs"] for field in schema["$defs"][name].get("properties", {}).items()]
    fields += [(key, value) for key, value in schema["properties"].items() if "$ref" not in str(value)]
    assert [name for name, field in fields if "description" not in field] == []


@pytest.mark.parametrize("text", [MINIMAL, COMPLETE, MINIMAL + "  a: [1, b]\n  c: 3\n  d: null\npromote:\n"])
def test_good_files_are_accepted_as_written_and_as_resolved(text):
    assert _errors(text) == []
    assert _errors(resolved_yaml(load(text, source="vit.yaml"))) == []


@exploring(60)
@given(text=files())
def test_what_the_loader_takes_the_schema_takes(text):
    assert _errors(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("goal: minimize", "goal: min"),
        ("parameters:", "params:"),
        ("log: true", "log: yes"),
        ("log: true", "distribution: x"),
        ("entrypoint: .*", "# nothing"),
        ("metric: .*", "metric: val_loss"),
        ("entrypoint: ", "scheduler: {max_t: 0}\nentrypoint: "),
        ("entrypoint: ", "scheduler: {reduction_facter: 3}\nentrypoint: "),
        ("entrypoint: ", "resources: {gpu: all}\nentrypoint: "),
        ("entrypoint: ", "budget: {time: soon}\nentrypoint: "),
        (r"lr: .*", "lr: []"),
        (r"lr: .*", "1lr: [1, 2]"),
    ],
)
def test_bad_files_are_rejected(old, new):
    assert _errors(re.sub(old, new, MINIMAL))
