"""Checkpoints that are written while training goes on: of the moment of their report, and complete or absent."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from sweep.core.protocols import Decision, Placement
from sweep.errors import TrainingError
from sweep.executors.worker import Pipe
from sweep.store import checkpoints
from sweep.store.paths import TrialPaths
from sweep.training import states
from sweep.training.attempt import run_attempt
from sweep.training.context import Context

WAIT_S = 60


@pytest.fixture
def placement(tmp_path):
    return Placement("s", 0, 1, {}, "", 0, "epoch", 100, str(tmp_path / "trial"), working_dir=str(tmp_path))


@pytest.fixture
def pipe(placement):
    made = Pipe(placement)
    yield made
    made.close()


@pytest.fixture
def gate(monkeypatch):
    """Holds each checkpoint's writing up until it is set."""
    event, write = threading.Event(), checkpoints.write

    def held(*arguments):
        assert event.wait(WAIT_S)
        write(*arguments)

    monkeypatch.setattr(checkpoints, "write", held)
    yield event
    event.set()


def test_report_returns_before_its_checkpoint_is_written_and_is_sent_after(placement, pipe, gate):
    Context(placement, pipe).report({"loss": 1.0}, checkpoint={"w": torch.ones(2)})
    assert pipe.messages.empty()
    gate.set()
    message = pipe.messages.get(timeout=WAIT_S)
    assert checkpoints.verify(TrialPaths(Path(placement.trial_dir)).checkpoint("epoch", 1))["t"] == 1
    assert message.checkpoint.endswith("epoch-1")


def test_next_report_waits_for_the_one_before(placement, pipe, gate):
    ctx = Context(placement, pipe)
    ctx.report({"loss": 1.0}, checkpoint={"w": 1})
    pipe.decisions.put(Decision("advance", "it comes early here, and changes nothing"))
    second = threading.Thread(target=ctx.report, args=({"loss": 0.5},))
    second.start()
    assert second.is_alive()
    assert pipe.messages.empty()
    gate.set()
    second.join(WAIT_S)
    assert [pipe.messages.get(timeout=WAIT_S).metrics["epoch"] for _ in range(2)] == [1, 2]


def test_checkpoint_is_of_the_moment_of_its_report(placement, pipe, gate):
    weight = torch.nn.Parameter(torch.ones(3))
    state = {"w": weight, "view": weight.detach()[1:], "n": [1, {"deep": torch.zeros(2)}], "graph": weight * 2}
    random.seed(1)
    expected = random.Random(1).random()
    Context(placement, pipe).report({"loss": 1.0}, checkpoint=state)
    with torch.no_grad():
        weight += 41
        state["n"][1]["deep"] += 41
    state["n"].append("later")
    random.random()
    gate.set()
    folder = pipe.messages.get(timeout=WAIT_S).checkpoint
    later = Context(Placement(**{**vars(placement), "checkpoint": folder}), pipe)
    found = later.restore()
    assert found["w"].tolist() == [1, 1, 1]
    assert found["view"].tolist() == [1, 1]
    assert found["graph"].tolist() == [2, 2, 2]
    assert found["n"][0] == 1
    assert found["n"][1]["deep"].tolist() == [0, 0]
    assert len(found["n"]) == 2
    assert random.random() == expected


def test_folder_is_copied_before_report_returns(placement, pipe, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("then")
    Context(placement, pipe).report({"loss": 1.0}, checkpoint=tmp_path / "mine")
    (tmp_path / "mine" / "file").write_text("now")
    folder = TrialPaths(Path(placement.trial_dir)).checkpoint("epoch", 1)
    assert (folder / "state" / "file").read_text() == "then"


TRAIN = """
def train(config, ctx):
    ctx.report({"loss": 1.0}, checkpoint=STATE)
"""


def attempt(tmp_path, placement, pipe, state):
    (tmp_path / "train.py").write_text(TRAIN.replace("STATE", state))
    return run_attempt(Placement(**{**vars(placement), "entrypoint": f"{tmp_path}/train.py:train"}), pipe)


def test_attempt_ends_when_its_last_checkpoint_is_complete(tmp_path, placement, pipe, gate):
    opener = threading.Timer(0.2, gate.set)
    opener.start()
    assert attempt(tmp_path, placement, pipe, "{'w': 1}") == "returned"
    assert gate.is_set()
    checkpoints.verify(TrialPaths(Path(placement.trial_dir)).checkpoint("epoch", 1))


def test_checkpoint_that_cannot_be_written_fails_the_attempt_in_the_same_words(tmp_path, placement, pipe):
    with pytest.raises(TrainingError, match="the state holds more than tensors and plain values"):
        attempt(tmp_path, placement, pipe, "{'w': train}")
    assert pipe.messages.empty()
    assert list(TrialPaths(Path(placement.trial_dir)).checkpoints.iterdir()) == []


def test_function_that_goes_on_after_a_failed_write_waits_for_no_answer(placement, pipe):
    ctx = Context(placement, pipe)
    ctx.report({"loss": 1.0}, checkpoint={"w": attempt})
    with pytest.raises(TrainingError, match="more than tensors"):
        ctx.report({"loss": 1.0})
    ctx.report({"loss": 0.5})
    assert pipe.messages.get(timeout=WAIT_S).metrics["loss"] == 0.5


KILLED = """
import os, signal, sys
from pathlib import Path

import torch
from sweep.core.protocols import Placement
from sweep.executors.worker import Pipe
from sweep.training.context import Context

folder, moment = Path(sys.argv[1]), sys.argv[2]
placement = Placement("s", 0, 1, {}, "", 0, "epoch", 100, str(folder))
Context(placement, Pipe(placement)).report({"loss": 1.0}, checkpoint={"w": torch.ones(8_000_000)})
print("goes on", flush=True)
while not list((folder / "checkpoints").glob(moment)):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [".*/state.pt", ".*/manifest.json", "epoch-1"])
def test_kill_while_it_is_written_leaves_a_complete_one_or_none(tmp_path, moment):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), moment],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert run.stdout == "goes on\n"
    found = checkpoints.complete_ones(tmp_path / "checkpoints")
    for folder in found:
        assert states.read(folder, lambda: "cpu")["w"].sum() == 8_000_000
        checkpoints.verify(folder)
    assert found or moment != "epoch-1"
    checkpoints.remove_unfinished(tmp_path / "checkpoints")
    assert list((tmp_path / "checkpoints").iterdir()) == found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_state_on_a_gpu_is_copied_in_the_order_of_its_work(tmp_path):
    weight = torch.ones(50_000_000, device="cuda")
    for _ in range(20):
        weight += 1
    snapshot = states.Snapshot({"w": weight, "host": torch.ones(2)}, copied=True)
    weight.zero_()
    snapshot.write(tmp_path)
    found = states.read(tmp_path, lambda: "cpu")
    assert snapshot.state["w"].is_pinned()
    assert found["w"].min() == found["w"].max() == 21
