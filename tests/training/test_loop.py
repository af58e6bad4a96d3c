"""The loop that images and text share: batches in parts, averages, fine-tuning, the compiler's way back."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from trained import content

from sweep.errors import NonFiniteLossError, TrainingError
from sweep.training import loop, weights
from sweep.training.context import Context
from sweep.training.models import build
from sweep.training.settings import Settings
from sweep.training.vision import is_convolutional

SMALL = {"dim": 8, "depth": 1, "heads": 2, "batch_size": 400, "lr": 0.01}


@pytest.fixture
def run(run_trial):
    return partial(run_trial, "sweep.training.vision:train")


# Batches in parts.


@pytest.mark.parametrize(
    ("accumulate", "batch_split", "mixup"), [(3, 1, 0.0), (1, 4, 0.0), (2, 2, 0.5)], ids=["by key", "by memory", "both"]
)
def test_a_batch_in_parts_gives_the_weights_of_the_whole(run, accumulate, batch_split, mixup):
    config = {**SMALL, "label_smoothing": 0.1, "mixup": mixup, "optimizer": "sgd", "lr": 0.1}
    whole = run(config, name="whole", max_t=2)
    parts = run({**config, "accumulate": accumulate}, name="parts", max_t=2, batch_split=batch_split)
    a, b = (content(each.checkpoints[-1])["model"] for each in (whole, parts))
    assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)
    assert whole.reports[-1]["train_loss"] == pytest.approx(parts.reports[-1]["train_loss"], rel=1e-5)


def test_accumulate_and_split_multiply(placement, scripted):
    ctx = Context(placement(batch_split=2), scripted())
    parts = list(ctx.parts(torch.ones(10, 1), accumulate=3))
    assert sum(share for _, share in parts) == pytest.approx(1)
    assert [len(part) for (part,), _ in parts] == [1, 2, 2, 1, 2, 2]
    assert ctx.cannot_shrink() is None
    list(ctx.parts(torch.ones(6, 1), accumulate=3))
    assert "one sample at a time" in ctx.cannot_shrink()


def test_a_part_that_is_no_number_moves_nothing_and_leaves_no_gradients(placement, scripted):
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    with pytest.raises(NonFiniteLossError):
        Context(placement(), scripted()).backward_and_step(iter([weight.sum(), weight.sum() * torch.nan]), optimizer)
    assert weight.item() == 1
    assert weight.grad is None


# The average of the weights.


def test_the_average_is_what_one_computes_by_hand():
    model = nn.Linear(1, 1, bias=False)
    averaged = loop.average(model, decay=0.3)
    values = [1.0, 5.0, -3.0, 2.0, 8.0, 1.0, 1.5, 9.0]
    expected = values[0]
    for count, value in enumerate(values):
        model.weight.data.fill_(value)
        averaged.update_parameters(model)
        if count:
            decay = min(0.3, (1 + count) / (10 + count))
            expected = decay * expected + (1 - decay) * value
    assert averaged.module.weight.item() == pytest.approx(expected)


def test_the_average_is_what_is_evaluated_and_promoted(run):
    plain, averaged = (run({**SMALL, **extra}, name=f"{extra}", max_t=2) for extra in ({}, {"ema": 0.9}))
    one, other = content(plain.checkpoints[-1]), content(averaged.checkpoints[-1])
    # Training itself doesn't notice.
    assert all(torch.equal(one["model"][key], other["trained"][key]) for key in one["model"])
    assert not torch.equal(other["model"]["head.weight"], other["trained"]["head.weight"])
    assert plain.reports[-1]["train_loss"] == averaged.reports[-1]["train_loss"]
    assert plain.reports[-1]["val_loss"] != averaged.reports[-1]["val_loss"]


def test_batch_norms_statistics_are_averaged_too():
    model = nn.BatchNorm1d(2)
    averaged = loop.average(model, decay=0.9)
    averaged.update_parameters(model)
    model(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)) + 5)
    averaged.update_parameters(model)
    decay = 2 / 11
    assert torch.allclose(averaged.module.running_mean, (1 - decay) * model.running_mean)


# Fine-tuning.


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_a_file_are_where_training_starts(run, tmp_path, suffix, capfd):
    start = build("vit_tiny", 7, 1, 8, dim=8, depth=1, heads=2).state_dict()
    file = tmp_path / f"start{suffix}"
    save_file(start, file) if suffix == ".safetensors" else torch.save({"model": start}, file)
    config = {**SMALL, "weights": str(file), "lr": 1e-12, "weight_decay": 0.0}
    checkpoint = run(config, max_t=1).checkpoints[-1]
    model = content(checkpoint)["model"]
    assert torch.allclose(model["blocks.0.qkv.weight"], start["blocks.0.qkv.weight"], atol=1e-6)
    line = next(each for each in capfd.readouterr().err.splitlines() if each.startswith("weights: "))
    assert line.endswith("fresh: head.bias, head.weight; unused: head.bias, head.weight")
    file.unlink()  # a trial that goes on needs it no more
    assert run(config, max_t=2, attempt=3, checkpoint=checkpoint).reports[-1]["epoch"] == 2


def test_weights_that_fit_nowhere_are_refused(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(TrainingError, match=r"nothing in .*a.safetensors fits the model. It has a \(3,\); the model"):
        weights.start_from(nn.Linear(2, 2), str(tmp_path / "a.safetensors"))


class Spy:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


def test_code_in_a_weights_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Spy()}, "bad.pth")
    with pytest.raises(TrainingError, match="code from a file is never run"):
        weights.start_from(nn.Linear(2, 2), "bad.pth")
    assert not Path("unpickled").exists()


@pytest.mark.parametrize(
    ("name", "words"), [("no.pth", "there is no file"), ("no.bin", "is no .safetensors"), ("cut.pth", "can't be read")]
)
def test_a_weights_file_that_cannot_be_read_is_told(tmp_path, name, words):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(TrainingError, match=words):
        weights.start_from(nn.Linear(2, 2), str(tmp_path / name))


# The compiler.


TINY = {"model": "simplenet", "hidden": 8, "batch_size": 400}

BY_ITSELF = f"""
import sweep.training
from sweep.training.vision import train

