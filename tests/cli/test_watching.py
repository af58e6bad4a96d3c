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


def test_watching_creates_nothing(launch, sweep, folder):
    launch()
    before = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    sweep("watch", "toy", "--json")
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == before
