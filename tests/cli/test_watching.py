"""`sweep watch`: a study that runs in another process."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

WAITING = """
import pathlib, time

def train(config, ctx):
    for epoch in range(1, 4):
        while epoch == 2 and not pathlib.Path("go").exists():
            time.sleep(0.01)
        ctx.report({"epoch": epoch, "loss": abs(config["x"]) + 1 / epoch})
"""
COMMAND = [sys.executable, "-m", "sweep"]


@pytest.fixture
def running(folder):
    """A study whose first trial waits for a file before its second epoch."""
    (folder / "train.py").write_text(WAITING)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*COMMAND, "launch", "toy.yaml", "--executor", "inline", "--yes", "--json"]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    for line in launcher.stdout:
        if json.loads(line)["type"] == "reported":
            break
    yield env
    Path("go").touch()
    launcher.communicate(timeout=60)


def test_events_come_as_they_happen_until_the_study_ends(running):
    watch = subprocess.Popen([*COMMAND, "watch", "toy", "--json"], stdout=subprocess.PIPE, text=True, env=running)
    first = json.loads(watch.stdout.readline())
    assert first["type"] in ("reported", "decided")  # where the study stood
    Path("go").touch()
    rest = [json.loads(line) for line in watch.stdout]
    assert watch.wait(timeout=60) == 0
    watch.stdout.close()
    log = [json.loads(line) for line in Path("studies/toy/events.jsonl").read_text().splitlines()]
    assert rest == log[len(log) - len(rest) :]
    assert sum(event["type"] == "run_ended" for event in rest) == 1


def test_a_terminal_is_given_back_as_it_was(running):
    leader, follower = pty.openpty()
    watch = subprocess.Popen(
        [*COMMAND, "watch", "toy"], stdout=follower, stdin=follower, stderr=follower, env={**running, "TERM": "xterm"}
    )
    os.close(follower)
    seen = b""
    while b"slots busy" not in seen:
        seen += os.read(leader, 4096)
    Path("go").touch()
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert watch.wait(timeout=60) == 0
    os.close(leader)
    enter, leave = seen.index(b"\x1b[?1049h"), seen.index(b"\x1b[?1049l")
    assert enter < leave
    # The last picture stays, after the screen was given back.
    assert b"complete" in seen[leave:]


def test_a_study_that_has_ended_is_shown_and_left(launch, sweep):
    launch()
    done = sweep("watch", "toy")
    assert done.code == 0
    assert "complete" in done.out
    assert "Nobody works on toy now" in done.err
    collected = sweep("watch", "toy", "--log-format", "json")
    assert (collected.out, collected.code) == ("", 0)
    assert "Nobody works on toy now" in collected.err


def test_watching_creates_nothing(launch, sweep, folder):
    launch()
    before = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    sweep("watch", "toy", "--json")
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == before


def test_who_collects_logs_gets_what_a_trial_prints_of_a_study_elsewhere(running):
    command = [*COMMAND, "watch", "toy", "--log-format", "json"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=running)
    assert "is at work" in json.loads(watch.stdout.readline())["message"]
    Path("go").touch()
    records = [json.loads(line) for line in watch.stdout]
    assert watch.wait(timeout=60) == 0
    watch.stdout.close()
    assert any(each["message"].startswith("epoch 2: loss") and each["trial"] == 0 for each in records)
    assert all(each["study"] == "toy" for each in records)
    assert records[-1]["event"] == "run_ended"


LOUD = """
import logging, sys, warnings

def train(config, ctx):
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
    print("to stdout")
    print("to stderr", file=sys.stderr)
    warnings.warn("take care")
    logging.info("by a logger")
    ctx.report({"epoch": 1, "loss": 1.0})
    if ctx.trial == 1:
        raise ValueError("told to fail")
"""


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])])
def test_stdout_is_json_alone_and_has_what_trials_print(folder, executor):
    (folder / "train.py").write_text(LOUD)
    command = [*COMMAND, "launch", "toy.yaml", "--executor", executor, "--set", "retries.max=0"]
    command += ["--address", "local"] if executor == "ray" else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SWEEP_LOG_FORMAT": "json"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    lines = {(each["message"], each["level"]) for each in records if each.get("trial") == 1 and "event" not in each}
    assert {("to stdout", "info"), ("to stderr", "info"), ("INFO by a logger", "info")} <= lines
    assert any("UserWarning: take care" in message and level == "warning" for message, level in lines)
    assert ("ValueError: told to fail", "error") in lines
    assert all(
        each["attempt"] == 1 and each["rank"] == 0 for each in records if "trial" in each and "event" not in each
    )
    again = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert "is complete" in json.loads(again.stdout.splitlines()[-1])["message"]


def test_asking_for_events_is_not_undone_by_the_environment(sweep, monkeypatch):
    monkeypatch.setenv("SWEEP_LOG_FORMAT", "json")
    done = sweep("launch", "toy.yaml", "--executor", "inline", "--json")
    assert {"run_started", "run_ended"} <= {json.loads(line)["type"] for line in done.out.splitlines()}
