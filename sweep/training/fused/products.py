"""Layers of a batch of models as plain products, where torch's own kernels are slow or fail with one more dimension.

- Attention: on the CPU (2.14) torch's fused kernels fall back to a loop over models, on CUDA (2.11) the
  memory-efficient one fails on its own alignment, and the composed one in its backward pass under bf16 autocast.
- Patches: with weights that differ from model to model a convolution becomes a grouped one, a group a model, whose
  backward pass goes from group to group. Where patches don't overlap it is a product.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

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


class PlainPatches(nn.Conv2d):
    """Stands in for a convolution whose stride is its kernel's size."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, dim, H / height, W / width); what is left over at the right and below isn't seen."""
        number, channels, *sizes = images.shape
        height, width = self.kernel_size
        rows, columns = sizes[0] // height, sizes[1] // width
        whole = images[..., : rows * height, : columns * width]
        cut = whole.reshape(number, channels, rows, height, columns, width)
        flat = cut.permute(0, 2, 4, 1, 3, 5).flatten(3)  # (N, rows, columns, channels * height * width)
        return functional.linear(flat, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def replace_layers(model: nn.Module) -> None:
    """Let a model's attention and patches be products; its parameters keep their names."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, Attention):
                setattr(parent, name, PlainAttention())
            elif isinstance(child, nn.Conv2d) and _cuts_patches(child):
                setattr(parent, name, _patches_of(child))


def _cuts_patches(layer: nn.Conv2d) -> bool:
    plain = layer.padding == (0, 0) and layer.dilation == (1, 1) and layer.groups == 1
    return plain and layer.stride == layer.kernel_size != (1, 1)


def _patches_of(layer: nn.Conv2d) -> PlainPatches:
    height, width = layer.kernel_size
    # On meta, or its first weights would be drawn from the process's generator.
    patches = PlainPatches(layer.in_channels, layer.out_channels, (height, width), (height, width), device="meta")
    patches.weight, patches.bias = layer.weight, layer.bias
    return patches