config = {TINY | {"compile": True}}
train(config, sweep.training.standalone(config, folder="trial"))
"""


@pytest.mark.slow
def test_without_a_compiler_the_trial_goes_on_uncompiled(tmp_path):
    variables = os.environ | {"CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", BY_ITSELF]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    assert "val_loss" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("compile: ")]
    assert len(lines) == 1
    assert "the trial goes on without it" in lines[0]


@pytest.mark.slow
def test_a_compiled_trial_computes_the_same_under_the_same_names(run, capfd):
    plain, compiled = (run({**TINY, "compile": each}, name=f"{each}", max_t=1) for each in (False, True))
    a, b = (content(each.checkpoints[-1])["model"] for each in (plain, compiled))
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[key], b[key], atol=1e-3) for key in a)
    assert "compile: " not in capfd.readouterr().err


def test_an_error_of_the_model_is_not_the_compilers(monkeypatch, run):
    monkeypatch.setattr(loop.compiling, "compiled", lambda model: lambda inputs: model(inputs[:, :, :3]))
    with pytest.raises(RuntimeError, match="size"):
        run({**SMALL, "compile": True}, max_t=1)


# Memory formats and optimizers.


def test_only_convolutional_networks_are_turned():
    assert is_convolutional(build("resnet18", 10, 3, 8))
    assert not is_convolutional(build("vit_tiny", 10, 1, 8))


def test_where_there_is_no_fused_optimizer_it_is_foreach(monkeypatch):
    class Unfused(torch.optim.SGD):
        def __init__(self, groups, *, fused=None, **options):
            if fused:
                raise RuntimeError("`fused=True` requires all the params to be floating point Tensors of ...")
            super().__init__(groups, **options)

    monkeypatch.setattr(torch.optim, "SGD", Unfused)
    optimizer = loop.make_optimizer(nn.Linear(2, 2), Settings.parse({"optimizer": "sgd"}, 1))
    assert optimizer.param_groups[0]["foreach"]
