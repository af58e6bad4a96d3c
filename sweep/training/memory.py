"""Which errors mean that memory ran out, and what to do about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from sweep.errors import MemoryShareError, TrainingError

if TYPE_CHECKING:
    from sweep.training.context import Context

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
