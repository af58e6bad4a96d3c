"""The small grammar: it means what it means in Python, and nothing gets out of it."""

import math
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from spec_files import exploring

from sweep.core.expressions import AbsentError, ExpressionError, parse
from sweep.core.grammar import DEEPEST, LONGEST

VALUES = {"a": 3, "b": 0.5, "t": "sgd", "yes": True, "n": None, "opt.lr": 0.1, "lambda": 2, "weight-decay": 4, "z": 0}

_PYTHONS = {
    "abs": abs, "ceil": math.ceil, "exp": math.exp, "floor": math.floor, "log": math.log, "log10": math.log10,
    "log2": math.log2, "max": max, "min": min, "round": round, "sqrt": math.sqrt,
}  # fmt: skip


def value(text, **values):
    return parse(text).value({**VALUES, **values})


def _pieces(inner):
    two = st.sampled_from(["{} + {}", "{} - {}", "{}*{}", "{} / {}", "{}//{}", "{} % {}", "{}**{}"])
    compared = st.sampled_from(["{} == {}", "{} != {}", "{} < {}", "{}<={}", "{} > {}", "{} >= {}"])
    joined = st.sampled_from(["{} and {}", "{} or {}", "max({}, {})", "min({}, {})", "round({}, {})"])
    one = st.sampled_from(
        ["-{}", "+{}", "not {}", "({})", "abs({})", "floor({})", "ceil({})", "round({})", "sqrt({})", "exp({})"]
    )
    three = st.sampled_from(["{} if {} else {}", "{} < {} <= {}", "{} in [{}, {}]", "{} not in [{}, {}]"])
    return st.one_of(
        st.tuples(st.one_of(two, compared, joined), inner, inner),
        st.tuples(one, inner),
        st.tuples(three, inner, inner, inner),
    ).map(lambda parts: parts[0].format(*parts[1:]))


_leaves = st.one_of(
    st.sampled_from(["a", "b", "t", "yes", "n", "z", "True", "None", "'sgd'", '"x"']),
    st.integers(0, 100).map(str),
    st.sampled_from(["1e-4", "0.5", ".25", "3.", "1E3", "9007199254740993", "64", "1e300"]),
)


@exploring(1500)
@given(st.recursive(_leaves, _pieces, max_leaves=8))
@example("-a ** 2")
@example("2 ** -a")
@example("not a == b")
@example("1 < 2 < a != z")
@example("a if yes else b if n else z")
def test_what_has_a_value_has_the_one_that_python_gives(text):
    assume(len(text) <= LONGEST)
    try:
        ours = parse(text).value(VALUES)
    except ExpressionError:
        # Python's may be none, or huge, or a text times a number: not ours to give.
        return
    names = {**VALUES, **_PYTHONS}
    pythons = eval(text, {"__builtins__": {}}, names)  # what we compare with, on texts made here
    assert ours == pythons
    assert type(ours) is type(pythons)


