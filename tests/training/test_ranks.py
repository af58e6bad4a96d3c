"""A trial of several GPUs: the same result as one process, one reporter, and no process that is left behind.

Here the ranks are two on the CPU, over gloo; NCCL has the same case under the marker `gpu`.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.core.protocols import Placement
from sweep.errors import MemoryShareError, TrainingError
from sweep.executors.messages import failure_text
from sweep.training.attempt import run_attempt
from sweep.training.context import Context
from sweep.training.group import Group

VIT = {"model": "vit_tiny", "dim": 8, "depth": 1, "heads": 2, "batch_size": 100}
# AdamW and clipping would hide a gradient that is too large by a factor. Of an odd batch the parts differ in size, and
# their mean isn't the batch's by itself.
SIMPLENET = {"model": "simplenet", "hidden": 16, "optimizer": "sgd", "lr": 0.05, "clip_norm": None, "batch_size": 9}

# Both ranks are in a collective or on their way to it, when rank 1 goes another way.
FAIL = """
import os, pathlib, signal, sys
import torch
def train(config, ctx):
    model = ctx.wrap(torch.nn.Linear(1, 1))
    pathlib.Path(config["pids"], str(ctx.rank)).write_text(str(os.getpid()))
    ctx.report({"loss": ctx.rank})
    if ctx.rank == 1:
        exec(config["how"])
    ctx.mean(1.0)
    while True:
        signal.pause()
"""


@pytest.fixture
def run(placement, scripted, tmp_path):
    """Runs the vision function and returns its channel and outcome; `name` keeps trials apart."""

    def run(config, *, name, answers=None, **fields):
        channel = scripted(answers)
        fields = {"max_t": 2, "trial_dir": str(tmp_path / name), **fields}
        run_attempt(placement(entrypoint="sweep.training.vision:train", config=config, **fields), channel)
        return channel

    return run


def lives(pid):
    """Whether a process does anything yet: one that nobody has reaped doesn't."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def weights(channel):
    return torch.load(f"{channel.checkpoints[-1]}/state.pt", weights_only=True)["model"]


def assert_same_training(one, two):
    """The same up to the order of additions: weights to a thousandth, or a fifth of one of AdamW's steps."""
    assert len(one.reports) == len(two.reports) == 2
    for alone, together in zip(one.reports, two.reports, strict=True):
        del alone["images_per_s"], together["images_per_s"]
        assert together == pytest.approx(alone, rel=1e-4)
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("config", [VIT, SIMPLENET], ids=["vit_tiny", "simplenet"])
def test_two_ranks_train_what_one_process_does(run, config):
    config = {"augment": "crop", "lr": 1e-3, **config}
    assert_same_training(run(config, name="one", gpu=1), run(config, name="two", gpu=2))


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices, for NCCL")
def test_two_gpus_train_what_one_does(run):
    config = {**VIT, "lr": 1e-3, "precision": "fp32"}
    one = run(config, name="one", gpu=1, device="cuda")
    assert_same_training(one, run(config, name="two", gpu=2, device="cuda"))


@pytest.mark.slow
def test_ranks_hear_that_their_node_is_about_to_go(placement, scripted, script):
    channel = scripted()
    channel.leaving = True
    entrypoint = script("""
import torch
def train(config, ctx):
    ctx.wrap(torch.nn.Linear(1, 1))
    while not ctx._leaving:
        pass
    ctx.mean(1.0)
    ctx.report({"loss": 1.0}, checkpoint={"epoch": 1})
""")
    run_attempt(placement(entrypoint=entrypoint, gpu=2, checkpoint_every=9, max_t=9), channel)
    assert [checkpoint is not None for checkpoint in channel.checkpoints] == [True]


@pytest.mark.slow
def test_interrupted_trial_ends_with_the_same_weights(run):
    # Dropout: each rank draws for itself, and goes on drawing what it would have drawn.
    config = {**VIT, "dropout": 0.2}
    whole = run(config, name="whole", gpu=2)
    rest = run(config, name="rest", gpu=2, checkpoint=whole.checkpoints[0])
    assert [report["epoch"] for report in rest.reports] == [2]
    expected, found = weights(whole), weights(rest)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "failure",
    [
        ("raise ValueError('the learning rate was a fish')", TrainingError, "ValueError: the learning rate was a fish"),
        ("raise MemoryError", MemoryShareError, "the machine's memory ran out"),
        ("sys.exit(3)", TrainingError, r"the training function called sys\.exit\(3\)"),
        ("os._exit(0)", TrainingError, "left its process with status 0, without a word"),
        ("os.kill(os.getpid(), signal.SIGKILL)", TrainingError, "was killed by SIGKILL"),
    ],
    ids=["raises", "out of memory", "exits", "leaves", "killed"],
)
def test_failure_of_one_rank_ends_all(placement, scripted, script, tmp_path, failure):
    how, error, text = failure
    channel = scripted()
    config = {"pids": str(tmp_path), "how": how}
    with pytest.raises(error, match=f"^rank 1 of 2 .*{text}") as raised:
        run_attempt(placement(entrypoint=script(FAIL), config=config, gpu=2), channel)
    assert channel.reports == [{"loss": 0.0, "epoch": 1}]
    if "raise" in how:
        # Its own frames, and those of no other rank.
        assert failure_text(raised.value).count(', in train\n    exec(config["how"])') == 1
    assert not any(lives(int((tmp_path / rank).read_text())) for rank in ("0", "1"))


