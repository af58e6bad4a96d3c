"""Attention in a batch of models, as plain products.

torch's fused kernels have no way to be batched over models that holds everywhere: on the CPU (2.14) they fall back to a
loop, on CUDA (2.11) the memory-efficient one fails on its own alignment, and the composed one in its backward pass
under bf16 autocast.
"""

from __future__ import annotations

import torch
from torch import nn

from sweep.training.models.vit import Attention


class PlainAttention(nn.Module):
    """Stands in for `Attention` in the model that computes all lanes."""

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `Attention.forward`."""
        likeness = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if mask is not None:
            likeness = likeness.masked_fill(mask.logical_not(), float("-inf"))
        mixed: torch.Tensor = likeness.softmax(dim=-1) @ v
        return mixed


def replace_attention(model: nn.Module) -> None:
    """Let a model's attention be products."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, Attention):
                setattr(parent, name, PlainAttention())
