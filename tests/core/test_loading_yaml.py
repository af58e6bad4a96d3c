"""YAML as we read it: what a word means, and what is refused before any key is looked at."""

import math
import re

import pytest
from spec_files import MINIMAL, only, problems

from sweep.core.loading import load
from sweep.core.scalars import resolve
from sweep.core.yaml_tree import MOST_NODES
from sweep.errors import SpecError


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("1e4", 1e4),
        ("1.0e-05", 1e-5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("+3", 3),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        (".inf", math.inf),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("True", True),
        ("~", None),
        ("-", "-"),
        ("9" * 400, "9" * 400),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(word, value):
    assert resolve(word) == value
    assert type(resolve(word)) is type(value)


def test_scientific_notation_without_a_dot_is_a_number():
    lr = load(MINIMAL, source="vit.yaml").parameters["lr"]
    assert (lr.min, lr.max) == (1e-5, 0.1)


def test_crlf_and_a_byte_order_mark_change_nothing():
    plain = load(MINIMAL, source="vit.yaml")
    assert load("\ufeff" + MINIMAL.replace("\n", "\r\n"), source="vit.yaml") == plain
    assert only("\ufefffoo: 1\n" + MINIMAL).startswith("vit.yaml:1:1: foo: unknown.")
    assert only(MINIMAL.replace("\n", "\r\n") + "foo: 1\r\n").startswith("vit.yaml:5:1: foo: unknown.")


def test_anchors_aliases_and_merge_keys_work():
    text = MINIMAL + "  a: &wide {min: 1, max: 9}\n  b: *wide\n  c: {<<: *wide, max: 5}\n"
    parameters = load(text, source="vit.yaml").parameters
    assert parameters["b"] == parameters["a"]
    assert (parameters["c"].min, parameters["c"].max) == (1, 5)


def test_a_change_through_one_alias_leaves_the_others():
    text = MINIMAL + "  a: &wide {min: 1, max: 9}\n  b: *wide\n"
    parameters = load(text, source="vit.yaml", overrides=["parameters.b.max=4"]).parameters
    assert (parameters["a"].max, parameters["b"].max) == (9, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "vit.yaml:1:1: the file is empty. Three keys"),
        ("# only a comment\n", "the file is empty"),
        ("---\n", "the file is empty"),
        ("- a\n- b\n", "vit.yaml:1:1: expected a map of keys, got a list."),
        ("hello\n", "expected a map of keys, got the text 'hello'."),
        ("3\n", "expected a map of keys, got 3."),
        (MINIMAL + "---\nname: b\n", "vit.yaml:5:1: a second document"),
        ("a: 1\n\tb: 2\n", "vit.yaml:2:1: a tab in the indentation. YAML wants spaces; use spaces."),
        ("a:\t1\n", "vit.yaml:1:3: a tab. YAML wants spaces; use spaces."),
        ("a: 'x\nb: 2\n", "vit.yaml:1:4: the quote ' isn't closed. Write another ' where the text ends."),
        ("a: b: c\n", "vit.yaml:1:5: a second ':' in one line. Put the text in quotes"),
        ("a: @x\n", "Put the text in quotes."),
        ("a: *x\n", "vit.yaml:1:4: *x names no anchor. Write &x"),
        ("a: &x [*x]\n", "*x stands inside the value that it names."),
        ("ok: 1\na\x07: 1\n", "vit.yaml:2:2: isn't YAML: unacceptable character"),
        ('a: "\\UFFFFFFFF"\n', "isn't YAML: "),
        ("[" * 40, "is nested more than 30 deep."),
        ("a: 1\n" * 200_000, "has 1000000 characters."),
    ],
)
def test_text_that_is_no_file_is_told_where_and_why(text, message):
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        load(text, source="vit.yaml")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("name: x\n entrypoint: y\n", "2:2", "begins after 1 space, its neighbours after no space. Give it no space."),
        ("p:\n  lr: {min: 1}\n   w: 3\n", "3:4", "begins after 3 spaces, its neighbours after 2 spaces."),
        ("p:\n  lr: 1\n  x: 2\n w: 2\n", "4:2", "begins after 1 space, its neighbours after 2 spaces."),
        ("p:\n   lr: 1\n  w: 2\n  d: 3\n", "2:4", "begins after 3 spaces, its neighbours after 2 spaces."),
        ("p:\n  lr:\n     min: 1\n    max: 2\n", "3:6", "begins after 5 spaces, its neighbours after 4 spaces."),
        (" # hi\n name: x\nentrypoint: y\n", "2:2", "begins after 1 space, its neighbours after no space."),
        ("parameters\n  lr: {min: 1}\n", "1:11", "a ':' is missing. Write parameters:"),
        ("m: {n: x}\nparameters\n  lr: {min: 1}\n", "2:11", "a ':' is missing. Write parameters:"),
        ("p:\n  lr: 3\n  width\n    min: 1\n", "3:8", "a ':' is missing. Write width:"),
        ("p:\n  width {min: 1, max: 4}\n  lr: 3\n", "2:8", "a ':' is missing. Write width: {min: 1, max: 4}"),
        ("p:\n  width [1, 2]\n  lr: 3\n", "2:8", "a ':' is missing. Write width: [1, 2]"),
        ("b: 2\nname vit\nc: 3\n", "2:5", "a ':' is missing. Write name: vit"),
        ("p:\n  a:1\n  b: 2\n", "2:5", "a space is missing after ':'. Write a: 1"),
        ("a: [1, 2\nb: 3\n", "1:4", "'[' isn't closed. Write ']' where it ends."),
        ("a: it's\nb: {x: 1 # }\nc: {y: 2}\n", "2:4", "'{' isn't closed. Write '}' where it ends."),
        ("a: {x: [1, 2}\nb: 3\n", "1:8", "'[' isn't closed before the '}' in line 1. Write ']' first."),
    ],
)
def test_usual_mistakes_are_told_where_they_were_made(text, place, message):
    found = only(text)
    assert found.startswith(f"vit.yaml:{place}: ")
    assert message in found


