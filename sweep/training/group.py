"""The processes that train one trial together, as one of them sees them; here, where there is only one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


class Group:
    """One process: nothing to share, nobody to wait for. `sweep.training.replicas.Replicas` is several.

    Attributes:
        rank: of this process, from 0.
        world_size: how many there are.
        wrapped: whether `wrap` was called.
    """

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self.rank = rank
        self.world_size = world_size
        self.wrapped = False

    def place(self, device: torch.device) -> torch.device:
        """This process's own device of a kind, by number: some of torch.cuda's functions take no plain "cuda"."""
        import torch

        return torch.device("cuda", 0) if device == torch.device("cuda") else device

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model to train with, whose gradients are the mean over the processes."""
        del device
        self.wrapped = True
        return model

    def mean(self, value: float, weight: float) -> float:
        """The weighted mean over the processes."""
        del weight
        return value
