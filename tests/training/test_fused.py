"""Fused trials: each lane of a batch ends where it would have ended by itself."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional

from sweep.errors import FusionError, NonFiniteLossError, TrainingError
from sweep.store.paths import TrialPaths
from sweep.training.attempt import run_attempt
from sweep.training.fused import attempt, batch, dropout, keys, products
from sweep.training.fused.attempt import run_alone, run_fused_attempt

ENTRYPOINT = "sweep.training.vision:train"
VIT = {"model": "vit_tiny", "dim": 8, "depth": 1, "heads": 2, "batch_size": 200}
NET = {"model": "simplenet", "hidden": 16, "batch_size": 200}

LANES = [
    {"lr": 0.01, "weight_decay": 0.5, "momentum": 0.9, "label_smoothing": 0.0, "clip_norm": 1.0},
    {"lr": 0.003, "weight_decay": 0.0, "momentum": 0.7, "label_smoothing": 0.2, "clip_norm": None},
    {"lr": 0.03, "weight_decay": 0.05, "momentum": 0.0, "label_smoothing": 0.1, "clip_norm": 0.1},
]


@pytest.fixture
def placed(placement, tmp_path):
    """A placement by trial number; seeds differ."""

    def build(trial, config, where="separate", **fields):
        given = {"entrypoint": ENTRYPOINT, "trial": trial, "attempt": 1, "seed": 100 + trial}
        return placement(**given, config=config, trial_dir=str(tmp_path / where / f"{trial}"), **fields)

    return build


@pytest.fixture
def together(scripted):
    """Runs placements as lanes of one batch, each in its thread; returns channels, and outcomes or errors."""

    def run(placements, *, answers=None, channels=None, lanes=None):
        channels = channels or [scripted((answers or {}).get(each.trial)) for each in placements]
        lanes = lanes or len(placements)
        with ThreadPoolExecutor(len(placements)) as threads:
            futures = [
                threads.submit(run_fused_attempt, each, channel, lanes=lanes)
                for each, channel in zip(placements, channels, strict=True)
            ]
            ends = [future.exception() or future.result() for future in futures]
        return channels, ends

    return run


@pytest.fixture
def separately(scripted):
    def run(placement, answers=None):
        channel = scripted(answers)
        run_attempt(placement, channel)
        return channel

    return run


def content(channel, index=-1):
    return torch.load(f"{channel.checkpoints[index]}/state.pt", weights_only=True)


def assert_close(a, b, where=""):
    """Equal in structure; tensors to a thousandth."""
    if isinstance(a, torch.Tensor):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), where
        if where.endswith("qkv.bias"):
            # Attention doesn't see its keys' bias: the gradient is rounding noise, which Adam makes steps of.
            a, b = (torch.cat([each[: len(a) // 3], each[-len(a) // 3 :]]) for each in (a, b))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5, msg=lambda text: f"{where}: {text}")
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_close(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_close(x, y, f"{where}[{index}]")
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-6), where
    else:
        assert a == b, where


def assert_same_training(fused, single):
    assert [report["epoch"] for report in fused.reports] == [report["epoch"] for report in single.reports]
    for mine, theirs in zip(fused.reports, single.reports, strict=True):
        assert mine.keys() == theirs.keys()
        for name in ("train_loss", "val_loss", "learning_rate"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4)
        assert mine["val_accuracy"] == pytest.approx(theirs["val_accuracy"], abs=0.0034)  # one image of 300
    assert_close(content(fused), content(single))


@pytest.mark.parametrize(
    "extra",
    [
        {**VIT, "optimizer": "adamw"},
        {**VIT, "optimizer": "adam", "augment": "crop_flip"},
        {**VIT, "optimizer": "sgd"},
        {**NET, "optimizer": "adamw"},
        {**VIT, "optimizer": "adamw", "dropout": 0.3},
        {**NET, "optimizer": "sgd", "dropout": 0.5},
    ],
    ids=lambda extra: "-".join(str(extra[key]) for key in ("model", "optimizer", "augment", "dropout") if key in extra),
)
def test_each_lane_ends_where_it_would_by_itself(placed, together, separately, extra):
    """Numbers, seeds and the schedule's horizon differ; with dropout so do the rates, and the masks are the same."""
    configs = [{**extra, **lane, "warmup_epochs": number, "epochs": 3 + number} for number, lane in enumerate(LANES)]
    if "dropout" in extra:
        configs[1]["dropout"] = 0.1
    channels, ends = together([placed(n, config, "fused", max_t=3) for n, config in enumerate(configs)])
    assert ends == ["returned"] * 3
    for number, config in enumerate(configs):
        assert_same_training(channels[number], separately(placed(number, config, max_t=3)))


