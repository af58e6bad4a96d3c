"""torch.compile, with a way back.

What it generates is kept by torch in one folder for all of a user's processes on a node ($TORCHINDUCTOR_CACHE_DIR,
else torchinductor_USER in the temporary folder): a second trial of the same model finds it there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

LARGE = 5_000_000
"""Parameters from which `compile: auto` compiles on CUDA."""


def pays(model: nn.Module, device: torch.device) -> bool:
    """What `compile: auto` means: see docs/decisions.md, "What compile: auto means"."""
    return device.type == "cuda" and sum(each.numel() for each in model.parameters()) >= LARGE


def compiled(model: nn.Module | Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes what the model, or function, computes, compiled at its first call.

    The model itself stays as it is, so that its state dict keeps its names. `failed` tells whether an error of the
    first call is the compiler's.
    """
    # Trials of one process share code objects; after eight different models torch would compile none any more.
    torch.compiler.reset()
    function: Callable[..., Any] = torch.compile(model)
    return function


def failed(error: RuntimeError) -> bool:
    """Whether an error is that of torch's compiler, or of the one that it calls, not of the model."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    return isinstance(error, TorchDynamoException | CppCompileError | InvalidCxxCompiler)
