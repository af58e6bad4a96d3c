"""Verbs on a cluster elsewhere, typed on a machine that has nothing of it but its address and its token."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from heads import head

TOKEN = "5" * 64
SPEC = """
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
search: {algorithm: random}
scheduler: {type: none, max_t: 3}
budget: {trials: TRIALS}
resources: {cpu: 1}
retries: {max: 0}
"""
TRAIN = """
import time
from helper import SECONDS

def train(config, ctx):
    for epoch in range(ctx.t + 1, ctx.max_t + 1):
        time.sleep(SECONDS)
        print("at epoch", epoch)
        ctx.report({"loss": config["x"] / epoch}, checkpoint=lambda: {"x": config["x"]})
"""


@pytest.fixture(scope="module")
def cluster():
    with head(TOKEN) as found:
        yield found


@pytest.fixture
def there(cluster, tmp_path):
    """Runs the command in a project's folder, for the cluster; returns what it did."""
    address, _ = cluster
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "helper.py").write_text("SECONDS = 0.25\n")
    (tmp_path / "short.yaml").write_text(SPEC.replace("TRIALS", "3"))
    (tmp_path / "long.yaml").write_text(SPEC.replace("TRIALS", "60"))

    def run(*words, token=TOKEN, **settings):
        environment = {**os.environ, **settings, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        for name in ("RAY_ADDRESS", "SWEEP_STORAGE", "SWEEP_REGISTRY"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "sweep", *words, "--address", address]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=240
        )

    return run


def wait_for(look, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_is_launched_followed_and_read_from_a_machine_that_holds_nothing_of_it(there, cluster, tmp_path):
    _, home = cluster
    done = there("launch", "short.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "study short complete" in done.stdout
    assert "entrypoint for job" not in done.stdout
    assert not done.stderr
    assert not (tmp_path / "studies").exists()
    assert (home / "sweep" / "studies" / "short" / "events.jsonl").is_file()
    status = json.loads(there("status", "short", "--json").stdout)
    assert status["state"] == "complete"
    assert "at epoch 3" in there("logs", "short", "0").stdout


@pytest.mark.ray
@pytest.mark.slow
def test_who_collects_logs_here_gets_objects_of_what_is_printed_there(there):
    done = there("launch", "short.yaml", "--name", "spoken", SWEEP_LOG_FORMAT="json")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    printed = {(each.get("trial"), each["message"]) for each in records if "event" not in each}
    assert {(trial, "at epoch 3") for trial in range(3)} <= printed


@pytest.mark.ray
@pytest.mark.slow
def test_a_study_that_is_left_alone_can_be_interrupted_and_resumed_with_the_files_sent_anew(there, cluster, tmp_path):
    left = there("launch", "long.yaml", "--detach")
    assert left.returncode == 0
    assert "It goes on without this machine" in left.stdout
    (job,) = re.findall(r"job (\S+) runs", left.stdout)

    def state():
        found = there("status", "long", "--json")
        return json.loads(found.stdout)["state"] if found.returncode == 0 else None

    wait_for(lambda: state() == "running")
    stop_job(cluster[0], job)
    assert wait_for(lambda: state() not in (None, "running") and state()) == "interrupted"
    (tmp_path / "helper.py").write_text("SECONDS = 0.01\n")
    resumed = there("resume", "long")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "long: going on after" in resumed.stdout
    assert "study long complete" in resumed.stdout
    assert "60 trials (60 complete)" in resumed.stdout


def stop_job(address, job):
    code = f"from sweep.remote.jobs import connect; connect({address!r}).stop_job({job!r})"
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)


@pytest.mark.ray
@pytest.mark.slow
def test_wrong_input_has_the_exit_code_and_the_words_that_it_has_here(there, tmp_path):
    (tmp_path / "bad.yaml").write_text(SPEC.replace("TRIALS", "many"))
    refused = there("launch", "bad.yaml")
    assert refused.returncode == 2
    assert "bad.yaml:7:18: budget.trials" in refused.stdout + refused.stderr
    assert there("launch", "none.yaml").returncode == 2
    stranger = there("status", "short", token="6" * 64)
    assert stranger.returncode == 2
    assert "no Ray cluster takes a job" in stranger.stderr


@pytest.mark.ray
def test_a_cluster_is_examined_by_a_job_on_its_head(there, tmp_path):
    asked = there("doctor", "--storage", str(tmp_path / "studies"), "--registry", str(tmp_path / "registry"), "--json")
    report = json.loads(asked.stdout)
    node, together = report["places"]
    assert "PyTorch" in {finding["name"] for finding in node["findings"]}
    assert [finding["verdict"] for finding in together["findings"]] == ["ok"] * 4
    assert report["versions"][-1]["place"] == "this machine"
    assert asked.returncode == (1 if "fail" in {finding["verdict"] for finding in node["findings"]} else 0)
