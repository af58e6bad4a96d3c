"""The typed spec, made in Python rather than from a file."""

import math
import pickle

import pytest
from pydantic import ValidationError

from sweep.core.loading import load
from sweep.core.spec import Budget, FloatRange, IntRange, Metric, Resources, Scheduler, StudySpec
from sweep.core.units import format_duration, parse_duration, parse_memory

SMALL = {
    "name": "vit",
    "entrypoint": "a.b:train",
    "metric": {"name": "val_loss", "goal": "minimize"},
    "parameters": {"lr": {"min": 1e-5, "max": 0.1, "log": True}, "n": {"min": 1, "max": 3}, "o": ["a", "b"], "c": 3},
}


def test_a_spec_from_plain_values_takes_the_file_s_short_forms():
    spec = StudySpec.model_validate(SMALL)
    assert [one.kind for one in spec.parameters.values()] == ["float", "int", "choice", "constant"]
    assert spec.where("metric") == "spec:1:1"


def test_a_spec_never_changes():
    spec = StudySpec.model_validate(SMALL)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "b"


def test_positions_are_not_content():
    text = "entrypoint: a.b:train\nmetric: {name: val_loss, goal: minimize}\nparameters: {n: {min: 1, max: 3}}\n"
    one, two = load(text, source="vit.yaml"), load("# a comment\n\n" + text, source="x/vit.yaml")
    assert one == two
    assert one.where("metric") != two.where("metric")
    assert pickle.loads(pickle.dumps(one)).where("metric") == "vit.yaml:2:9"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FloatRange(min=2.0, max=1.0), "min 2.0 is above max 1.0"),
        (lambda: IntRange(min=0, max=9, log=True), "Log scale needs min above 0"),
        (lambda: Scheduler(grace_period=9, max_t=3), "above max_t 3"),
        (lambda: Resources(gpu=1.5), "Use a fraction up to 1, or a whole number"),
        (lambda: Budget(time="soon"), "expected a duration"),
        (lambda: StudySpec.model_validate({**SMALL, "command": "x"}), "Keep exactly one"),
        (lambda: StudySpec.model_validate({**SMALL, "parameters": {"1": [1, 2]}}), "can't be a parameter's name"),
        (lambda: StudySpec.model_validate({**SMALL, "parameters": {"a": object()}}), "got a object"),
        (lambda: StudySpec.model_validate({**SMALL, "parameters": [1]}), "valid dict"),
    ],
)
def test_rules_hold_in_python_too(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


def test_a_budget_always_ends():
    assert Budget().trials == 50
    assert Budget(failures=3, patience=5).trials == 50
    assert Budget(time=60).trials is None
    assert Budget(cost=1).trials is None
    assert Budget(time_s=60) == Budget(time="1m")


def test_better_is_strict_and_nan_loses():
    low, high = Metric(name="a", goal="minimize"), Metric(name="a", goal="maximize")
    assert low.better(1, 2)
    assert high.better(2, 1)
    assert not low.better(1, 1)
    assert not low.better(math.nan, 1)
    assert low.better(1, math.nan)
    assert not low.better(math.nan, math.nan)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400), ("1d2h3m4s", 93784)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "10", "h", "1m1h", "1h1h", "-1h", "1 h", "1h ", "10:00", "1e3s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(text)


def test_sizes():
    assert parse_memory("8GiB") == 8
    assert parse_memory("512 MiB") == 0.5
    with pytest.raises(ValueError, match="Write 8GiB"):
        parse_memory("8G")
