"""The context: what a training function reports, keeps and gets back."""

import contextlib
import json
import math
import os
import random
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.errors import CheckpointError, NonFiniteLossError, TrainingError
from sweep.store import checkpoints
from sweep.training import Context, StopTrial, current
from sweep.training.context import RESERVED, activate, deactivate


@pytest.fixture
def make(placement, scripted):
    """Makes a context and its channel."""

    def make(channel=None, **fields):
        channel = channel or scripted()
        return Context(placement(**fields), channel), channel

    return make


# Reports.


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        True,
        torch.tensor(1.5),
        torch.tensor(1.5, requires_grad=True),
        torch.tensor([1.5]),
        np.float32(1.5),
        np.int64(1),
        np.array(1.5),
    ],
)
def test_numbers_of_all_kinds_become_floats(make, value):
    ctx, channel = make()
    ctx.report({"loss": value})
    assert channel.reports == [{"loss": pytest.approx(1.25, abs=0.25), "epoch": 1}]
    assert type(channel.reports[0]["loss"]) is float


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0.5", "str '0.5'"),
        (None, "NoneType None"),
        ([1.0], r"list \[1.0\]"),
        (torch.zeros(2, 3), r"Tensor of shape \(2, 3\)"),
        (np.zeros(2), r"ndarray of shape \(2,\)"),
    ],
)
def test_what_is_no_number_is_named(make, value, told):
    ctx, channel = make()
    with pytest.raises(TrainingError, match=rf"Trial 17, attempt 2: metric 'loss' is {told}, expected a number"):
        ctx.report({"loss": value})
    assert channel.reports == []


def test_nan_is_reported(make):
    ctx, channel = make()
    ctx.report({"loss": math.nan})
    assert math.isnan(channel.reports[0]["loss"])


@given(st.lists(st.none() | st.integers(1, 5), min_size=1, max_size=8))
def test_fidelity_is_counted_or_read_and_always_rises(make_pure, gaps):
    ctx, channel = make_pure()
    expected = []
    for gap in gaps:
        expected.append(ctx.t + (gap or 1))
        ctx.report({} if gap is None else {"epoch": ctx.t + gap})
        assert ctx.t == expected[-1]
    assert [report["epoch"] for report in channel.reports] == expected


@pytest.fixture(scope="session")
def make_pure(tmp_path_factory):
    """Like `make`, for many examples in one test: nothing is written to the folder."""
    from sweep.core.protocols import Decision, Placement

    class Channel:
        def __init__(self):
            self.reports = []

        def report(self, metrics, checkpoint):
            self.reports.append(metrics)
            return Decision("advance", "always")

    folder = str(tmp_path_factory.mktemp("pure"))

    def make():
        channel = Channel()
        return Context(Placement("s", 0, 1, {}, "", 0, "epoch", 100, folder), channel), channel

    return make


@pytest.mark.parametrize("t", [0, -1, 1.5, math.nan, math.inf])
def test_fidelity_must_be_whole_and_positive(make, t):
    ctx, _ = make()
    with pytest.raises(TrainingError, match=r"epoch is .*, expected a whole number from 1"):
        ctx.report({"epoch": t})


def test_fidelity_must_rise(make):
    ctx, _ = make()
    ctx.report({"epoch": 2})
    with pytest.raises(TrainingError, match="epoch 2 was reported after 2; it must rise"):
        ctx.report({"epoch": 2})


@pytest.mark.parametrize("action", ["stop", "finish"])
def test_the_end_is_raised_past_except_exception(make, scripted, action):
    ctx, _ = make(scripted({2: action}))
    ctx.report({})
    with pytest.raises(StopTrial, match="the script says") as caught, contextlib.suppress(Exception):
        ctx.report({})
    assert caught.value.decision.action == action
    assert ctx.t == 2


# Checkpoints.


def test_checkpoints_are_due_every_so_often_and_at_the_end(make):
    ctx, channel = make(checkpoint_every=2, max_t=5)
    called = []
    for t in range(1, 6):
        ctx.report({}, checkpoint=lambda t=t: called.append(t) or {"t": t})
    assert called == [2, 4, 5]
    names = [each and each.rpartition("/")[2] for each in channel.checkpoints]
    assert names == [None, "epoch-2", None, "epoch-4", "epoch-5"]


def test_where_the_node_is_about_to_go_a_checkpoint_is_due_with_each_report(make, scripted):
    channel = scripted()
    ctx, _ = make(channel, checkpoint_every=4, max_t=4)
    for t in (1, 2, 3):
        channel.leaving = t > 1
        ctx.report({}, checkpoint={"t": t})
    names = [each and each.rpartition("/")[2] for each in channel.checkpoints]
    assert names == [None, "epoch-2", "epoch-3"]


