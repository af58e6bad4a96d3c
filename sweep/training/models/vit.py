"""A small vision transformer for small images (Dosovitskiy et al. 2020, arXiv 2010.11929).

It differs from the paper's by the mean over tokens instead of a class token (Beyer et al. 2022, arXiv 2205.01580).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sweep.errors import TrainingError


class Attention(nn.Module):
    """Values mixed by how alike queries and keys are; a module, so that trials that train together can replace it."""

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(..., T, d) each; `mask`, bool, true where a query may look, is stretched to (..., T, T)."""
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Block(nn.Module):
    """Attention among tokens, then a perceptron on each; both normalised before and added to what came in."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.mix = Attention()
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """(N, T, dim) to (N, T, dim); where `real`, (N, T) bool, is false, nobody attends to a token."""
        tokens = tokens + self.dropout(self.attend(self.norm1(tokens), real))
        return tokens + self.dropout(self.mlp(self.norm2(tokens)))  # type: ignore[no-any-return]

    def attend(self, tokens: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """Self-attention of all heads, (N, T, dim) to (N, T, dim)."""
        # (N, T, 3*dim) -> q, k and v, each (N, heads, T, dim / heads)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if real is None else real[:, None, None, :]  # for all heads and all queries
        return self.out(self.mix(q, k, v, mask).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class TinyViT(nn.Module):
    """Patches as tokens, learned positions, `depth` blocks, the mean token, one linear layer.

    Args:
        num_classes: width of the output.
        in_channels: of the images.
        image_size: pixels, a multiple of `patch_size`.
        patch_size: pixels; a quarter of the image (16 tokens) by default.
        dim: width of a token, a multiple of `heads`.
        depth: number of blocks.
        heads: of attention.
        mlp_ratio: hidden width of a block's perceptron, in units of `dim`.
        dropout: on each block's two outputs and inside its perceptron, in [0, 1).

    Raises:
        TrainingError: sizes that don't divide.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        image_size: int,
        *,
        patch_size: int | None = None,
        dim: int = 64,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        patch_size = max(1, image_size // 4) if patch_size is None else patch_size
        if image_size % patch_size:
            raise TrainingError(f"vit_tiny: patch_size {patch_size} doesn't divide the image's {image_size} pixels.")
        if dim % heads:
            raise TrainingError(
                f"vit_tiny: heads {heads} doesn't divide dim {dim}. "
                "Choose values of dim that all its values of heads divide."
            )
        tokens = (image_size // patch_size) ** 2
        self.patches = nn.Conv2d(in_channels, dim, kernel_size=patch_size, stride=patch_size)
        # As large as the patches' own embedding: the mean over tokens sees a bag of patches until positions count. With
        # the usual 0.02, ten epochs of digits end at 0.83 val accuracy instead of 0.98.
        self.positions = nn.Parameter(torch.randn(1, tokens, dim) * 0.5)
        hidden = max(1, round(mlp_ratio * dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))  # type: ignore[no-any-return]
