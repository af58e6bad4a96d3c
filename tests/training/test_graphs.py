"""Steps that are recorded and replayed: the same training as step by step, and a way back."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from sweep.errors import NonFiniteLossError
from sweep.training import graphs, loop, vision
from sweep.training.settings import Settings


class Again:
    """A recorder for where there is no CUDA: its replay computes anew on the recorded tensors, into the same result."""

    def __init__(self, device=None):
        self.recorded = self.replayed = self.warmed = 0

    def beside(self, step):
        self.warmed += 1
        return step()

    def record(self, step):
        self.recorded += 1
        # What a recording mustn't do is move the weights; so nothing runs here but the replays.
        result = torch.zeros(())

        def replay():
            self.replayed += 1
            found = step()
            result.resize_(found.shape).copy_(found)

        return replay, result


@pytest.fixture
def run(run_trial):
    """Runs the image classifier with a config; `name` keeps trials apart."""
    return partial(run_trial, "sweep.training.vision:train")


@pytest.fixture
def again(monkeypatch):
    """Lets the loop record on the CPU, by `Again`."""
    made = []

    def recorder(device):
        made.append(Again())
        return made[-1]

    monkeypatch.setattr(graphs, "CudaRecorder", recorder)
    monkeypatch.setattr(loop.Loop, "_alone_on_a_gpu", lambda self: True)
    return made


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": "sgd"},
        {"optimizer": "adam", "accumulate": 3, "schedule": "onecycle"},
        {"ema": 0.99, "dropout": 0.2, "mixup": 0.3, "clip_norm": None},
        {"model": "resnet18", "small_stem": True, "batch_size": 256, "lr": 1e-3},
    ],
)
def test_recorded_steps_train_what_single_ones_do(run, again, more):
    config = {"depth": 1, "dim": 16, **more} if "model" not in more else more
    # The evaluation is recorded after some epochs, for which a ResNet takes long here.
    epochs = 2 if "model" in more else graphs.WARM_UP + 2
    one_by_one = run({**config, "cuda_graphs": False}, name="single", max_t=epochs)
    assert not again
    recorded = run({**config, "cuda_graphs": True}, name="recorded", max_t=epochs)
    (recorder,) = again
    assert recorder.recorded == (1 if "model" in more else 2), "a graph for the steps and one for the evaluation"
    assert recorder.warmed == graphs.WARM_UP + min(epochs, graphs.WARM_UP)
    for before, after in zip(one_by_one.reports, recorded.reports, strict=True):
        del before["images_per_s"], after["images_per_s"]
        assert after == pytest.approx(before, rel=1e-3)


def test_a_trial_goes_on_from_a_checkpoint_of_the_other_kind(run, again):
    config = {"depth": 1, "dim": 16, "dropout": 0.1}
    whole = run({**config, "cuda_graphs": False}, name="whole", max_t=3)
    first = run({**config, "cuda_graphs": True}, name="first", max_t=3, answers={2: "stop"})
    rest = run({**config, "cuda_graphs": False}, name="rest", max_t=3, checkpoint=first.checkpoints[-1])
    assert rest.reports[-1]["val_loss"] == pytest.approx(whole.reports[-1]["val_loss"], rel=1e-5)


def test_a_loss_that_is_not_finite_ends_the_trial_and_moves_nothing(run, again, monkeypatch):
    kept = []
    monkeypatch.setattr(vision._Run, "batches", _poisoned(vision._Run.batches, at=9))
    broken_off = vision._Run._broken_off

    def look(self, losses, epoch):
        kept.append((losses, [each.clone() for each in self.model.parameters()], self.optimizer.state_dict()))
        return broken_off(self, losses, epoch)

    monkeypatch.setattr(vision._Run, "_broken_off", look)
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step 9: the loss is nan\. Lower lr \(now 0\.000889\)"):
        run({"depth": 1, "dim": 16, "cuda_graphs": True}, max_t=1)
    ((losses, weights, state),) = kept
    assert math.isnan(losses[8])
    assert len(losses) == 18
    assert all(each.isfinite().all() for each in weights)
    assert {float(each["step"]) for each in state["state"].values()} == {8}
    assert not any(group["capturable"] for group in state["param_groups"])


def _poisoned(batches, at):
    def poisoned(self, generator):
        for number, (inputs, targets) in enumerate(batches(self, generator), start=1):
            yield (inputs * math.nan if number == at else inputs), targets

    return poisoned


def test_what_cannot_be_recorded_trains_on_step_by_step(capsys):
    class Refuses(Again):
        def record(self, step):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    seen = []
    recorded = graphs.Recorded(lambda each: seen.append(each) or each.sum(), Refuses())
    results = [float(recorded(torch.full((2,), float(n)))) for n in range(6)]
    assert results == [0, 2, 4, 6, 8, 10]
    assert capsys.readouterr().err == (
        "cuda_graphs: the step can't be recorded, so its kernels start one by one: "
        "operation not permitted when stream is capturing\n"
    )


def test_memory_that_runs_out_while_recording_is_no_reason_to_go_on():
    class Full(Again):
        def record(self, step):
            raise torch.OutOfMemoryError("CUDA out of memory")

    recorded = graphs.Recorded(torch.sum, Full())
    for _ in range(graphs.WARM_UP):
        recorded(torch.ones(2))
    with pytest.raises(torch.OutOfMemoryError):
        recorded(torch.ones(2))


@pytest.mark.parametrize(("width", "pays"), [(1000, True), (3000, False)])
def test_auto_records_small_models(width, pays):
    assert graphs.pays(nn.Linear(width, width)) == pays


def test_an_optimizer_without_fused_kernels_cannot_stand_still():
    model = nn.Linear(2, 2)
    assert not graphs.can_stand_still(torch.optim.AdamW(model.parameters(), foreach=True))
    assert graphs.can_stand_still(loop.make_optimizer(model, Settings.parse({}, 1)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: a real graph can't be recorded")
@pytest.mark.parametrize("more", [{}, {"dropout": 0.2, "optimizer": "sgd"}, {"model": "resnet18", "compile": False}])
def test_a_graph_on_a_gpu_trains_what_single_kernels_do(run, more):
    config = {"lr": 1e-3, "precision": "fp32", **more}
    fields = {"device": "cuda", "gpu": 0.5, "max_t": 3}
    one_by_one = run({**config, "cuda_graphs": False}, name="single", **fields)
    recorded = run({**config, "cuda_graphs": True}, name="recorded", **fields)
    # TF32 and kernels that add in any order part the weights of a deep network: two runs without graphs, too, differ by
    # a sixth in their second epoch.
    compared = 1 if more.get("model") == "resnet18" else 3
    for before, after in zip(one_by_one.reports[:compared], recorded.reports[:compared], strict=True):
        assert after["train_loss"] == pytest.approx(before["train_loss"], rel=0.03)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: a real graph can't be refused")
def test_a_step_that_reads_back_on_a_gpu_is_not_recorded_and_goes_on(capsys):
    weight = torch.ones(2, device="cuda")

    def step(each):
        return each.sum() * float(weight.sum())

    recorded = graphs.Recorded(step, graphs.CudaRecorder(torch.device("cuda", 0)))
    assert [float(recorded(torch.full((2,), float(n), device="cuda"))) for n in range(6)] == [0, 4, 8, 12, 16, 20]
    assert "the step can't be recorded" in capsys.readouterr().err
    dropped = functional.dropout(torch.ones(1000, device="cuda"))  # the generator isn't left recording
    assert 0 < int((dropped == 0).sum()) < 1000