def test_a_checkpoint_is_complete_before_it_is_reported(make):
    class Looking:
        def report(self, metrics, checkpoint):
            from pathlib import Path

            assert checkpoints.verify(Path(checkpoint))["t"] == 1
            raise ZeroDivisionError

    ctx, _ = make(Looking())
    with pytest.raises(ZeroDivisionError):
        ctx.report({}, checkpoint={"w": torch.ones(2)})


def test_state_comes_back_and_counting_goes_on(make):
    ctx, channel = make()
    ctx.report({})
    ctx.report({"loss": 1.0}, checkpoint={"w": torch.tensor([1.0, 2.0]), "note": "plain", "n": [1, (2, 3)]})
    later, _ = make(checkpoint=channel.checkpoints[1])
    state = later.restore()
    assert state.pop("w").tolist() == [1.0, 2.0]
    assert state == {"note": "plain", "n": [1, (2, 3)]}
    assert later.t == 2
    later.report({})
    assert later.t == 3


def test_nothing_to_restore_is_none(make):
    ctx, _ = make()
    assert ctx.restore() is None
    assert ctx.t == 0


def test_a_folder_is_copied(make, tmp_path):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "weights.bin").write_bytes(b"123")
    ctx, channel = make()
    ctx.report({}, checkpoint=tmp_path / "mine")
    (tmp_path / "mine" / "deep" / "weights.bin").write_bytes(b"changed")
    later, _ = make(checkpoint=channel.checkpoints[0])
    assert (later.restore() / "deep" / "weights.bin").read_bytes() == b"123"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("nowhere", "nowhere is not a folder"),
        (3, "got int 3. Give a state dict, a folder"),
        ({"model": object()}, "more than tensors and plain values"),
    ],
)
def test_states_that_could_not_come_back_are_refused_at_once(make, state, words):
    ctx, channel = make()
    with pytest.raises(TrainingError, match=words):
        ctx.report({}, checkpoint=state)
    assert channel.reports == []


def test_a_damaged_checkpoint_is_refused(make):
    ctx, channel = make()
    ctx.report({}, checkpoint={"w": torch.ones(2)})
    from pathlib import Path

    file = Path(channel.checkpoints[0]) / "state.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    later, _ = make(checkpoint=channel.checkpoints[0])
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        later.restore()


def test_generators_go_on_where_they_were(make):
    ctx, channel = make()
    ctx.report({}, checkpoint={"w": torch.ones(1)})

    def draw():
        return random.random(), np.random.rand(), torch.rand(3).tolist()  # noqa: NPY002 - the global one is meant

    expected = draw()
    draw()
    later, _ = make(checkpoint=channel.checkpoints[0])
    later.restore()
    assert draw() == expected


def test_the_manifest_says_what_it_is_of(make):
    ctx, channel = make(config={"lr": 0.1})
    ctx.describe(model={"name": "simplenet"})
    ctx.report({"loss": 0.5}, checkpoint={"w": torch.ones(1)})
    with open(f"{channel.checkpoints[0]}/manifest.json") as file:  # noqa: PTH123 - a text is what is reported
        manifest = json.load(file)
    told = {key: manifest[key] for key in ("trial", "attempt", "t", "time_attr", "seed", "config", "metrics", "model")}
    assert told == {
        "trial": 17,
        "attempt": 2,
        "t": 1,
        "time_attr": "epoch",
        "seed": 5,
        "config": {"lr": 0.1},
        "metrics": {"loss": 0.5, "epoch": 1},
        "model": {"name": "simplenet"},
    }


def test_state_bundles_state_dicts_and_plain_values(make):
    ctx, _ = make()
    model = torch.nn.Linear(1, 1)
    state = ctx.state(model=model, position=7)
    assert state["model"].keys() == {"weight", "bias"}
    assert state["position"] == 7


# Steps.


def one_step(ctx, factor=1.0, **options):
    weight = torch.nn.Parameter(torch.full_like(torch.as_tensor([1.0]) * factor, 2.0))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    ctx.backward_and_step((weight * factor).sum(), optimizer, **options)
    return weight, optimizer


def test_a_step_moves_and_clears(make):
    ctx, _ = make()
    weight, _ = one_step(ctx, 3.0)
    assert weight.item() == 2.0 - 0.5 * 3.0
    assert weight.grad is None


def test_a_step_clips(make):
    ctx, _ = make()
    weight, _ = one_step(ctx, torch.tensor([300.0, 400.0]), clip_norm=1.0)
    assert weight.tolist() == pytest.approx([2 - 0.5 * 0.6, 2 - 0.5 * 0.8], abs=1e-5)


