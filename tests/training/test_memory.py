"""When memory runs out: which errors say so, and batches in parts whose gradients are the batch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sweep.core.protocols import Placement
from sweep.errors import MemoryShareError, TrainingError
from sweep.training.attempt import run_attempt
from sweep.training.context import Context
from sweep.training.memory import exhausted


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB"), "gpu_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "gpu_memory"),
        (RuntimeError("CUDA error: out of memory"), "gpu_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."), "host_memory"),
        (MemoryError(), "host_memory"),
        (MemoryShareError("mine", "gpu_memory"), "gpu_memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("out of memory"), None),
    ],
)
def test_what_means_that_memory_ran_out(error, memory):
    assert exhausted(error) == memory


def test_torchs_own_words_for_too_little_host_memory_are_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert exhausted(caught.value) == "host_memory"


@pytest.fixture
def context(placement, scripted):
    return lambda **fields: Context(placement(**fields), scripted())


def _context(split):
    return Context(Placement("s", 0, 1, {}, "", 0, "epoch", 1, "unused", batch_split=split), channel=None)


@given(size=st.integers(1, 20), split=st.sampled_from([1, 2, 4, 8, 16, 64]), seed=st.integers(0, 100))
def test_parts_add_up_to_the_batchs_gradient(size, split, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(size, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(size, 2, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    whole = torch.nn.functional.mse_loss(inputs @ weight, targets)
    whole.backward()
    expected, weight.grad = weight.grad, None
    total, sizes = 0.0, []
    for (some, wanted), share in _context(split).parts(inputs, targets):
        (share * torch.nn.functional.mse_loss(some @ weight, wanted)).backward()
        total += share
        sizes.append(len(some))
    torch.testing.assert_close(weight.grad, expected)
    assert total == pytest.approx(1)
    assert sum(sizes) == size
    assert len(sizes) == min(split, size)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("tensors", "came"), [([], "no"), ([torch.ones(2), torch.ones(3)], "2 and 3"), ([torch.ones(0, 3)], "0")]
)
def test_parts_refuse_what_is_no_batch(context, tensors, came):
    with pytest.raises(TrainingError, match=f"parts got tensors of {came} samples"):
        list(context().parts(*tensors))


FUNCTION = """
import torch

def train(config, ctx):
    for (batch,), weight in {parts}:
        if len(batch) > config["fits"]:
            raise MemoryError()
    ctx.report({{"loss": 1.0}})
"""


@pytest.mark.parametrize("split", [1, 2])
def test_batch_that_may_be_split_further_says_which_memory(placement, scripted, script, split):
    entrypoint = script(FUNCTION.format(parts="ctx.parts(torch.ones(8, 1))"))
    with pytest.raises(MemoryShareError, match=r"the machine's memory ran out\. Lower batch_size") as caught:
        run_attempt(placement(entrypoint=entrypoint, config={"fits": 2}, batch_split=split), scripted())
    assert caught.value.memory == "host_memory"


def test_function_that_never_looks_at_the_split_is_told_so_and_not_split_again(placement, scripted, script):
    entrypoint = script(FUNCTION.format(parts="[((torch.ones(8, 1),), 1.0)]"))
    with pytest.raises(TrainingError, match=r"in 2 parts .* never looks at ctx.batch_split. Use ctx.parts") as caught:
        run_attempt(placement(entrypoint=entrypoint, config={"fits": 2}, batch_split=2), scripted())
    assert not isinstance(caught.value, MemoryShareError)


def test_batch_of_single_samples_is_not_split_again(placement, scripted, script):
    entrypoint = script(FUNCTION.format(parts="ctx.parts(torch.ones(8, 1))"))
    with pytest.raises(TrainingError, match="already computed in 8 parts, one sample at a time") as caught:
        run_attempt(placement(entrypoint=entrypoint, config={"fits": 0}, batch_split=8), scripted())
    assert not isinstance(caught.value, MemoryShareError)