def test_batch_norm_keeps_each_lanes_statistics(placed, together, separately, tmp_path):
    for index in range(40):
        file = tmp_path / "data" / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (6 * index, 0, 9)).save(file)
    config = {"model": "resnet18", "data": "image_folder", "data_dir": f"{tmp_path / 'data'}", "image_size": 8}
    # With dropout there is a pass before the first step, to see where masks are needed: it mustn't count.
    configs = [{**config, "dropout": 0.2, "optimizer": "sgd", "batch_size": 16, "lr": lr} for lr in (0.01, 0.02)]
    channels, _ = together([placed(n, each, "fused", max_t=1) for n, each in enumerate(configs)])
    for number, each in enumerate(configs):
        single = content(separately(placed(number, each, max_t=1)))["model"]
        fused = content(channels[number])["model"]
        assert int(fused["bn1.num_batches_tracked"]) == int(single["bn1.num_batches_tracked"]) == 2
        for name, tensor in fused.items():
            torch.testing.assert_close(tensor, single[name], rtol=0.01, atol=1e-3)
    first, second = (content(channel)["model"]["bn1.running_mean"] for channel in channels)
    assert not torch.allclose(first, second)


def test_lane_that_is_stopped_leaves_the_others_as_they_were(placed, together, separately):
    configs = [{**VIT, **lane} for lane in LANES]
    placements = [placed(n, config, "fused") for n, config in enumerate(configs)]
    channels, ends = together(placements, answers={1: {2: "stop"}})
    assert ends == ["returned", "stopped", "returned"]
    assert [report["epoch"] for report in channels[1].reports] == [1, 2]
    for number in (0, 2):
        assert_same_training(channels[number], separately(placed(number, configs[number])))


class Gate:
    """A channel that says when its first report has come, and keeps its second until it may go on."""

    def __init__(self, inner, begun, go_on):
        self.inner, self.begun, self.go_on = inner, begun, go_on

    def report(self, metrics, checkpoint):
        self.begun.set()
        if metrics["epoch"] == 2:
            assert self.go_on.wait(60)
        return self.inner.report(metrics, checkpoint)


def test_lane_that_comes_late_ends_where_it_would_by_itself(placed, separately, scripted):
    """Its epoch 1 is the other lane's epoch 3."""
    configs = [{**NET, **LANES[0]}, {**NET, **LANES[1]}]
    early, late = placed(0, configs[0], "fused", max_t=6), placed(1, configs[1], "fused", max_t=3)
    begun, go_on = threading.Event(), threading.Event()
    channels = [scripted(), scripted()]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(run_fused_attempt, early, Gate(channels[0], begun, go_on), lanes=2)
        assert begun.wait(60)
        second = threads.submit(run_fused_attempt, late, channels[1], lanes=2)
        engine = attempt.engine(early, 2)
        with engine._changed:
            assert engine._changed.wait_for(lambda: len(engine._lanes) == 2, 60)
        go_on.set()
        assert first.result() == second.result() == "returned"
    for number, most in enumerate((6, 3)):
        assert_same_training(channels[number], separately(placed(number, configs[number], max_t=most)))


def test_loss_of_nan_fails_only_its_own_lane(placed, together, separately):
    configs = [{**NET, **LANES[0]}, {**NET, "optimizer": "adamw", "lr": 1e30, "clip_norm": None}]
    channels, ends = together([placed(n, config, "fused") for n, config in enumerate(configs)])
    assert ends[0] == "returned"
    assert isinstance(ends[1], NonFiniteLossError)
    assert "Trial 1, attempt 1, epoch 1, step " in str(ends[1])
    assert not channels[1].reports
    assert_same_training(channels[0], separately(placed(0, configs[0])))
    log = TrialPaths(Path(placed(1, {}, "fused").trial_dir)).attempt_log(1).read_text()
    assert "Traceback" in log
    assert "NonFiniteLossError: Trial 1" in log


