"""Precision: the whole table, and the loss scale of fp16."""

import math

import pytest
import torch

from sweep.errors import NonFiniteLossError, TrainingError
from sweep.training import Context
from sweep.training.precision import Precision, choose

CPU = torch.device("cpu")

needs_cuda = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: what fp16 does there can't be seen"),
]


@pytest.mark.parametrize(
    ("requested", "device", "bf16", "chosen"),
    [
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp16"),
        ("auto", "cpu", False, "fp32"),
        ("bf16", "cuda", True, "bf16"),
        ("bf16", "cpu", False, "bf16"),
        ("fp16", "cuda", True, "fp16"),
        ("fp16", "cuda", False, "fp16"),
        ("fp32", "cuda", True, "fp32"),
        ("fp32", "cuda", False, "fp32"),
        ("fp32", "cpu", False, "fp32"),
    ],
)
def test_the_table(requested, device, bf16, chosen):
    assert choose(requested, device, bf16_supported=bf16) == chosen


@pytest.mark.parametrize(
    ("requested", "device", "words"),
    [
        ("fp16", "cpu", "fp16 needs a GPU.*Use auto"),
        ("bf16", "cuda", "only emulates bf16. Use auto"),
        ("fp8", "cpu", "got 'fp8'. Use one of auto, bf16, fp16, fp32"),
    ],
)
def test_what_is_refused(requested, device, words):
    with pytest.raises(TrainingError, match=words):
        choose(requested, device, bf16_supported=False)


@pytest.mark.parametrize(("requested", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_on_the_cpu(requested, dtype):
    precision = Precision(requested, CPU)
    with precision.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == dtype
    assert precision.scaler is None
    assert precision.state_dict() == {}


def test_a_scale_from_another_gpu_is_ignored_without_a_scaler():
    Precision("fp32", CPU).load_state_dict({"scale": 8.0})


class Scaled(Precision):
    """fp16's steps on the CPU: torch's GradScaler works there too, so its logic needs no GPU."""

    def __init__(self):
        super().__init__("fp32", CPU)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)


def test_gradients_are_unscaled_before_they_are_clipped_and_applied():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    assert Scaled().step([weight.sum()], torch.optim.SGD([weight], lr=0.5), clip_norm=2.0)
    assert weight.item() == 1.5


def test_an_overflow_skips_the_step_and_lowers_the_scale():
    precision = Scaled()
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    moved = precision.step([weight.sum() * 3e38], torch.optim.SGD([weight], lr=0.5))
    assert not moved
    assert weight.item() == 2.0
    assert precision.state_dict()["scale"] == 2.0


def test_the_schedule_waits_for_a_skipped_step(placement, scripted):
    ctx = Context(placement(), scripted())
    ctx.__dict__["precision"] = Scaled()
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    ctx.backward_and_step(weight.sum() * 1e38, optimizer, scheduler=schedule)
    assert optimizer.param_groups[0]["lr"] == 1.0
    ctx.backward_and_step(weight.sum(), optimizer, scheduler=schedule)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_the_scale_is_in_the_checkpoint(placement, scripted):
    channel = scripted()
    ctx = Context(placement(), channel)
    ctx.__dict__["precision"] = Scaled()
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    ctx.backward_and_step(weight.sum(), torch.optim.SGD([weight], lr=0.5))
    ctx.report({}, checkpoint={"weight": weight.detach()})
    later = Context(placement(checkpoint=channel.checkpoints[0]), scripted())
    later.__dict__["precision"] = Scaled()
    later.restore()
    assert later.precision.state_dict() == ctx.precision.state_dict()
    assert later.precision.state_dict()["scale"] == 8.0


@pytest.fixture
def on_cuda(placement, scripted):
    before = torch.get_float32_matmul_precision()
    yield lambda name: Context(placement(device="cuda", gpu=1, config={"precision": name}), scripted())
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("requested", "dtype"),
    [
        pytest.param("fp16", torch.float16, marks=needs_cuda),
        pytest.param("auto", None, marks=needs_cuda),
        pytest.param("fp32", torch.float32, marks=needs_cuda),
    ],
)
def test_a_step_on_cuda(on_cuda, requested, dtype):
    ctx = on_cuda(requested)
    model = torch.nn.Linear(8, 8).to(ctx.device)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ctx.autocast():
        output = model(torch.ones(4, 8, device=ctx.device))
        loss = output.float().square().mean()
    ctx.backward_and_step(loss, optimizer, clip_norm=1.0)
    assert dtype is None or output.dtype == dtype
    assert not torch.equal(before, model.weight)
    assert (ctx.precision.scaler is not None) == (ctx.precision.name == "fp16")
    assert torch.get_float32_matmul_precision() == "high"


@pytest.mark.parametrize("requested", [pytest.param(name, marks=needs_cuda) for name in ("fp16", "auto")])
def test_a_nan_loss_on_cuda(on_cuda, requested):
    ctx = on_cuda(requested)
    weight = torch.nn.Parameter(torch.ones(1, device=ctx.device))
    with pytest.raises(NonFiniteLossError):
        ctx.backward_and_step(weight.sum() * math.nan, torch.optim.SGD([weight], lr=1.0))
    assert weight.item() == 1.0
