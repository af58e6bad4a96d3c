"""A driver that is killed with -9 loses nothing: real processes, real kills."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TRIALS = 8

EXECUTORS = ["inline", *(pytest.param(name, marks=pytest.mark.ray) for name in ("ray", "tune"))]

TRAIN = '''
import os, pathlib, time

def train(config, ctx):
    """Each epoch leaves a mark, and waits where the test holds the study up."""
    state = ctx.restore() or {"epoch": 0}
    marks = pathlib.Path(os.environ["SWEEP_TEST_MARKS"])
    for epoch in range(state["epoch"] + 1, 4):
        with (marks / "epochs").open("a") as file:
            file.write(f"{ctx.trial} {ctx.attempt} {epoch}\\n")
        gate = marks / f"hold-{ctx.trial}-{epoch}"
        while gate.exists():
            time.sleep(0.02)
        ctx.report({"epoch": epoch, "loss": abs(config["x"]) + 1 / epoch}, checkpoint={"epoch": epoch})
'''

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


class Study:
    def __init__(self, folder, executor):
        self.folder, self.executor = folder, executor
        self.marks = folder / "marks"
        self.marks.mkdir()
        (folder / "train.py").write_text(TRAIN)
        (folder / "hardy.yaml").write_text(SPEC)
        self.events = folder / "studies" / "hardy" / "events.jsonl"
        self.driver = None

    def command(self, *arguments):
        return [sys.executable, "-m", "sweep", *arguments]

    def environment(self):
        return {**os.environ, "SWEEP_TEST_MARKS": str(self.marks), "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments):
        with (self.folder / "out.log").open("a") as out:
            self.driver = subprocess.Popen(
                self.command(*arguments, "--executor", self.executor),
                cwd=self.folder,
                env=self.environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def hold(self, trial, epoch):
        (self.marks / f"hold-{trial}-{epoch}").touch()

    def release(self):
        for gate in self.marks.glob("hold-*"):
            gate.unlink()

    def wait_for(self, condition, what):
        """Until the condition holds; the driver's end or two minutes are a failure."""
        import time

        deadline = time.monotonic() + 120
        while not condition():
            assert self.driver.poll() is None, f"the driver ended before {what}:\n{self.output()}"
            assert time.monotonic() < deadline, f"{what} never came:\n{self.output()}"
            time.sleep(0.02)

    def output(self):
        return (self.folder / "out.log").read_text()

    def kill(self):
        """-9 to the driver alone: what it started must look after itself, or be gone with Ray."""
        os.kill(self.driver.pid, signal.SIGKILL)
        self.driver.wait()

    def lines(self):
        return [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else []

    def epochs(self):
        path = self.marks / "epochs"
        return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []

    def run(self, *arguments):
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout


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
    study.wait_for(lambda: any(mark[0] == 3 and mark[2] == 3 for mark in study.epochs()), "trial 3's third epoch")
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
    assert study.driver.wait(timeout=180) == 0, study.output()

    rows = json.loads(study.run("trials", "hardy", "--json"))
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

    models = json.loads(study.run("models", "ls", "--json"))
    assert [model["version"] for model in models] == ["v1"]
    again = study.run("launch", "hardy.yaml", "--yes")
    assert "hardy is complete" in again
    assert [model["version"] for model in json.loads(study.run("models", "ls", "--json"))] == ["v1"]


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
    assert study.driver.wait(timeout=180) == 0, study.output()
    assert {row["state"] for row in json.loads(study.run("trials", "hardy", "--json"))} == {"complete"}
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
    assert study.driver.wait(timeout=180) == 0, study.output()


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