@pytest.mark.parametrize("extra", [{**VIT, "dropout": 0.2}, {**NET, "optimizer": "sgd", "momentum": 0.0}])
def test_checkpoint_goes_both_ways(placed, together, separately, extra):
    configs = [{**extra, "lr": 0.01}, {**extra, "lr": 0.003}]
    whole = [separately(placed(n, config, "whole")) for n, config in enumerate(configs)]
    # Two epochs fused, two separate.
    broken, _ = together(
        [placed(n, config, "a") for n, config in enumerate(configs)], answers={0: {2: "stop"}, 1: {2: "stop"}}
    )
    for number, config in enumerate(configs):
        resumed = separately(placed(number, config, "a", checkpoint=broken[number].checkpoints[-1]))
        assert [report["epoch"] for report in resumed.reports] == [3, 4]
        assert_close(content(resumed), content(whole[number]))
    # And the other way, beside a lane that starts.
    half = separately(placed(0, configs[0], "b"), answers={2: "stop"})
    resumed, _ = together([placed(0, configs[0], "b", checkpoint=half.checkpoints[-1]), placed(1, configs[1], "b")])
    for number in range(2):
        assert_close(content(resumed[number]), content(whole[number]))


def test_checkpoint_holds_one_lane_and_no_more(placed, together, separately):
    """A view of a row would be saved with the whole batch."""
    channels, _ = together([placed(n, NET, "fused", max_t=1) for n in range(8)])
    single = separately(placed(0, NET, max_t=1))
    size, alone = (Path(each.checkpoints[-1], "state.pt").stat().st_size for each in (channels[0], single))
    assert size < 1.2 * alone


def test_batch_that_fails_fails_all_its_lanes_and_the_next_ones_train(placed, together, monkeypatch):
    monkeypatch.setattr(batch.Batch, "validate", lambda self: 1 / 0)
    _, ends = together([placed(n, NET, "fused") for n in range(2)])
    assert all(isinstance(each, FusionError) for each in ends)
    assert ends[0] is not ends[1]
    assert "the batch of 2 fused trials failed: ZeroDivisionError" in str(ends[0])
    monkeypatch.undo()
    _, ends = together([placed(n, NET, "again", max_t=1) for n in range(2)])
    assert ends == ["returned"] * 2


def test_too_little_memory_for_all_lanes_is_told_as_such(placed, together, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(batch.Batch, "train_epoch", full)
    _, ends = together([placed(n, NET, "fused") for n in range(2)])
    assert [each.memory for each in ends] == ["gpu_memory"] * 2
    assert "in a batch of fused trials. Lower resources.fuse or batch_size." in str(ends[1])


def test_wrong_config_fails_before_it_joins(placed, together):
    configs = [NET, {**NET, "data": "digits", "dropout": 0.3, "hidden": None, "image_size": 8, "dim": 3}]
    _, ends = together([placed(n, config, "fused", max_t=1) for n, config in enumerate(configs)])
    assert ends[0] == "returned"
    assert isinstance(ends[1], TrainingError)
    assert "simplenet has no option 'dim'" in str(ends[1])


# Keys


def test_only_trials_that_differ_in_numbers_have_the_same_key(placed):
    def key(**config):
        return keys.key(placed(0, {**VIT, **config}))

    same = [
        {"lr": 0.5}, {"weight_decay": 0.1}, {"momentum": 0.5}, {"beta2": 0.9}, {"label_smoothing": 0.1},
        {"clip_norm": None}, {"warmup_epochs": 3}, {"schedule": "constant"}, {"epochs": 9},
    ]  # fmt: skip
    assert {key(**each) for each in same} == {key()}
    other = [
        {"dim": 16}, {"depth": 2}, {"batch_size": 16}, {"optimizer": "sgd"}, {"augment": "crop"},
        {"precision": "fp32"}, {"dropout": 0.1}, {"data": "mnist", "data_dir": "/data"},
    ]  # fmt: skip
    assert len({key(), *(key(**each) for each in other)}) == 1 + len(other)
    assert key(dropout=0.1) == key(dropout=0.2)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"entrypoint": "train.py:train"}, "train.py:train has no fused form"),
        ({"gpu": 2}, "it has 2 GPUs"),
        ({"batch_split": 2}, "its batches are split into 2 parts"),
        ({"config": {"lr": -1}}, "its config is wrong"),
        ({"config": {"precision": "fp16"}}, "precision: fp16 scales each loss by itself"),
        ({"config": {"model": "vit_b_16"}}, "model: vit_b_16 has no fused form"),
        ({"config": {"channels_last": True}}, "channels_last: True has no fused form"),
    ],
)
def test_what_cannot_be_fused_has_no_key_and_a_reason(placement, fields, why):
    placed = placement(**{"entrypoint": ENTRYPOINT, "config": {}, **fields})
    assert keys.key(placed) is None
    assert keys.refusal(placed) == why


