"""The trials of a study as a table: sorted, filtered, in the columns that were chosen or find room."""

from __future__ import annotations

import csv
import io

import pytest
from plays import Play, drawn, new_spec

from sweep.core.spec import Budget, Constant, FloatRange, Metric, Search
from sweep.errors import InputError
from sweep.watch.tables import (
    trials_csv,
    trials_table,
)  # fmt: skip


def test_trials_are_sorted_by_any_column_with_the_objective_best_first(finished):
    values = [row["value"] for row in trials_table(finished, sort="val_loss").data]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[: len(known)] == known
    rates = [row["params"]["lr"] for row in trials_table(finished, sort="-lr").data]
    assert rates == sorted(rates, reverse=True)
    mixed = [row["params"]["mixed"] for row in trials_table(finished, sort="mixed").data]
    assert mixed == sorted(mixed, key=[1, "a", None].index)


def test_a_maximized_objective_is_sorted_highest_first():
    play = Play(new_spec(metric=Metric(name="accuracy", goal="maximize"))).to_the_end()
    values = [row["value"] for row in trials_table(play.machine, sort="accuracy").data]
    assert values == sorted(values, reverse=True)
    turned = [row["value"] for row in trials_table(play.machine, sort="-value").data]
    assert turned == sorted(values)


def test_filters_are_combined(finished):
    rows = trials_table(finished, filters=["state=stopped and lr<1e-2", "optimizer = ADAMW"]).data
    wanted = [
        trial.number
        for trial in finished.trials.values()
        if trial.state.value == "stopped" and trial.config["lr"] < 1e-2 and trial.config["optimizer"] == "adamw"
    ]
    assert [row["trial"] for row in rows] == wanted
    assert len(trials_table(finished, filters=["epoch>=9"]).data) == finished.counts()[trial_state("complete")]
    without = trials_table(finished, filters=["mixed=null"]).data
    assert all(row["params"]["mixed"] is None for row in without)
    others = trials_table(finished, filters=["mixed!=null"]).data
    assert len(without) + len(others) == 12


def trial_state(word: str):
    from sweep.core.trial import TrialState

    return TrialState(word)


def test_an_unknown_column_names_the_nearest(finished):
    with pytest.raises(InputError, match=r"column 'val_los': unknown\. Did you mean val_loss\?"):
        trials_table(finished, sort="val_los")
    with pytest.raises(InputError, match=r"column 'optimiser': unknown\. Did you mean optimizer\?"):
        trials_table(finished, filters=["optimiser=adamw"])
    with pytest.raises(InputError, match=r"column 'zzzzzz': unknown\. There are: lr, optimizer"):
        trials_csv(finished, columns=["zzzzzz"])


def test_a_filter_that_cannot_be_read_states_the_rule(finished):
    with pytest.raises(InputError, match=r"filter 'val_loss': expected COLUMN, one of = != < <= > >=, and a value"):
        trials_table(finished, filters=["val_loss"])
    with pytest.raises(InputError, match=r"filter 'lr<small': expected a number after <, got 'small'"):
        trials_table(finished, filters=["lr<small"])


def test_chosen_columns_are_those_of_the_data_the_table_and_the_csv(finished):
    columns = ["trial", "accuracy", "lr"]
    view = trials_table(finished, columns=columns)
    assert list(view.data[0]) == columns
    assert drawn(view)[0].split() == columns
    rows = list(csv.DictReader(io.StringIO(trials_csv(finished, columns=columns))))
    assert float(rows[3]["lr"]) == finished.trials[3].config["lr"]
    everything = next(csv.reader(io.StringIO(trials_csv(finished))))
    assert {"val_loss", "accuracy", "lr", "optimizer", "mixed", "width", "reason"} <= set(everything)


def test_a_metric_and_a_parameter_of_one_name_stay_apart():
    spec = new_spec(parameters={"lr": FloatRange(min=0, max=1), "accuracy": FloatRange(min=0, max=1)})
    play = Play(spec)
    play._config = lambda: {"lr": 0.5, "accuracy": 0.25}
    study = play.to_the_end().machine
    row = next(csv.DictReader(io.StringIO(trials_csv(study))))
    assert row["accuracy"] == "0.25"
    assert row["metric.accuracy"] != "0.25"
    assert len(trials_table(study, filters=["accuracy=0.25"]).data) == len(study.trials)
    assert trials_table(study, columns=["accuracy"]).data[0] == {"accuracy": 0.25}
    assert drawn(trials_table(study))[0].split() == ["trial", "state", "epoch", "val_loss", "lr", "accuracy", "time"]


def test_an_objective_that_is_also_a_parameter_is_drawn_as_the_metric():
    spec = new_spec(parameters={"lr": FloatRange(min=0, max=1), "val_loss": FloatRange(min=0, max=1)})
    play = Play(spec)
    play._config = lambda: {"lr": 0.5, "val_loss": 0.25}
    study = play.to_the_end().machine
    assert drawn(trials_table(study))[0].split()[3:] == ["metric.val_loss", "lr", "val_loss", "time"]
    values = [row["value"] for row in trials_table(study, sort="metric.val_loss").data]
    assert values == sorted(values)


@pytest.mark.parametrize("width", [30, 50, 80, 110, 140])
def test_trials_are_drawn_in_whole_columns(width):
    names = [f"augmentation_strength_{i}" for i in range(6)]
    varied = {name: FloatRange(min=0, max=1) for name in names}
    play = Play(new_spec(parameters={**varied, "lr": FloatRange(min=0, max=1), "width": Constant(value=64)}))
    play._config = lambda: {**dict.fromkeys(names, 0.123456789), "lr": 0.5, "width": 64}
    study = play.to_the_end(fail_each=7).machine
    lines = drawn(trials_table(study), (width, 24))
    text = "\n".join(lines)
    assert "…" not in text
    heads = lines[0].split()
    assert set(heads) <= {"trial", "state", "epoch", "val_loss", *names, "lr", "time"}
    assert heads[:2] == ["trial", "state"]
    assert {line.split()[1] for line in lines[1 : 1 + len(study.trials)]} == {
        trial.state.value for trial in study.trials.values()
    }
    count = 12 - len(heads)
    assert count > 0
    note = " ".join(" ".join(lines[2 + len(study.trials) :]).split())
    assert note == f"{count} more column{'s' if count > 1 else ''}: --columns or --csv"


def test_nothing_is_said_of_columns_when_all_are_there(finished):
    lines = drawn(trials_table(finished))
    assert lines[0].split() == ["trial", "state", "epoch", "val_loss", "lr", "optimizer", "mixed", "time"]
    assert len(lines) == 1 + len(finished.trials)


def test_a_long_reason_is_folded_not_cut():
    study = Play(new_spec()).to_the_end().machine
    text = " ".join("\n".join(drawn(trials_table(study, columns=["trial", "state", "reason"]), (40, 24))).split())
    assert "…" not in text
    assert "budget" in text or "within the" in text


def test_trials_table_marks_repeats(paths):
    study = new_spec(budget=Budget(trials=2), search=Search(algorithm="random", repeats=1, finalists=1))
    play = Play(study).to_the_end()
    best = play.machine.best.number
    rows = trials_table(play.machine).data
    assert [row["repeat_of"] for row in rows] == [None, None, best]
    assert "repeat_of" in drawn(trials_table(play.machine), (120, 24))[0]
    assert [row["trial"] for row in trials_table(play.machine, filters=[f"repeat_of={best}"]).data] == [2]
