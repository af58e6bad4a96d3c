"""What the reading verbs show, as data and drawn."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from plays import AsciiStream, Play, drawn, new_spec
from rich.cells import cell_len
from rich.console import Console

from sweep.core import events as ev
from sweep.core import plan
from sweep.core.spec import Budget, Constant, FloatRange, Metric, Resources, Scheduler, Search
from sweep.core.study import StudyMachine
from sweep.errors import InputError
from sweep.store import checkpoints
from sweep.store.paths import StudyPaths
from sweep.watch.outlooks import outlook_text
from sweep.watch.plan import plan_view
from sweep.watch.summary import summary
from sweep.watch.tables import (
    best,
    state_word,
    status,
    studies_table,
    study_row,
    trial_story,
    trials_csv,
    trials_table,
)  # fmt: skip
from sweep.watch.text import number


def views(study, paths):
    return {
        "ls": studies_table([study_row(study, paths)]),
        "status": status(study, paths),
        "trials": trials_table(study),
        "best": best(study, paths),
        "story": trial_story(study, paths, 0),
        "summary": summary(study, paths),
    }


@pytest.mark.parametrize("name", ["ls", "status", "trials", "best", "story", "summary"])
def test_no_line_is_wider_than_the_console(finished, paths, size, name):
    view = views(finished, paths)[name]
    assert max(map(cell_len, drawn(view, size))) <= size[0]
    assert json.loads(view.json()) == view.data


@pytest.mark.parametrize("name", ["ls", "status", "trials", "best", "story", "summary"])
def test_ascii_consoles_get_ascii_without_escape_codes(finished, paths, name, ascii_stream: AsciiStream):
    Console(file=ascii_stream, width=80, no_color=True, _environ={}).print(views(finished, paths)[name])
    assert "\x1b" not in ascii_stream.text()


def test_state_words(spec):
    study = Play(spec)
    assert state_word(study.machine, live=False) == "interrupted"
    study.begin()
    study.step()
    assert state_word(study.machine, live=True) == "running"
    assert state_word(study.machine, live=False) == "interrupted"
    study.handle(ev.StopRequested(time=study.now, reason="SIGINT"))
    study.report(0)
    assert state_word(study.machine, live=False) == "interrupted"
    study.begin()
    assert state_word(study.to_the_end().machine, live=False) == "complete"


def test_status_tells_where_the_study_stands(finished, paths):
    data = status(finished, paths).data
    counts = {state.value: count for state, count in finished.counts().items()}
    assert data["trials"] == counts
    assert data["state"] == "complete"
    assert data["budget"]["trials"] == {"limit": 12, "used": 12, "left": 0}
    assert data["best"]["trial"] == finished.best.number
    first, *_, last = data["rungs"]
    assert first["t"] == 1
    assert first["reached"] == first["advanced"] + first["stopped"]
    assert last["t"] == 9
    (failure,) = data["failures"]
    assert failure["reason"] == "ValueError: no [bold]luck[/bold] ✗"
    assert len(failure["trials"]) == counts["failed"]
    assert failure["log"] == str(paths.trial(failure["trials"][0]).attempt_log(1))
    text = "\n".join(drawn(status(finished, paths)))
    assert "12 of 12, 0 left" in text
    assert "[bold]luck[/bold]" in text


def test_status_knows_time_gpu_hours_and_the_dashboard(paths):
    play = Play(new_spec(budget=Budget(time="10m", gpu_hours=1)))
    play.begin(dashboard="http://127.0.0.1:8265")
    for _ in range(20):
        play.step()
    data = status(play.machine, paths, live=True).data
    assert data["budget"]["time_s"]["left"] == 600 - play.machine.elapsed_s
    attempts = [attempt for trial in play.machine.trials.values() for attempt in trial.attempts]
    seconds = sum((attempt.ended or play.now) - attempt.started for attempt in attempts)
    assert data["budget"]["gpu_hours"]["used"] == pytest.approx(seconds * 0.25 / 3600)
    assert data["dashboard"] == "http://127.0.0.1:8265"
    assert data["slots"] == 3


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


@pytest.mark.parametrize("soft_wrap", [True, False])
def test_no_path_is_cut(finished, soft_wrap):
    """In one piece where the terminal goes on by itself in its next row, else folded."""
    folder = Path("/home/somebody/" + "a-folder-with-a-long-name/" * 5 + "studies/toy")
    out = io.StringIO()
    console = Console(file=out, width=60, legacy_windows=False, soft_wrap=soft_wrap, _environ={})
    for view in (summary(finished, StudyPaths(folder)), status(finished, StudyPaths(folder))):
        console.print(view)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert (str(folder) in "\n".join(lines)) is soft_wrap
    assert (f"tensorboard --logdir {folder}/trials" in lines) is soft_wrap
    assert str(folder) in "".join(lines)
    assert soft_wrap or max(map(len, lines)) <= 60
    assert out.getvalue() == "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def test_a_path_in_an_attempts_error_is_in_one_piece():
    play = Play(new_spec(), slots=1)
    play.begin()
    play.step()
    path = "/home/somebody/" + "a-folder-with-a-long-name/" * 5 + "data.npz"
    error = f"Traceback (most recent call last):\nFileNotFoundError: {path}"
    play.handle(ev.AttemptEnded(time=play.now, trial=0, attempt=1, outcome="failed", error=error))
    out = io.StringIO()
    story = trial_story(play.machine, StudyPaths(Path("toy")), 0)
    Console(file=out, width=60, legacy_windows=False, soft_wrap=True, _environ={}).print(story)
    assert path in [line.strip() for line in out.getvalue().splitlines()]


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


def test_a_rungs_best_is_the_value_reported_there():
    play = Play(new_spec(budget=Budget(trials=1)), slots=1)
    play.begin()
    play.step()
    for value in (0.9, 0.1, 0.7, 0.2, 0.6, 0.5, 0.4, 0.3, 0.8):
        play.report(0, value)
    rows = status(play.machine, StudyPaths(Path("nowhere"))).data["rungs"]
    assert [(row["t"], row["best"]) for row in rows] == [(1, 0.9), (3, 0.7), (9, 0.8)]


def test_a_study_that_nobody_works_on_has_no_running_trials(spec, paths):
    play = Play(spec)
    play.begin()
    play.step()
    play.report(0, 0.5)
    views = [
        status(play.machine, paths), summary(play.machine, paths), trials_table(play.machine),
        trial_story(play.machine, paths, 0), best(play.machine, paths), studies_table([study_row(play.machine, paths)]),
    ]  # fmt: skip
    for view in views:
        assert "running" not in "\n".join(drawn(view)) + json.dumps(view.data).replace('"running": 0', "")
    data = status(play.machine, paths).data
    assert (data["trials"]["waiting"], data["attempts"]) == (3, {"lost": 1})
    assert "3 waiting to go on" in "\n".join(drawn(status(play.machine, paths)))
    assert len(trials_table(play.machine, filters=["state=waiting"]).data) == 3
    assert "state,waiting" not in trials_csv(play.machine, columns=["state"], live=True)
    live = status(play.machine, paths, live=True)
    assert live.data["trials"]["running"] == 1
    assert "1 running" in "\n".join(drawn(live))
    assert trial_story(play.machine, paths, 0, live=True).data["attempts"][0]["outcome"] == "running"


def test_nan_is_null_in_json(paths):
    play = Play(new_spec(scheduler=Scheduler(max_t=9, type="none")), slots=1)
    play.begin()
    play.step()
    play.report(0, float("nan"))
    report = trial_story(play.machine, paths, 0).data["reports"][0]
    assert report["metrics"]["val_loss"] is None
    assert "NaN" not in trial_story(play.machine, paths, 0).json()


def test_best_tells_config_curve_and_the_checkpoint_that_is_there(finished, paths):
    trial = finished.best
    assert best(finished, paths).data["checkpoint"] is None
    place = paths.root / trial.best(finished.metric, with_checkpoint=True).checkpoint
    checkpoints.write(place, lambda beside: (beside / "state.json").write_text("{}"), {})
    data = best(finished, paths).data
    assert data["checkpoint"] == str(place)
    assert data["config"] == trial.config
    assert data["value"] == trial.value(finished.metric)
    assert [point["t"] for point in data["curve"]] == [report.t for report in trial.reports]


def test_best_before_any_value_says_so(spec, paths):
    view = best(StudyMachine(spec), paths)
    assert view.data["trial"] is None
    assert drawn(view) == ["toy: no trial has reported a finite val_loss yet."]


def test_a_trials_story_has_attempts_and_reasons(finished, paths):
    failed = next(trial for trial in finished.trials.values() if trial.state.value == "failed")
    data = trial_story(finished, paths, failed.number).data
    assert data["attempts"][0]["outcome"] == "failed"
    assert data["attempts"][0]["log"] == str(paths.trial(failed.number).attempt_log(1))
    stopped = next(trial for trial in finished.trials.values() if trial.state.value == "stopped")
    text = " ".join("\n".join(drawn(trial_story(finished, paths, stopped.number), (120, 40))).split())
    assert stopped.reason in text
    assert "stop" in text


def test_a_trials_story_shows_its_learning_curve(finished, paths):
    trial = finished.best
    lines = [line.split() for line in drawn(trial_story(finished, paths, trial.number))]
    start = lines.index(["epoch", "val_loss", "accuracy"])
    rows = lines[start + 1 : start + 1 + len(trial.reports)]
    assert rows == [[str(r.t), number(r.metrics["val_loss"]), number(r.metrics["accuracy"])] for r in trial.reports]


def test_a_long_learning_curve_is_thinned_out_but_keeps_its_best(paths):
    play = Play(new_spec(scheduler=Scheduler(max_t=100), budget=Budget(trials=1)), slots=1)
    play.begin()
    play.step()
    for t in range(1, 101):
        play.report(0, 0.5 if t == 62 else 2 - t / 100)
    lines = [line.split() for line in drawn(trial_story(play.machine, paths, 0))]
    start = lines.index(["epoch", "val_loss", "accuracy"])
    shown = [int(line[0]) for line in lines[start + 1 : lines.index([], start)]]
    assert (shown[0], shown[-1]) == (1, 100)
    assert 62 in shown
    assert len(shown) <= 13
    assert f"{100 - len(shown)} more reports: --json".split() in lines


def test_no_such_trial(finished, spec, paths):
    with pytest.raises(InputError, match=r"toy has no trial 99\. Its trials are 0 to 11\."):
        trial_story(finished, paths, 99)
    with pytest.raises(InputError, match=r"toy has no trial 0\. It has none yet\."):
        trial_story(StudyMachine(spec), paths, 0)


def test_summary_tells_what_won_what_it_took_and_what_next(finished, paths, monkeypatch):
    monkeypatch.chdir(paths.root.parent.parent)
    finished.handle(
        ev.Promoted(
            time=0, trial=finished.best.number, model="toy", version=7, alias="champion", path="registry/toy/v7"
        )
    )
    view = summary(finished, paths)
    steps = sum(trial.t for trial in finished.trials.values())
    assert view.data["spent"] == {"unit": "epoch", "steps": steps, "full": 108, "ratio": steps / 108}
    text = " ".join("\n".join(drawn(view, (120, 40))).split())
    assert f"{steps} of the 108 epochs that full runs would take" in text
    assert "toy v7 (champion): registry/toy/v7" in text
    assert "optimizer" in text
    assert view.data["next"] == [
        f"sweep logs toy {status(finished, paths).data['failures'][0]['trials'][0]}",
        "sweep trials toy",
        "sweep best toy",
        "tensorboard --logdir studies/toy/trials",
        "sweep models show toy",
    ]


def test_summary_of_an_interrupted_study_says_how_to_go_on(spec):
    view = summary(StudyMachine(spec), StudyPaths(Path("my studies/toy")))
    assert view.data["next"][0] == "sweep resume toy --storage 'my studies'"
    assert not [command for command in view.data["next"] if command.startswith("sweep best")]
    assert "tensorboard --logdir 'my studies/toy/trials'" in view.data["next"]
    assert "No trial reported a finite val_loss." in drawn(view)[0]


def test_next_commands_name_the_folders_that_are_not_the_default(finished, paths, monkeypatch):
    monkeypatch.chdir(paths.root.parent.parent.parent)
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    monkeypatch.delenv("SWEEP_REGISTRY", raising=False)
    promoted = ev.Promoted(
        time=0, trial=0, model="toy", version=1, path=str(paths.root.parent.parent / "models/toy/v1")
    )
    finished.handle(promoted)
    here = paths.root.parent.parent.name
    commands = summary(finished, paths).data["next"]
    assert f"sweep trials toy --storage {here}/studies" in commands
    assert f"sweep best toy --storage {here}/studies" in commands
    assert f"sweep models show toy --registry {here}/models" in commands
    monkeypatch.setenv("SWEEP_STORAGE", f"{here}/studies")
    assert "sweep best toy" in summary(finished, paths).data["next"]


@pytest.mark.parametrize(("resources", "row"), [(Resources(gpu=0.25), True), (Resources(), False)])
def test_the_plan_speaks_of_gpu_hours_only_where_a_gpu_is_taken(resources, row):
    spec = new_spec(resources=resources, budget=Budget(trials=1, time="5m"))
    text = "\n".join(drawn(plan_view(spec, plan.make(spec, slots=1))))
    assert ("GPU-hours" in text) is row
    assert "1 trial or 5m" in text


def test_the_plan_of_a_share_without_a_gpu_has_no_gpu_hours():
    spec = new_spec()
    made = replace(plan.make(spec, slots=1), gpu=0.0)
    assert "GPU-hours" not in "\n".join(drawn(plan_view(spec, made)))


def test_counts_of_one_are_singular(spec):
    study = Play(new_spec(budget=Budget(trials=1))).to_the_end().machine
    assert study.ended.reason == "budget.trials is used up: 1 trial"


def test_status_of_a_study_with_repeats_names_its_finalists_and_what_more_would_buy(paths):
    study = new_spec(
        budget=Budget(trials=24),
        scheduler=Scheduler(type="none", max_t=1),
        search=Search(algorithm="random", repeats=2),
    )
    play = Play(study).to_the_end()
    view = status(play.machine, paths)
    finalists = view.data["repeats"]["finalists"]
    assert [each["trial"] for each in finalists] == [trial.number for trial in play.machine.ranked()[:3]]
    assert view.data["outlook"]["trials"] == 24
    text = "\n".join(drawn(view, (120, 60)))
    assert f"trial {finalists[0]['trial']}: mean" in text
    assert view.data["rungs"][0]["reached"] == 24, "repeats are at no rung"
    assert "over 2 other seeds, spread" in text
    assert "24 more trials would likely improve val_loss by" in text
    row = study_row(play.machine, paths)
    assert (row["trials"], row["repeats"]) == (30, 6)
    assert "24 of 24 + 6" in "\n".join(drawn(studies_table([row])))


def test_trials_table_marks_repeats(paths):
    study = new_spec(budget=Budget(trials=2), search=Search(algorithm="random", repeats=1, finalists=1))
    play = Play(study).to_the_end()
    best = play.machine.best.number
    rows = trials_table(play.machine).data
    assert [row["repeat_of"] for row in rows] == [None, None, best]
    assert "repeat_of" in drawn(trials_table(play.machine), (120, 24))[0]
    assert [row["trial"] for row in trials_table(play.machine, filters=[f"repeat_of={best}"]).data] == [2]


def test_study_that_is_paused_is_called_so_only_while_somebody_is_at_work(paths):
    play = Play(new_spec())
    play.begin()
    request = ev.Request(id="1", time=play.now, verb="pause")
    play.handle(ev.Controlled(time=play.now, request=request, accepted=True, answer="no trial is started"))
    assert status(play.machine, paths, live=True).data["state"] == "paused"
    assert status(play.machine, paths, live=False).data["state"] == "interrupted"


def test_words_for_prospects():
    data = {"trials": 36, "gain": 0.002, "low": 0.0, "high": 0.0061234, "sure": 0.9}
    text = "36 more trials would likely improve val_loss by 0.002 (90 %: 0 to 0.006123)"
    assert outlook_text("val_loss", data) == text
    assert outlook_text("val_loss", {**data, "high": 0.0}) == "36 more trials would hardly improve val_loss"
