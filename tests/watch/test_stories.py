"""The story of one trial, and that of the best."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from plays import Play, drawn, new_spec
from rich.console import Console

from sweep.core import events as ev
from sweep.core.spec import Budget, Scheduler
from sweep.core.study import StudyMachine
from sweep.errors import InputError
from sweep.store import checkpoints
from sweep.store.paths import StudyPaths
from sweep.watch.tables import (
    best,
    trial_story,
)  # fmt: skip
from sweep.watch.text import number


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
