"""Metrics in what a script prints: in the shapes that people print them, and nowhere else."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_files import exploring

from sweep.core.metric_lines import MetricLines


def reports(*lines, wanted=("val_loss",), **options):
    reader = MetricLines(wanted, "epoch", **options)
    return [found for line in lines if (found := reader.take(line)) is not None]


@pytest.mark.parametrize(
    "line",
    [
        "epoch=3 val_loss=0.25",
        "epoch = 3, val_loss = 2.5e-1",
        "Epoch 3/10 - loss: 0.5 - val_loss: 0.25",
        "Epoch [3/10], Step 9, val_loss: .25",
        "2026-11-27 12:30:01,123 INFO epoch:3 val_loss:+0.25",
        "epoch 3  val_loss 0.25",
        '{"epoch": 3, "val_loss": 0.25, "note": "x", "done": true}',
        'INFO:root:{"val_loss": 0.25, "epoch": 3}',
        "{'val_loss': 0.25, 'epoch': 3.0}",
        "epoch 3: val_loss 0.25.",
        "[epoch 3] val_loss=0.25%",
    ],
)
def test_a_line_of_metrics_is_a_report(line):
    (found,) = reports(line)
    assert (found["epoch"], found["val_loss"]) == (3, 0.25)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "val_loss improved",
        "the best val_loss: none yet",
        "my_val_loss=0.25",
        "val_loss_smooth=0.25",
        "val_loss=0.2.5",
        "epoch=3",
        "epoch=2.5 val_loss=0.25",
        '{"epoch": 3, "val_loss": "low"}',
        '{"epoch": 3, "val_loss": ',
    ],
)
def test_other_lines_are_none(line):
    assert reports(line) == []


def test_each_metric_may_have_a_line_of_its_own_as_katib_prints_them():
    lines = ["epoch=1", "accuracy=0.5", "val_loss=0.9", "epoch=2", "val_loss=0.8", "accuracy=0.6"]
    assert reports(*lines, wanted=("val_loss", "accuracy")) == [
        {"accuracy": 0.5, "val_loss": 0.9, "epoch": 1},
        {"val_loss": 0.8, "accuracy": 0.6, "epoch": 2},
    ]


def test_other_numbers_count_when_they_are_on_the_line():
    (found,) = reports("lr=0.1 batch_size=32", "epoch=1 train_loss=0.7 val_loss=0.9")
    assert found == {"epoch": 1, "train_loss": 0.7, "val_loss": 0.9}


def test_a_script_without_epochs_reports_one_step_each_time():
    assert [each["epoch"] for each in reports("val_loss=3", "val_loss=2", "val_loss=1")] == [1, 2, 3]
    assert [each["epoch"] for each in reports("val_loss=3", "val_loss=2", t=4)] == [5, 6]


def test_within_an_epoch_the_first_complete_line_counts():
    lines = ["epoch=1 val_loss=3", "val_loss=9", "epoch=1 val_loss=9", "epoch=2 val_loss=2"]
    assert [(each["epoch"], each["val_loss"]) for each in reports(*lines)] == [(1, 3), (2, 2)]


def test_who_counts_from_zero_is_taken_to():
    lines = ["epoch=0 val_loss=3", "epoch=1 val_loss=2"]
    assert [each["epoch"] for each in reports(*lines)] == [1, 2]
    reader = MetricLines(["val_loss"], "epoch", t=2, from_zero=True)
    assert reader.take("epoch=2 val_loss=1")["epoch"] == 3
    assert reader.from_zero


@pytest.mark.parametrize(
    ("shown", "value"), [("nan", math.nan), ("NaN", math.nan), ("inf", math.inf), ("-inf", -math.inf)]
)
def test_a_value_may_be_none_that_is_finite(shown, value):
    (found,) = reports(f"epoch=1 val_loss={shown}")
    assert found["val_loss"] == pytest.approx(value, nan_ok=True)
    if shown in ("nan", "NaN"):
        assert math.isnan(reports('{"epoch": 1, "val_loss": NaN}')[0]["val_loss"])


@exploring(300)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_output_breaks_it_and_steps_always_rise(lines):
    found = [each["epoch"] for each in reports(*lines, "epoch=2 val_loss=1", *lines)]
    assert found == sorted(set(found))


@exploring(100)
@given(st.floats(), st.integers(1, 2**40))
def test_what_is_printed_is_what_is_read(value, epoch):
    for line in (f"epoch={epoch} val_loss={value!r}", json.dumps({"epoch": epoch, "val_loss": value})):
        (found,) = reports(line)
        assert found == pytest.approx({"epoch": epoch, "val_loss": value}, rel=0, abs=0, nan_ok=True)
