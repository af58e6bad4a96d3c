"""The image classifier: it learns, resumes bit for bit, and refuses what it can't do."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from trained import content, same

from sweep.errors import CheckpointError, NonFiniteLossError, TrainingError
from sweep.store import checkpoints
from sweep.training import data, loop, vision
from sweep.training.context import Context
from sweep.training.models import build
from sweep.training.settings import Settings

ENTRYPOINT = "sweep.training.vision:train"
SMALL = {"model": "vit_tiny", "dim": 8, "depth": 1, "heads": 2, "batch_size": 400, "lr": 0.01}


@pytest.fixture
def run(run_trial):
    """Runs the training function and returns its channel; `name` keeps trials apart."""
    return partial(run_trial, ENTRYPOINT)


@pytest.fixture
def images(tmp_path):
    """A folder of two classes of ten images."""
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(10):
            Image.new("RGB", (8, 8), (20 * index, 0, 9)).save(tmp_path / "data" / name / f"{index}.png")
    return tmp_path / "data"


@pytest.fixture
def resnet(images):
    """A config that trains a ResNet in a moment."""
    return {"model": "resnet18", "data": "image_folder", "data_dir": str(images), "image_size": 8, "optimizer": "sgd"}


def test_vit_tiny_learns_digits(run):
    channel = run({"depth": 2, "dim": 48, "heads": 3, "batch_size": 32, "lr": 3e-3}, max_t=6)
    assert channel.reports[-1]["val_accuracy"] > 0.93


def test_what_is_reported(run):
    first, *_, last = run(SMALL, max_t=3).reports
    assert first.keys() == {"epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "images_per_s"}
    assert (first["epoch"], last["epoch"]) == (1, 3)
    assert 0 <= first["val_accuracy"] <= 1
    assert last["val_loss"] < first["val_loss"]
    assert first["images_per_s"] > 0


@pytest.mark.parametrize(
    "extra",
    [
        {"optimizer": "adamw"},
        {"optimizer": "adam", "precision": "bf16"},
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "constant"},
        {"optimizer": "sgd", "momentum": 0.0},
        {"dropout": 0.3, "augment": "crop_flip", "label_smoothing": 0.1},
        {"augment": "crop", "cutout": 0.5},
        {"mixup": 0.4, "augment": "crop"},
        {"ema": 0.9, "schedule": "onecycle"},
        {"accumulate": 3, "dropout": 0.2},
        {"model": "simplenet", "dim": None, "depth": None, "heads": None, "hidden": 16, "dropout": 0.5},
    ],
    ids=lambda extra: "-".join(map(str, extra.values())),
)
def test_a_resumed_trial_ends_with_the_same_weights_bit_for_bit(run, extra):
    config = {**SMALL, **extra}
    whole = run(config, name="whole")
    broken = run(config, name="broken", answers={2: "stop"})
    torch.rand(7)  # whatever else the process did in between
    resumed = run(config, name="broken", attempt=3, checkpoint=broken.checkpoints[-1])
    assert [report["epoch"] for report in resumed.reports] == [3, 4]
    assert same(content(whole.checkpoints[-1]), content(resumed.checkpoints[-1]))
    for name in ("train_loss", "val_loss", "learning_rate"):
        assert whole.reports[-1][name] == resumed.reports[-1][name]


def test_a_resumed_batch_norm_ends_with_the_same_statistics(run, resnet):
    whole = run(resnet, name="whole", max_t=2)
    broken = run(resnet, name="broken", max_t=2, answers={1: "stop"})
    resumed = run(resnet, name="broken", max_t=2, attempt=3, checkpoint=broken.checkpoints[-1])
    assert same(content(whole.checkpoints[-1]), content(resumed.checkpoints[-1]))


def test_the_seed_is_what_makes_trials_differ(run):
    states = [content(run(SMALL, name=f"{seed}", seed=seed, max_t=1).checkpoints[-1]) for seed in (1, 1, 2)]
    assert same(states[0], states[1])
    assert not same(states[0]["model"], states[2]["model"])


def test_training_ends_at_its_own_epochs(run):
    assert len(run({**SMALL, "epochs": 2}, max_t=4).reports) == 2
    assert len(run({**SMALL, "epochs": 9}, max_t=4).reports) == 4


def test_a_loss_that_is_no_number_is_told_with_its_place(run):
    words = r"Trial 17, attempt 2, epoch \d, step \d+: the loss is nan\. Lower lr"
    with pytest.raises(NonFiniteLossError, match=words):
        run({**SMALL, "model": "simplenet", "dim": None, "depth": None, "heads": None, "optimizer": "sgd", "lr": 1e30,
             "clip_norm": None, "warmup_epochs": 0})  # fmt: skip


def test_mixed_labels_say_how_much_of_each_image_there_is(placement, scripted):
    def batch(**config):
        ctx = Context(placement(), scripted())
        trial = vision._Run(Settings.parse({**SMALL, **config}, 1), data.load("digits"), ctx)
        return next(trial.batches(torch.Generator().manual_seed(3)))

    (images, labels), (mixed, shares) = batch(), batch(mixup=1.0)
    assert torch.allclose(shares.sum(dim=1), torch.ones(400))
    two = (shares > 0).sum(dim=1) == 2
    own = shares[torch.arange(400), labels]
    assert two.sum() > 300
    other = shares.scatter(1, labels[:, None], 0).argmax(dim=1)
    for index in two.nonzero().flatten()[:20].tolist():
        rest = (mixed[index] - own[index] * images[index]) / (1 - own[index])
        distances = (images[labels == other[index]] - rest).abs().amax(dim=(1, 2, 3))
        assert distances.min() < 1e-3


def test_channels_last_computes_the_same(run, resnet):
    plain, turned = (
        run({**resnet, "channels_last": turn}, name=f"{turn}", max_t=1).reports[0] for turn in (False, True)
    )
    assert plain["train_loss"] == pytest.approx(turned["train_loss"], rel=1e-4)


# Checkpoints that others read.


def test_the_manifest_rebuilds_the_model(run):
    checkpoint = run(SMALL, max_t=1).checkpoints[0]
    manifest = checkpoints.verify(Path(checkpoint))
    assert manifest["model"] == {
        "name": "vit_tiny",
        "num_classes": 10,
        "in_channels": 1,
        "image_size": 8,
        "options": {"dim": 8, "depth": 1, "heads": 2},
    }
    assert manifest["classes"] == list("0123456789")
    assert manifest["data"]["name"] == "digits"
    model = vision.rebuild(manifest["model"])
    model.load_state_dict(content(checkpoint)["model"])


def test_evaluate_agrees_with_what_was_reported(run):
    channel = run(SMALL, max_t=2)
    scores = vision.evaluate(channel.checkpoints[-1], split="val")
    assert scores["val_accuracy"] == channel.reports[-1]["val_accuracy"]
    assert scores["val_loss"] == pytest.approx(channel.reports[-1]["val_loss"], rel=1e-6)
    assert vision.evaluate(channel.checkpoints[-1]).keys() == {"test_loss", "test_accuracy"}


def test_evaluate_refuses_data_that_has_changed(run, images):
    config = {"model": "simplenet", "hidden": 4, "data": "image_folder", "data_dir": str(images), "image_size": 8}
    checkpoint = run(config, max_t=1).checkpoints[0]
    assert vision.evaluate(checkpoint)
    for index in range(10):
        Image.new("RGB", (8, 8), (255 - index, 0, 0)).save(images / "a" / f"{index}.png")
    data._load.cache_clear()
    with pytest.raises(TrainingError, match="image_folder has changed since"):
        vision.evaluate(checkpoint)


def test_evaluate_refuses_what_another_function_wrote(tmp_path):
    checkpoints.write(tmp_path / "epoch-1", lambda folder: None, {"t": 1})
    with pytest.raises(CheckpointError, match="doesn't say which model and data"):
        vision.evaluate(tmp_path / "epoch-1")


def test_evaluate_refuses_a_split_that_is_not_there(run):
    checkpoint = run(SMALL, max_t=1).checkpoints[0]
    with pytest.raises(TrainingError, match="digits has no split 'dev'"):
        vision.evaluate(checkpoint, split="dev")


# Settings, schedule, optimizer.


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"learning_rate": 1}, "config: learning_rate: unknown. Known: data, "),
        ({"batchsize": 1}, "config: batchsize: unknown. Did you mean batch_size?"),
        ({"optimizer": "lion"}, "config: optimizer: got 'lion'. Input should be 'sgd', 'adam' or 'adamw'"),
        ({"lr": -1}, "config: lr: got -1. Input should be greater than 0"),
        ({"lr": math.nan}, "config: lr: got nan"),
        ({"dropout": 1.0}, "config: dropout: got 1.0. Input should be less than 1"),
        ({"batch_size": 2.5}, "config: batch_size: got 2.5"),
    ],
)
def test_config_keys_are_checked(config, words):
    with pytest.raises(TrainingError, match=words):
        Settings.parse(config, 3)


def test_all_problems_of_a_config_are_told_at_once():
    with pytest.raises(TrainingError, match=r"(?s)lr: got.*augmnet: unknown. Did you mean augment"):
        Settings.parse({"lr": 0, "augmnet": "crop"}, 3)


def test_only_options_that_are_named_reach_the_model():
    assert Settings.parse({}, 3).model_options == {}
    assert Settings.parse({"dim": 8, "small_stem": False}, 3).model_options == {"dim": 8, "small_stem": False}


def factors(moments, **config):
    settings = Settings.parse({"epochs": 10, **config}, 3)
    return [loop.lr_factor(moment, settings) for moment in moments]


def test_the_schedule_rises_then_falls():
    assert factors([1, 2, 6, 10, 11], warmup_epochs=2) == pytest.approx([0.5, 1, 0.5, 0, 0])
    assert factors([1, 2, 6, 10, 11], warmup_epochs=2, schedule="constant") == pytest.approx([0.5, 1, 1, 1, 1])
    assert factors([0], warmup_epochs=0) == [1]
    assert 0 < factors([0], warmup_epochs=2)[0] < 0.01


def test_onecycle_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=11, cycle_momentum=False)
    wanted = []
    for _ in range(11):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step() if len(wanted) < 11 else None
    # Theirs counts to the last step, which for 11 steps is 10; its peak is at 0.3 * 11 - 1 steps.
    ours = factors(range(11), schedule="onecycle")
    assert ours[0] == pytest.approx(wanted[0])
    assert ours[-1] == pytest.approx(wanted[-1])
    assert max(ours) == pytest.approx(1.0)
    assert max(ours) == ours[3]
    assert factors([10.5], schedule="onecycle") == [ours[-1]]


def test_a_warmup_longer_than_training_never_reaches_the_top():
    assert factors([5, 9.9], warmup_epochs=20) == pytest.approx([0.5, 0.99])


@pytest.mark.parametrize("model", ["vit_tiny", "simplenet", "resnet18"])
def test_weight_decay_is_on_weights_alone(model):
    built = build(model, 10, 1, 8)
    optimizer = loop.make_optimizer(built, Settings.parse({"weight_decay": 0.3}, 3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    told = {name: decay[id(p)] for name, p in built.named_parameters()}
    assert len(told) == len(decay)
    for name, parameter in built.named_parameters():
        expected = 0.3 if parameter.ndim > 1 and name != "positions" else 0.0
        assert told[name] == expected, name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the loop's GPU side can't be seen")
@pytest.mark.parametrize("precision", ["auto", "fp16", "fp32"])
def test_a_trial_on_cuda_learns_and_resumes(run, precision):
    config = {"depth": 2, "lr": 3e-3, "precision": precision, "augment": "crop", "channels_last": True}
    torch.cuda.reset_peak_memory_stats()
    broken = run(config, device="cuda", gpu=0.5, max_t=12, answers={6: "stop"})
    assert torch.cuda.max_memory_allocated() > 1e6
    resumed = run(config, device="cuda", gpu=0.5, max_t=12, attempt=3, checkpoint=broken.checkpoints[-1])
    assert resumed.reports[-1]["epoch"] == 12
    assert resumed.reports[-1]["val_accuracy"] > resumed.reports[0]["val_accuracy"] - 0.02
    assert resumed.reports[-1]["val_accuracy"] > 0.8
