"""A head is lost with all that ran there, the study's driver too; another goes on from the folder that they share."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import pytest
from heads import headed

from sweep.store import holding, study_folder
from sweep.store.paths import study_paths

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TOKEN = "8" * 64
TRIALS, EPOCHS = 8, 4
SPEC = f"""
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
search: {{algorithm: random, seed: 2}}
scheduler: {{type: none, max_t: {EPOCHS}}}
budget: {{trials: {TRIALS}}}
resources: {{cpu: 1}}
retries: {{max: 0}}
storage: STORAGE
"""
TRAIN = """
import time

def train(config, ctx):
    ctx.restore()
    for epoch in range(ctx.t + 1, ctx.max_t + 1):
        time.sleep(0.3)
        ctx.report({"loss": config["x"] / epoch}, checkpoint={"x": config["x"]})
"""


def test_study_whose_head_was_lost_is_resumed_on_another_and_finished_trials_stay_untouched(tmp_path):
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    (project / "train.py").write_text(TRAIN)
    (project / "vast.yaml").write_text(SPEC.replace("STORAGE", str(tmp_path / "shared")))
    paths = study_paths(tmp_path / "shared", "vast")

    def sweep(*words):
        environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        for name in ("RAY_ADDRESS", "SWEEP_STORAGE", "SWEEP_REGISTRY"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "sweep", *words]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=project, env=environment, timeout=300
        )

    with headed(TOKEN, home) as (address, lose):
        left = sweep("launch", "vast.yaml", "--address", address, "--detach")
        assert left.returncode == 0, left.stdout + left.stderr
        wait_for(lambda: len(finished(lines(paths))) >= 3 and at_work(lines(paths)), "three trials, and others at work")
        lose()
        wait_for(lambda: not holding.is_at_work(paths), "the end of the driver")
    before = lines(paths)
    done = finished(before)
    assert 3 <= len(done) < TRIALS
    with headed(TOKEN, home) as (address, _):
        resumed = sweep("resume", "vast", "--storage", str(paths.root.parent), "--address", address)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert f"vast: going on after {len({e['trial'] for e in before if 'trial' in e})} trials" in resumed.stdout
    after = lines(paths)
    assert after[: len(before)] == before
    again = {event["trial"] for event in after[len(before) :] if event["type"] == "attempt_started"}
    assert not again & done.keys(), "what had finished is not begun again"
    assert finished(after).keys() == set(range(TRIALS))
    assert done.items() <= finished(after).items()
    machine = study_folder.read(paths).machine
    assert machine.ended is not None
    assert machine.ended.complete
    losses = {trial.number: trial.reports[-1].metrics["loss"] for trial in machine.trials.values()}
    assert losses == pytest.approx({n: trial.config["x"] / EPOCHS for n, trial in machine.trials.items()})
    trained = Counter((e["trial"], e["metrics"]["epoch"]) for e in after if e["type"] == "reported")
    assert set(trained) == {(trial, epoch) for trial in range(TRIALS) for epoch in range(1, EPOCHS + 1)}
    assert all(count == 1 for count in trained.values()), "they went on from their checkpoints"


def lines(paths):
    text = paths.events.read_text() if paths.events.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def finished(events):
    """Trials that came to their ends, and when that was decided on their last report."""
    return {e["trial"]: e["time"] for e in events if e["type"] == "decided" and e["action"] == "finish"}


def at_work(events):
    started = {(e["trial"], e["attempt"]) for e in events if e["type"] == "attempt_started"}
    return started - {(e["trial"], e["attempt"]) for e in events if e["type"] == "attempt_ended"}


def wait_for(look, what, seconds=180):
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
