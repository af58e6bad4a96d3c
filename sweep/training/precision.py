"""Mixed precision: which arithmetic a trial uses, and the loss scale that fp16 needs.

========== ======================= =================== ===============
requested  CUDA with bf16 support  other CUDA          CPU
========== ======================= =================== ===============
auto       bf16                    fp16 + GradScaler   fp32
bf16       bf16                    refused             bf16
fp16       fp16 + GradScaler       fp16 + GradScaler   refused
fp32       fp32                    fp32                fp32
========== ======================= =================== ===============

On CUDA, fp32 products of matrices use TF32 ("high" in `torch.set_float32_matmul_precision`): 10 bits of mantissa, as
cuDNN's convolutions do by default, several times quicker since Ampere. A training function that needs all 23 bits
sets "highest" itself; `run_attempt` puts the setting back afterwards, so trials don't inherit it from each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast, get_args

import torch

from sweep.errors import TrainingError

Requested = Literal["auto", "bf16", "fp16", "fp32"]
Chosen = Literal["bf16", "fp16", "fp32"]


def choose(requested: str, device_type: str, *, bf16_supported: bool) -> Chosen:
    """The table above.

    Args:
        requested: auto, bf16, fp16 or fp32.
        device_type: "cuda" or "cpu".
        bf16_supported: whether the GPU computes in bf16 itself (compute capability 8.0 and later).

    Raises:
        TrainingError: an unknown name, or a combination that is refused.
    """
    if requested not in get_args(Requested):
        raise TrainingError(f"precision: got {requested!r}. Use one of {', '.join(get_args(Requested))}.")
    if requested == "auto":
        if device_type != "cuda":
            return "fp32"
        return "bf16" if bf16_supported else "fp16"
    if requested == "fp16" and device_type != "cuda":
        raise TrainingError(
            "precision: fp16 needs a GPU: on the CPU its range is too small and it isn't quicker. "
            "Use auto, which is fp16 or bf16 on a GPU and fp32 on the CPU."
        )
    if requested == "bf16" and device_type == "cuda" and not bf16_supported:
        raise TrainingError("precision: this GPU only emulates bf16. Use auto, which is fp16 here.")
    return cast("Chosen", requested)


class Precision:
    """The arithmetic of one attempt.

    Attributes:
        name: "bf16", "fp16" or "fp32".
        scaler: only for fp16, whose smallest gradients would round to zero; bf16 has fp32's range.
    """

    def __init__(self, requested: str, device: torch.device) -> None:
        on_cuda = device.type == "cuda"
        supported = on_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        self.name = choose(requested, device.type, bf16_supported=supported)
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type) if self.name == "fp16" else None
        if on_cuda:
            torch.set_float32_matmul_precision("high")

    def autocast(self) -> AbstractContextManager[Any]:
        """The region of the forward pass and the loss."""
        if self.name == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def step(
        self,
        losses: Iterable[torch.Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float | None = None,
        parameters: Iterable[torch.Tensor] | None = None,
    ) -> bool:
        """Backward, unscale, clip, step, clear; see `Context.backward_and_step`.

        Returns:
            Whether the optimizer moved: fp16 skips a step whose gradients overflowed, and lowers its scale.
        """
        for loss in losses:
            torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(_all(optimizer) if parameters is None else parameters, clip_norm)
        moved = self._move(optimizer)
        optimizer.zero_grad(set_to_none=True)
        return moved

    def _move(self, optimizer: torch.optim.Optimizer) -> bool:
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before

    def state_dict(self) -> dict[str, Any]:
        """The scaler's numbers; empty without one."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the scale of `state`; ignored where there is no scaler (a trial that moved to another GPU)."""
        if self.scaler is not None:
            self.scaler.load_state_dict(dict(state))


def _all(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
