"""SimpleNet: one hidden layer, 784-512-10 on MNIST."""

from __future__ import annotations

import torch
from torch import nn


class SimpleNet(nn.Module):
    """A perceptron with one hidden layer of ReLUs: C*H*W - hidden - classes."""

    def __init__(
        self, num_classes: int, in_channels: int, image_size: int, *, hidden: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * image_size**2, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        return self.layers(images)  # type: ignore[no-any-return]