@exploring(1500)
@given(st.text(alphabet=st.sampled_from("ab_.()[]'\"`,*/%+-<>=! 0123456789eEnotidfrx\n\\{}:@~&|^;"), max_size=60))
@example("().__class__.__bases__[0].__subclasses__()")
@example("__import__('os').system('true')")
@example("(lambda: 0)()")
@example("[x for x in (1,)]")
@example("a.__class__")
@example("f'{a}'")
@example("9**9**9**9")
@example("'a' * 10 ** 9")
@example("a := 3")
def test_any_text_is_a_plain_value_or_an_error_of_its_own(text):
    try:
        parsed = parse(text)
        found = parsed.value(dict.fromkeys(parsed.names, 3))
    except ExpressionError:
        return
    assert found is None or isinstance(found, bool | int | float | str)
    assert not isinstance(found, int) or -(2**63) <= found < 2**63
    assert not isinstance(found, float) or math.isfinite(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width %% 2", "column 8 of 'width %% 2': expected a value, got '%'"),
        ("a = 3", "column 3 of 'a = 3': '=' is not in the grammar. Write == to compare"),
        ("a && b", "column 3 of 'a && b': '&' is not in the grammar. Write and"),
        ("a ^ 2", "'^' is not in the grammar. Write ** for a power"),
        ("  foo(a)", "column 3 of 'foo(a)': 'foo' is no function. A function is one of abs, ceil"),
        ("a < (b", "column 7 of 'a < (b': expected ')', it ends here"),
        ("a b", "column 3 of 'a b': expected an operator or the end, got 'b'"),
        ("abs(a, b)", "column 1 of 'abs(a, b)': abs() takes 1 values, got 2"),
        ("max(a)", "max() takes 2 to 20 values, got 1"),
        ("a in b", "expected a list such as [16, 32], got 'b'"),
        ("a not b", "expected 'in', got 'b'"),
        ("1 if a", "expected 'else', it ends here"),
        ("12x", "column 1 of '12x': '1' is not in the grammar. A number is written 3, 0.5 or 1e-4"),
        ("99999999999999999999", "column 1 of '99999999999999999999': a whole number gets beyond 64 bits"),
        ("'abc", "The text doesn't end, or has a backslash"),
        ("ä + 1", "column 1 of 'ä + 1': 'ä' is not in the grammar. The grammar has numbers"),
        ("", "column 1 of '': expected a value, it ends here"),
        ("a" * (LONGEST + 1), f"is longer than {LONGEST} characters"),
        ("(" * 60 + "a" + ")" * 60, f"more than {DEEPEST} levels inside each other"),
        ("-" * 200 + "a", f"more than {DEEPEST} levels inside each other"),
        ("not " * 60 + "a", f"more than {DEEPEST} levels inside each other"),
    ],
)
def test_a_wrong_expression_names_its_column(text, message):
    with pytest.raises(ExpressionError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a / z", "division by zero"),
        ("a % z", "division by zero"),
        ("z ** -1", "division by zero"),
        ("1e300 * 1e300", "a number gets too large"),
        ("9 ** 9 ** 9", "a number gets too large"),
        ("4611686018427387904 * 2", "a whole number gets beyond 64 bits"),
        ("t * 3", "* needs numbers, got the text 'sgd'"),
        ("n + 1", "+ needs numbers, got nothing"),
        ("a < t", "< needs two numbers or two texts, got 3 and the text 'sgd'"),
        ("log(z)", "log() of 0, which isn't above 0"),
        ("sqrt(-a)", "sqrt() of -3, which isn't from 0"),
        ("(-a) ** b", "-3 has no real power 0.5"),
        ("round(b, 1e9)", "round() to 1000000000.0 places: expected a whole number, at most 300"),
        ("round(a, -999999999)", "round() to -999999999 places"),
        ("exp(a * 1000)", "a number gets too large"),
        ("floor(1e300)", "a whole number gets beyond 64 bits"),
    ],
)
def test_what_has_no_value_says_why(text, message):
    with pytest.raises(ExpressionError, match=re.escape(message)):
        value(text)


def test_names_may_be_those_of_groups_keywords_of_python_or_in_backquotes():
    parsed = parse("opt.lr * lambda + `weight-decay` if true else a")
    assert parsed.names == ("opt.lr", "lambda", "weight-decay", "a")
    assert parsed.value(VALUES) == 4.2


@pytest.mark.parametrize(
    "text", ["a < b", "not a", "a < 1 and t == 'sgd'", "true", "a in [1] if yes else a < 2", "yes and a"]
)
def test_what_is_true_or_false(text):
    assert parse(text).compares


@pytest.mark.parametrize("text", ["a", "a + 1", "a if yes else a < 1", "1"])
def test_what_is_neither_true_nor_false(text):
    assert not parse(text).compares


def test_a_name_without_a_value_counts_only_where_it_is_reached():
    assert parse("t != 'adam' or missing < 1").value(VALUES) is True
    with pytest.raises(AbsentError, match="missing"):
        value("a < missing")


def test_a_long_sum_of_many_names_has_a_value():
    """The deepest that the length allows, on top of the stack that a test has."""
    assert value("+".join("a" * (LONGEST // 2))) == 3 * (LONGEST // 2)
