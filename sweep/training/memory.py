"""Which errors mean that memory ran out, and what to do about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from sweep.core.protocols import GpuMemory
from sweep.errors import MemoryShareError, TrainingError

if TYPE_CHECKING:
    from sweep.training.context import Context

CONTEXT_BYTES = 512 * 2**20
"""What CUDA's context and its libraries take of a GPU beside torch's allocator, which neither counts nor caps it."""

Memory = Literal["gpu_memory", "host_memory"]

_HOST = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
# Libraries beneath torch have allocators of their own, whose errors come as plain RuntimeErrors.
_GPU = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
)


def used() -> GpuMemory | None:
    """The most that this process has held of its GPU since the attempt began; None where CUDA isn't in use.

    Tests replace it: `gpu: auto` learns of memory from nowhere else.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    total = torch.cuda.mem_get_info()[1]
    return GpuMemory(peak=min(total, torch.cuda.max_memory_reserved() + CONTEXT_BYTES), total=total)


def allocator_fraction(share: float, total: int) -> float:
    """How much of a GPU torch's allocator may take, so that its process stays within a share of it.

    Args:
        share: 0 < share <= 1.
        total: bytes that the GPU has.

    Returns:
        The share less CUDA's own part; never less than half of it, for a share of a very small GPU.
    """
    return share if share >= 1 else max(share - CONTEXT_BYTES / total, share / 2)


def exhausted(error: BaseException) -> Memory | None:
    """Which memory ran out, if that is what an error means."""
    if isinstance(error, MemoryShareError):
        return error.memory
    if isinstance(error, MemoryError):
        return "host_memory"
    if not isinstance(error, RuntimeError):
        return None
    text = str(error)
    if any(sign in text for sign in _HOST):
        return "host_memory"
    torch = sys.modules.get("torch")
    if (torch is not None and isinstance(error, torch.OutOfMemoryError)) or any(sign in text for sign in _GPU):
        return "gpu_memory"
    return None


def in_words(text: str) -> Memory | None:
    """Which memory ran out, by the last words of a process."""
    if any(sign in text for sign in (*_GPU, "torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError")):
        return "gpu_memory"
    if "\nMemoryError" in f"\n{text}" or any(sign in text for sign in _HOST):
        return "host_memory"
    return None


def shortage(context: Context, gpu: float, memory: Memory) -> TrainingError:
    """The error for a trial whose memory ran out; the original one, to be chained, has the allocator's numbers.

    It is no MemoryShareError when a further split of the batch can't help, so that nobody tries.
    """
    what = _gpu(context, gpu) if memory == "gpu_memory" else _host(context)
    if problem := context.cannot_shrink():
        return TrainingError(f"{what} {problem}")
    return MemoryShareError(what, memory)


def _gpu(context: Context, gpu: float) -> str:
    import torch

    used = ""
    if torch.cuda.is_available():
        share = torch.cuda.mem_get_info()[1] * min(gpu, 1) / 2**30
        used = f" ({torch.cuda.max_memory_allocated() / 2**30:.1f} of its {share:.1f} GiB, gpu: {gpu:g})"
    larger = "Lower batch_size" if gpu >= 1 else "Lower batch_size or set resources.gpu: 1"
    return f"{_when(context)}: CUDA out of memory{used}. {larger}."


def _host(context: Context) -> str:
    return (
        f"{_when(context)}: the machine's memory ran out. Lower batch_size, load less data at once, "
        "or set resources.max_concurrent lower."
    )


def _when(context: Context) -> str:
    return f"{context.where()}, {context.time_attr} {context.t + 1}"