@pytest.mark.parametrize(("factor", "word"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_loss_that_is_no_number_ends_the_trial_before_the_weights_move(make, factor, word):
    ctx, _ = make()
    ctx.report({})
    ctx.report({})
    one_step(ctx)
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    words = rf"Trial 17, attempt 2, epoch 3, step 2: the loss is {word}\. Lower lr \(now 0\.5\)"
    with pytest.raises(NonFiniteLossError, match=words):
        ctx.backward_and_step((weight * factor).sum(), optimizer)
    assert weight.item() == 2.0


def test_the_schedule_steps_with_the_optimizer(make):
    ctx, _ = make()
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    ctx.backward_and_step(weight.sum(), optimizer, scheduler=schedule)
    assert optimizer.param_groups[0]["lr"] == 0.5


# Where it runs.


def test_no_share_of_a_gpu_means_cpu(make):
    ctx, _ = make(device="auto", gpu=0)
    assert ctx.device.type == "cpu"


@pytest.mark.parametrize(("gpu", "expected"), [(0, "cpu"), (0.25, "cuda:0"), (2, "cuda:0")])
def test_auto_is_cuda_for_a_trial_with_a_share_of_it(make, monkeypatch, gpu, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ctx, _ = make(device="auto", gpu=gpu)
    assert str(ctx.device) == expected, "some of torch.cuda's functions take no device without a number"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_insisting_on_cuda_without_one_is_told(make):
    ctx, _ = make(device="cuda", gpu=1)
    with pytest.raises(TrainingError, match=r"device cuda was asked for.*finds no CUDA"):
        _ = ctx.device


def test_log_dir_is_the_trials_and_exists(make, tmp_path):
    ctx, _ = make()
    assert ctx.log_dir == tmp_path / "trial" / "tensorboard"
    assert ctx.log_dir.is_dir()


def test_data_is_described_in_later_checkpoints(make):
    ctx, channel = make()
    data = ctx.data("digits")
    ctx.report({}, checkpoint={"w": torch.ones(1)})
    from pathlib import Path

    manifest = checkpoints.verify(Path(channel.checkpoints[0]))
    assert manifest["data"]["name"] == "digits"
    assert manifest["data"]["fingerprint"] == data.fingerprint
    assert manifest["classes"] == list("0123456789")


def test_current_is_told_when_nothing_runs():
    with pytest.raises(TrainingError, match=r"No trial runs in this process.*standalone\(config\)"):
        current()


def test_current_is_the_innermost_active_one(make):
    outer, inner = make()[0], make()[0]
    activate(outer)
    activate(inner)
    assert current() is inner
    deactivate(inner)
    assert current() is outer
    deactivate(outer)


# What could not be stored, or would be taken for something else later.


@pytest.mark.parametrize("name", [3, None, os.fsdecode(b"caf\xe9")])
def test_a_metrics_name_is_a_text(make, name):
    ctx, channel = make()
    with pytest.raises(TrainingError, match=rf"Trial 17, attempt 2: {re.escape(repr(name))} is no name for a metric"):
        ctx.report({name: 1.0})
    assert channel.reports == []


def test_a_number_too_large_for_a_float_is_named(make):
    ctx, _ = make()
    with pytest.raises(TrainingError, match=r"metric 'loss' is int 1000.*expected a number"):
        ctx.report({"loss": 10**400})


def test_fidelity_ends_where_floats_have_gaps(make):
    ctx, channel = make()
    ctx.report({"epoch": 2**53})
    assert channel.reports == [{"epoch": 2**53}]
    for metrics in ({}, {"epoch": 2**53 + 2}, {"epoch": 1e300}):
        with pytest.raises(TrainingError, match=r"expected at most 2\*\*53"):
            ctx.report(metrics)


def test_describe_leaves_the_manifests_own_facts_alone(make):
    ctx, channel = make()
    ctx.report({}, checkpoint={"w": torch.ones(1)})
    with open(f"{channel.checkpoints[0]}/manifest.json") as file:  # noqa: PTH123 - a text is what is reported
        own = json.load(file)
    assert own.keys() == RESERVED
    for name in own:
        with pytest.raises(TrainingError, match=rf"describe got {name}, which each checkpoint's manifest says"):
            ctx.describe(**{name: {}, "fine": 1})
    with pytest.raises(TrainingError, match="describe got config, t, which"):
        ctx.describe(t=7, config={})


def test_a_link_to_nothing_in_a_folder_is_told(make, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "best").symlink_to("gone")
    ctx, channel = make()
    with pytest.raises(TrainingError, match=r"checkpoint: .*/mine/best can't be copied: it is a link to nothing"):
        ctx.report({}, checkpoint=tmp_path / "mine")
    assert channel.reports == []
