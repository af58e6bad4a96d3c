"""What hinders the cleaning of a worker costs the worker, and not the trial that has ended in it."""

import os
import subprocess
import sys

import pytest

from sweep.core.protocols import Placement
from sweep.executors import traces
from sweep.executors.traces import Usage
from sweep.executors.worker import Pipe, Worker


@pytest.fixture
def worker():
    """One that was not made by Ray, and so leaves this process as it is."""
    made = object.__new__(Worker)
    made._new = Usage.now()
    made._run_attempt = lambda placement, channel: "returned"
    return made


def ended(worker):
    placement = Placement(
        study="traces", trial=0, attempt=1, config={}, entrypoint="x:f", seed=1, time_attr="epoch", max_t=9,
        trial_dir="/nowhere",
    )  # fmt: skip
    message = worker._attempted(placement, Pipe(placement))
    return message.outcome, message.fit


def test_worker_that_can_not_be_cleaned_goes_and_its_trial_has_returned(worker, monkeypatch):
    def gone(folder):
        raise FileNotFoundError(folder)

    assert ended(worker) == ("returned", True)
    monkeypatch.setattr(traces.os, "chdir", gone)
    assert ended(worker) == ("returned", False)


def test_worker_whose_last_trial_still_holds_memory_of_the_gpu_goes(worker, monkeypatch):
    monkeypatch.setattr(traces, "_gpu_memory", lambda: traces.GPU_GROWTH)
    assert ended(worker) == ("returned", True)
    monkeypatch.setattr(traces, "_gpu_memory", lambda: traces.GPU_GROWTH + 1)
    assert ended(worker) == ("returned", False)


def test_child_that_has_ended_by_itself_is_no_hindrance():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    traces._end(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
def test_thread_that_ends_while_children_are_looked_for_is_no_hindrance(monkeypatch):
    child = subprocess.Popen(["sleep", "100"])
    try:
        tasks = [traces.Path(f"/proc/self/task/{number}") for number in (2**30, os.getpid())]
        monkeypatch.setattr(traces.Path, "is_file", lambda path: True)
        monkeypatch.setattr(traces.Path, "iterdir", lambda path: iter(tasks))
        assert child.pid in traces._children()
    finally:
        child.kill()
        child.wait()
