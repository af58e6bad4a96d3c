"""What a study does when memory runs out, a process dies, or a node does: real studies, real kills."""

import json
import os
import signal
import subprocess
import sys
import time

import nodes
import pytest

ENTRY = '''
import os, pathlib, signal, time
import torch

def shrinking(config, ctx):
    """Fits no more than three samples at once."""
    weight = torch.zeros(2, requires_grad=True)
    state = ctx.restore() or {"epoch": 0}
    for epoch in range(state["epoch"] + 1, 4):
        for (batch,), share in ctx.parts(torch.ones(8, 2)):
            if epoch > 1 and len(batch) > 3:
                raise MemoryError
            (share * (batch @ weight).mean()).backward()
        ctx.report({"epoch": epoch, "loss": abs(config["x"])}, checkpoint={"epoch": epoch})

def stubborn(config, ctx):
    ctx.report({"epoch": 1, "loss": abs(config["x"])}, checkpoint={"epoch": 1})
    raise MemoryError

def dying(config, ctx):
    state = ctx.restore() or {"epoch": 0}
    for epoch in range(state["epoch"] + 1, 4):
        ctx.report({"epoch": epoch, "loss": abs(config["x"])}, checkpoint={"epoch": epoch})
        if epoch == 2 and ctx.attempt == 1:
            # The report of epoch 2 is sent when its checkpoint is complete.
            while not list(pathlib.Path(ctx.log_dir).parent.glob("checkpoints/epoch-2")):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

def waiting(config, ctx):
    """Waits in epoch 2 until it may go on."""
    state = ctx.restore() or {"epoch": 0}
    for epoch in range(state["epoch"] + 1, 4):
        ctx.report({"epoch": epoch, "loss": abs(config["x"])}, checkpoint={"epoch": epoch})
        while epoch == 2 and ctx.attempt == 1:
            time.sleep(0.05)
'''

SPEC = """
name: lossy
entrypoint: train.py:{function}
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: -1.0, max: 1.0}}}}
search: {{algorithm: random, seed: 3}}
scheduler: {{type: none, max_t: 3}}
budget: {{trials: {trials}, failures: 3}}
resources: {{cpu: 1, max_concurrent: 1}}
retries: {retries}
"""


@pytest.fixture
def study(tmp_path):
    """Writes a study and runs sweep in its folder."""

    def make(function, retries="{}", trials=1):
        (tmp_path / "train.py").write_text(ENTRY)
        (tmp_path / "lossy.yaml").write_text(SPEC.format(function=function, retries=retries, trials=trials))
        return tmp_path

    return make


def sweep(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "sweep", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "250"},
    )


def launch(folder, executor):
    done = sweep(folder, "launch", "lossy.yaml", "--yes", "--executor", executor)
    assert (folder / "studies" / "lossy" / "events.jsonl").is_file(), done.stdout + done.stderr
    return done


def events(folder, kind):
    lines = (folder / "studies" / "lossy" / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


@pytest.mark.slow
def test_shrink_batch_goes_on_from_the_checkpoint_with_a_split_that_fits(study):
    folder = study("shrinking", "{on_oom: shrink_batch}")
    launch(folder, "inline")
    assert [event["batch_split"] for event in events(folder, "attempt_started")] == [1, 2, 4]
    ends = events(folder, "attempt_ended")
    assert [(event["outcome"], event.get("cause")) for event in ends] == [
        ("failed", "host_memory"),
        ("failed", "host_memory"),
        ("returned", None),
    ]
    assert [event["metrics"]["epoch"] for event in events(folder, "reported")] == [1, 2, 3]
    assert "the machine's memory ran out. Lower batch_size" in sweep(folder, "trials", "lossy", "0").stdout


@pytest.mark.slow
def test_function_that_ignores_the_split_fails_in_words_after_one_more_attempt(study):
    folder = study("stubborn", "{on_oom: shrink_batch}")
    launch(folder, "inline")
    assert [event["batch_split"] for event in events(folder, "attempt_started")] == [1, 2]
    assert "never looks at ctx.batch_split" in sweep(folder, "trials", "lossy", "0").stdout


@pytest.mark.slow
def test_failures_end_the_study_after_their_retries(study):
    folder = study("stubborn", "{max: 1}", trials=9)
    launch(folder, "inline")
    assert len(events(folder, "attempt_started")) == 6, "three trials, each with one retry"
    assert events(folder, "run_ended")[0]["reason"] == "budget.failures is used up: 3 trials failed"


@pytest.mark.slow
@pytest.mark.ray
def test_killed_process_costs_no_retry_and_its_reason_is_in_trials_and_logs(study):
    folder = study("dying")
    launch(folder, "ray")
    assert [event["outcome"] for event in events(folder, "attempt_ended")] == ["lost", "returned"]
    epochs = [event["metrics"]["epoch"] for event in events(folder, "reported")]
    assert epochs in ([1, 2, 3], [1, 2, 3, 3], [1, 2, 2, 3])
    assert "died" in sweep(folder, "trials", "lossy", "0").stdout
    log = (folder / "studies" / "lossy" / "trials" / "0000" / "attempt-1.log").read_text()
    assert "lost: its process" in log.splitlines()[-1]


DRIVER = """
import sys

import ray
ray.init(address=sys.argv[1], log_to_driver=False)
import sweep
sweep.launch("lossy.yaml", executor="ray")
"""


@pytest.fixture
def cluster():
    """A Ray of several nodes on this machine, whose head runs no trials."""
    with nodes.cluster() as made:
        yield made


@pytest.mark.slow
@pytest.mark.ray
def test_trial_goes_on_from_its_checkpoint_when_its_node_is_killed(study, cluster):
    folder = study("waiting")
    driver = None
    try:
        first = cluster.add_node(num_cpus=1)
        with (folder / "out.log").open("w") as out:
            driver = subprocess.Popen(
                [sys.executable, "-c", DRIVER, cluster.address], cwd=folder, stdout=out, stderr=subprocess.STDOUT
            )
        checkpoint = folder / "studies" / "lossy" / "trials" / "0000" / "checkpoints" / "epoch-2"
        _until(lambda: checkpoint.is_dir() and len(events(folder, "reported")) == 2, driver, folder)
        second = cluster.add_node(num_cpus=1)
        assert second is not first
        # -9 to the node's raylet: its workers go with it.
        for process in first.all_processes["raylet"]:
            os.kill(process.process.pid, signal.SIGKILL)
        assert driver.wait(timeout=180) == 0, (folder / "out.log").read_text()
    finally:
        if driver is not None and driver.poll() is None:
            driver.kill()
            driver.wait()
    assert [event["outcome"] for event in events(folder, "attempt_ended")] == ["lost", "returned"]
    assert [event["metrics"]["epoch"] for event in events(folder, "reported")] == [1, 2, 3]
    log = (folder / "studies" / "lossy" / "trials" / "0000" / "attempt-1.log").read_text()
    assert "lost: its" in log.splitlines()[-1]


def _until(condition, driver, folder):
    deadline = time.monotonic() + 120
    while not condition():
        assert driver.poll() is None, (folder / "out.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