def test_duplicate_keys_are_told_with_both_lines():
    found = problems(MINIMAL + "  lr: {min: 1, max: 2}\nmetric: {name: a, goal: minimize}\n")
    assert found == [
        "vit.yaml:5:3: parameters.lr: is given twice: in line 4 and in line 5. Remove one of them.",
        "vit.yaml:6:1: metric: is given twice: in line 2 and in line 6. Remove one of them.",
    ]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!env", "!!timestamp"])
def test_tags_make_nothing(tag):
    assert only(MINIMAL + f"  a: {tag} x\n") == (
        f"vit.yaml:5:6: parameters.a: the tag {tag} is not allowed. Write the plain value."
    )


def test_core_tags_are_read():
    assert load(MINIMAL + "  a: !!str 1\n", source="vit.yaml").parameters["a"].value == "1"


def test_keys_that_are_no_words_are_refused():
    assert only(MINIMAL + "? [a]\n: 1\n") == "vit.yaml:5:3: a key that is a list or a map. A key is one word."
    assert only(MINIMAL + ": 1\n") == "vit.yaml:5:1: an empty key. A key is one word, then ':'."


def test_half_a_character_is_refused():
    assert "half a character" in only(MINIMAL + '  a: "\\ud800"\n')


def test_merge_of_something_else_is_refused():
    assert only(MINIMAL + "  a: {<<: 3, min: 1, max: 2}\n").endswith("<< takes a map (<<: *name) or a list of maps.")


def test_a_billion_laughs_end_at_the_limit():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert f"the file has more than {MOST_NODES} values" in only("\n".join(lines))


def test_aliases_can_not_nest_deeper_than_text():
    lines = ["a0: &a0 " + "[" * 20 + "]" * 20, "a1: " + "[" * 20 + "*a0" + "]" * 20]
    assert only("\n".join(lines)) == "vit.yaml:2:25: *a0 is nested more than 30 deep here."
