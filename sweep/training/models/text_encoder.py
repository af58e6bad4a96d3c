"""A small transformer encoder that classifies texts (Vaswani et al. 2017, arXiv 1706.03762, normalised before).

It differs from BERT by learning nothing before, and by the mean over tokens instead of a class token.
"""

from __future__ import annotations

import torch
from torch import nn

from sweep.errors import TrainingError
from sweep.training.models.vit import Block

PADDING = 0
"""The token that fills a text up to its length; nobody attends to it, and the mean leaves it out."""


class TextEncoder(nn.Module):
    """Tokens and learned positions, `depth` blocks, the mean token, one linear layer.

    Args:
        num_classes: width of the output.
        vocabulary: different tokens, `PADDING` included.
        length: most tokens of a text.
        dim: width of a token, a multiple of `heads`.
        depth: number of blocks.
        heads: of attention.
        mlp_ratio: hidden width of a block's perceptron, in units of `dim`.
        dropout: on embeddings, each block's two outputs and inside its perceptron, in [0, 1).

    Raises:
        TrainingError: `heads` doesn't divide `dim`.
    """

    def __init__(
        self,
        num_classes: int,
        vocabulary: int,
        length: int,
        *,
        dim: int = 64,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise TrainingError(
                f"text_encoder: heads {heads} doesn't divide dim {dim}. "
                "Choose values of dim that all its values of heads divide."
            )
        self.tokens = nn.Embedding(vocabulary, dim, padding_idx=PADDING)
        self.positions = nn.Parameter(torch.randn(1, length, dim) * 0.1)
        self.dropout = nn.Dropout(dropout)
        hidden = max(1, round(mlp_ratio * dim))
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of tokens (N, T), T at most `length`; a text's first token is never `PADDING`."""
        real = tokens != PADDING
        states = self.dropout(self.tokens(tokens) + self.positions[:, : tokens.shape[1]])
        for block in self.blocks:
            states = block(states, real)
        weight = real.unsqueeze(-1).to(states.dtype)
        return self.head((self.norm(states) * weight).sum(dim=1) / weight.sum(dim=1))  # type: ignore[no-any-return]