@pytest.mark.slow
def test_function_that_never_wraps_fails_in_words(placement, scripted, script):
    entrypoint = script("""
def train(config, ctx):
    ctx.report({"loss": 1.0})
""")
    with pytest.raises(TrainingError, match=r"never called ctx\.wrap: each would train a model of its own"):
        run_attempt(placement(entrypoint=entrypoint, gpu=2), channel := scripted())
    assert channel.reports == []


@pytest.mark.slow
def test_ranks_that_report_unequally_fail_in_words_and_all_output_is_kept(placement, scripted, script, tmp_path):
    entrypoint = script("""
import os, sys
import torch
def train(config, ctx):
    ctx.wrap(torch.nn.Linear(1, 1))
    print("10 %\\r100 %", file=sys.stderr)
    os.system("echo from a child")
    for epoch in range(2 - ctx.rank):
        ctx.report({"loss": 1.0})
""")
    with pytest.raises(TrainingError, match="rank 1 of 2 returned while others reported"):
        run_attempt(placement(entrypoint=entrypoint, gpu=2), channel := scripted())
    assert len(channel.reports) == 1
    lines = [line.partition(" ")[2] for line in (tmp_path / "trial" / "attempt-2.log").read_text().splitlines()]
    for rank in ("rank 0: ", "rank 1: "):
        assert [line for line in lines if line.startswith(rank)] == [f"{rank}100 %", f"{rank}from a child"]


@pytest.mark.slow
def test_killed_supervisor_leaves_no_orphan(placement, script, tmp_path):
    entrypoint = script("""
import os, pathlib, subprocess, sys
import torch
def train(config, ctx):
    ctx.wrap(torch.nn.Linear(1, 1))
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    pathlib.Path(config["pids"], f"{ctx.rank}.child").write_text(str(child.pid))
    pathlib.Path(config["pids"], str(ctx.rank)).write_text(str(os.getpid()))
    ctx.report({"loss": 1.0})
    if ctx.rank == 1:
        while True:
            pass
    ctx.mean(1.0)
""")
    supervisor = tmp_path / "supervisor.py"
    supervisor.write_text(
        textwrap.dedent("""
        import sys
        from sweep.core.protocols import Decision, Placement
        from sweep.training.attempt import run_attempt

        class Channel:
            def report(self, metrics, checkpoint):
                sys.__stdout__.write("reported\\n")
                sys.__stdout__.flush()
                return Decision("advance", "go on")

        run_attempt(Placement(**%r), Channel())
        """)
        % asdict(placement(entrypoint=entrypoint, gpu=2, config={"pids": str(tmp_path)}))
    )
    process = subprocess.Popen([sys.executable, supervisor], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line == "reported\n" for line in process.stdout)
    pids = [int((tmp_path / name).read_text()) for name in ("0", "1", "0.child", "1.child")]
    assert all(map(lives, pids))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(map(lives, pids)):
        assert time.monotonic() < deadline, f"{[pid for pid in pids if lives(pid)]} of {pids} are left"
    process.stdout.close()


class Alone:
    """A channel that nobody reports to."""

    def report(self, metrics, checkpoint):
        raise AssertionError


def context(rank, world_size):
    standard = Placement("s", 0, 1, {}, "m:f", 1, "epoch", 1, "/nowhere", device="cpu")
    return Context(standard, Alone(), group=Group(rank, world_size))


@given(st.integers(1, 9), st.integers(0, 40))
def test_parts_of_the_ranks_are_the_batch(world_size, extra):
    batch = list(range(world_size + extra))
    parts = [context(rank, world_size).shard(batch, torch.tensor(batch)) for rank in range(world_size)]
    assert [index for part, _ in parts for index in part] == batch
    assert all(part == tensor.tolist() for part, tensor in parts)
    sizes = [len(part) for part, _ in parts]
    assert max(sizes) - min(sizes) <= 1


def test_batch_without_a_sample_for_each_rank_is_refused():
    with pytest.raises(TrainingError, match="shard got 1 samples for 2 ranks"):
        context(0, 2).shard([5])
    with pytest.raises(TrainingError, match="shard got 3 and 4 samples"):
        context(0, 2).shard([1, 2, 3], [1, 2, 3, 4])


def test_one_process_is_a_group_of_its_own():
    ctx = context(0, 1)
    model = torch.nn.Linear(1, 1)
    assert (ctx.rank, ctx.world_size, ctx.is_main) == (0, 1, True)
    assert ctx.wrap(model) is model
    assert ctx.mean(torch.tensor(2.5), 7) == 2.5
    assert ctx.shard([1, 2]) == ([1, 2],)
