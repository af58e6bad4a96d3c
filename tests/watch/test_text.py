"""Short texts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.watch.text import counted, duration, glyphs_for, number, plain, sentence, shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (8.9, "8s"), (60, "1m00s"), (724, "12m04s"), (3900, "1h05m"), (183600, "2d03h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_values():
    assert [shown(value) for value in (3.1e-4, True, None, "adamw", [1, 2])] == [
        "0.00031", "true", "null", "adamw", "[1, 2]",
    ]  # fmt: skip
    assert number(None) == "-"
    assert number(math.nan) == "nan"
    assert [number(value) for value in (79702.4, 1234567, 3.1e9, -math.inf)] == ["79702", "1234567", "3.1e+09", "-inf"]


def test_counts_and_sentences():
    assert [counted(count, "trial") for count in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
    assert [sentence(text) for text in ("so", "so.", "so?")] == ["so.", "so.", "so?"]


def test_plain_has_no_nan():
    assert plain({"a": [math.nan, (math.inf, 1)], 2: "x"}) == {"a": [None, [None, 1]], "2": "x"}


def test_control_characters_never_reach_a_terminal():
    assert glyphs_for("utf-8").clean("a\x1b[31m\nb\x9bc") == "a [31m b c"


@pytest.mark.parametrize(("encoding", "unicode"), [("utf-8", True), ("ascii", False), ("latin-1", False), ("?", False)])
def test_glyphs_fit_the_encoding(encoding, unicode):
    assert glyphs_for(encoding).unicode is unicode


def test_a_sparkline_rises_with_its_values():
    assert glyphs_for("utf-8").sparkline([0, 1, math.nan, 7], 8) == "▁▂█"
    assert glyphs_for("ascii").sparkline([5, 5], 8) == "__"


@given(st.lists(st.floats()))
def test_a_sparkline_of_any_values(values):
    assert len(glyphs_for("utf-8").sparkline(values, 8)) == min(8, sum(map(math.isfinite, values)))