def test_trial_that_cannot_be_fused_trains_alone_and_its_log_says_why(placed, scripted):
    channel, alone = scripted(), placed(0, {**NET, "channels_last": True}, max_t=1)
    assert run_alone(alone, channel) == "returned"
    assert len(channel.reports) == 1
    log = TrialPaths(Path(alone.trial_dir)).attempt_log(1).read_text()
    assert "not fused with others: channels_last: True has no fused form" in log
    assert "epoch 1: " in log


# Parts


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(2, 5), st.lists(st.floats(0, 0.9), min_size=3, max_size=3),
    st.integers(0, 2**31),
)  # fmt: skip
def test_smoothed_cross_entropy_is_torchs_for_each_lane(lanes, size, classes, smoothing, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(lanes, size, classes, generator=generator)
    labels = torch.randint(0, classes, (lanes, size), generator=generator)
    found = batch.smoothed_cross_entropy(logits, labels, torch.tensor(smoothing[:lanes]))
    expected = [functional.cross_entropy(logits[k], labels[k], label_smoothing=smoothing[k]) for k in range(lanes)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_masks_have_their_rate_and_repeat_themselves():
    shapes = [dropout.Shape((100, 50), 0), dropout.Shape((100, 20), 1)]

    def draw(*seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        drawn = dropout.Drawn(shapes, [[0.25, 0.0]] * len(seeds), generators)
        return drawn.cut(drawn.draw())

    first, none = draw(3, 4)
    assert first.shape == (2, 100, 50)
    assert none.shape == (2, 100, 20)
    assert sorted(first.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert float((first[0] == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert bool((none == 1).all())
    assert torch.equal(first[0], draw(3)[0][0]), "a lane's masks don't depend on its neighbours"
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("size", [(8, 8), (9, 11)])
@pytest.mark.parametrize("bias", [True, False])
def test_patches_as_products_are_those_of_the_convolution(size, bias):
    model = nn.Sequential(nn.Conv2d(3, 5, kernel_size=(2, 4), stride=(2, 4), bias=bias))
    images, names = torch.rand(2, 3, *size), list(model.state_dict())
    expected = model(images)
    products.replace_layers(model)
    assert isinstance(model[0], products.PlainPatches)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(images), expected)


def test_convolutions_that_overlap_stay():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 1), nn.Conv2d(5, 5, 2, stride=2, padding=1))
    products.replace_layers(model)
    assert not any(isinstance(each, products.PlainPatches) for each in model)


@pytest.mark.slow
def test_a_compiled_batch_trains_what_separate_trials_do_though_one_leaves(placed, together, separately, capfd):
    from torch._dynamo.utils import counters

    configs = [{**NET, **lane, "dropout": 0.1, "compile": True} for lane in LANES]
    answers = {1: {1: "stop"}}
    counters.clear()
    channels, ends = together(
        [placed(n, config, "fused", max_t=2) for n, config in enumerate(configs)], answers=answers
    )
    assert ends == ["returned", "stopped", "returned"]
    assert "compile: the compiler failed" not in capfd.readouterr().err
    assert counters["stats"]["unique_graphs"] == 1, "one for any number of lanes"
    for number, config in enumerate(configs):
        single = separately(placed(number, {**config, "compile": False}, max_t=2), answers.get(number))
        assert_same_training(channels[number], single)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lanes_on_a_gpu_end_where_they_would_by_themselves(placed, together, separately, precision):
    configs = [{**VIT, **lane, "precision": precision} for lane in LANES]
    fields = {"gpu": 1, "device": "cuda"}
    channels, _ = together([placed(n, config, "fused", **fields) for n, config in enumerate(configs)])
    for number, config in enumerate(configs):
        single = separately(placed(number, config, **fields))
        assert channels[number].reports[-1]["val_loss"] == pytest.approx(single.reports[-1]["val_loss"], rel=0.05)
