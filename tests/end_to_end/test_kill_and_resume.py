"""A driver that is killed with -9 loses nothing: real processes, real kills."""

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import processes
import pytest

TRIALS = 8

EXECUTORS = ["inline", *(pytest.param(name, marks=pytest.mark.ray) for name in ("ray", "tune"))]

SPEC = f"""
name: hardy
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: -1.0, max: 1.0}}}}
search: {{algorithm: random, seed: 3}}
scheduler: {{type: none, max_t: 3}}
budget: {{trials: {TRIALS}}}
resources: {{cpu: 1, max_concurrent: 2}}
promote: {{model: hardy}}
"""


class Study(processes.Study):
    def __init__(self, folder, executor):
        super().__init__(folder, executor, SPEC)


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_three_kills_lose_nothing_and_repeat_nothing(tmp_path, executor):
    study = Study(tmp_path, executor)
    # 1: in the middle of the very first trial, before it has a checkpoint.
    study.hold(0, 1)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: (0, 1, 1) in study.epochs(), "trial 0's first epoch")
    study.kill()
    study.release()
    # 2: after some trials, in the middle of one with checkpoints; with a torn last line for good measure.
    study.hold(3, 3)
    study.start("resume", "hardy")
    study.wait_for_epoch(3, 3)
    # A warm worker trains ahead of its reports.
    study.wait_for(lambda: any(line["trial"] == 3 for line in study.lines("reported")), "trial 3's first report")
    study.kill()
    with study.events.open("a") as file:
        file.write('{"time": 1, "type": "repor')
    study.release()
    # 3: when the last trials run.
    study.hold(TRIALS - 1, 2)
    study.start("resume", "hardy")
    study.wait_for(
        lambda: any(mark[0] == TRIALS - 1 and mark[2] == 2 for mark in study.epochs()), "the last trial's second epoch"
    )
    study.kill()
    study.release()
    study.start("resume", "hardy")
    assert study.ended() == 0, study.output()

    rows = json.loads(study.ask("trials", "hardy", "--json"))
    assert [row["trial"] for row in rows] == list(range(TRIALS)), "numbering is unbroken"
    assert {row["state"] for row in rows} == {"complete"}

    lines = study.lines()
    ended = [line["trial"] for line in lines if line["type"] == "attempt_ended" and line["outcome"] == "returned"]
    assert max(Counter(ended).values()) == 1, "no completed trial is run twice"
    finished = {}
    for number, line in enumerate(lines):
        if line["type"] == "attempt_ended" and line["outcome"] == "returned":
            finished[line["trial"]] = number
        elif line["type"] == "attempt_started":
            assert line["trial"] not in finished, f"trial {line['trial']} was started after its end"

    # Epochs that were on the disk when the driver died are not trained again.
    reports = {(line["trial"], int(line["metrics"]["epoch"])) for line in lines if line["type"] == "reported"}
    assert reports == {(trial, epoch) for trial in range(TRIALS) for epoch in (1, 2, 3)}
    attempts_of_3 = {mark for mark in study.epochs() if mark[0] == 3}
    assert len([mark for mark in attempts_of_3 if mark[2] == 1]) == 1, "trial 3 went on from its checkpoint"

    models = json.loads(study.ask("models", "ls", "--json"))
    assert [model["version"] for model in models] == ["v1"]
    again = study.ask("launch", "hardy.yaml", "--yes")
    assert "hardy is complete" in again
    assert [model["version"] for model in json.loads(study.ask("models", "ls", "--json"))] == ["v1"]


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_interrupt_once_ends_trials_at_their_next_report_and_leaves_a_resumable_study(tmp_path, executor):
    study = Study(tmp_path, executor)
    study.hold(1, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: any(mark[0] == 1 and mark[2] == 2 for mark in study.epochs()), "trial 1's second epoch")
    os.kill(study.driver.pid, signal.SIGINT)
    study.release()
    assert study.driver.wait(timeout=120) == 130, study.output()
    last = study.lines()[-1]
    assert (last["type"], last["complete"]) == ("run_ended", False)
    before = len(study.epochs())
    study.start("resume", "hardy")
    assert study.ended() == 0, study.output()
    assert {row["state"] for row in json.loads(study.ask("trials", "hardy", "--json"))} == {"complete"}
    # Nothing that was reported before the interrupt is trained again. Between rungs a warm worker goes on until it
    # hears of it: here each of two trials has two steps at most before its last, for which it waits.
    ahead = 4 if executor == "ray" else 0
    assert len(study.epochs()) <= TRIALS * 3 + ahead, (before, study.epochs())


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_interrupt_twice_ends_at_once(tmp_path, executor):
    study = Study(tmp_path, executor)
    study.hold(0, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: any(mark[0] == 0 and mark[2] == 2 for mark in study.epochs()), "trial 0's second epoch")
    os.kill(study.driver.pid, signal.SIGINT)
    study.wait_for(lambda: "Ctrl-C again ends everything now" in study.output(), "the answer to the first Ctrl-C")
    os.kill(study.driver.pid, signal.SIGINT)
    assert study.driver.wait(timeout=60) == 130, study.output()
    assert "Traceback" not in study.output()
    study.release()
    study.start("resume", "hardy")
    assert study.ended() == 0, study.output()


def test_second_driver_is_refused_while_the_first_is_at_work(tmp_path):
    study = Study(tmp_path, "inline")
    study.hold(0, 1)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: (0, 1, 1) in study.epochs(), "trial 0's first epoch")
    second = subprocess.run(
        study.command("resume", "hardy", "--executor", "inline"),
        cwd=study.folder,
        env=study.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "study 'hardy' is at work in another process" in second.stderr
    study.kill()


def test_paths_stay_right_from_another_folder(tmp_path):
    """A resume from elsewhere finds train.py, for relative paths are from where the study was launched."""
    study = Study(tmp_path, "inline")
    study.hold(0, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: any(mark[2] == 2 for mark in study.epochs()), "the second epoch")
    study.kill()
    study.release()
    done = subprocess.run(
        study.command("resume", "hardy", "--executor", "inline", "--storage", str(tmp_path / "studies")),
        cwd=Path("/"),
        env=study.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS[:2])
def test_paused_trials_outlive_a_kill_and_go_on_from_their_rung(tmp_path, executor):
    study = Study(tmp_path, executor)
    text = SPEC.replace("{type: none, max_t: 3}", "{max_t: 3, promote: true}").replace(
        "max_concurrent: 2", "max_concurrent: 1"
    )
    (tmp_path / "hardy.yaml").write_text(text)
    study.hold(2, 1)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: any((trial, epoch) == (2, 1) for trial, _, epoch in study.epochs()), "epoch 1 of trial 2")
    study.kill()
    paused = [line["trial"] for line in study.lines() if line["type"] == "decided" and line["action"] == "pause"]
    assert list(dict.fromkeys(paused)) == [0, 1]
    study.release()
    study.ask("resume", "hardy", "--executor", executor)
    lines = study.lines()
    assert lines[-1]["type"] in ("run_ended", "promoted", "promotions_done")
    trained = Counter((trial, epoch) for trial, _, epoch in study.epochs())
    # Only what was at work when the driver was killed is trained twice; its worker may live on for an instant.
    assert {trial for (trial, _), count in trained.items() if count > 1} <= {2}
    rows = json.loads(study.ask("trials", "hardy", "--json"))
    assert {row["state"] for row in rows} == {"complete", "stopped"}
    assert all(row["t"] == 3 for row in rows if row["state"] == "complete")
    assert all("its turn never came" in row["reason"] for row in rows if row["state"] == "stopped")
