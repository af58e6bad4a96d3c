"""Dropout in a batch of models: each lane has its own rate, and draws its masks from its own generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn


class Shape(NamedTuple):
    """Of one lane's input to a dropout layer, as the forward pass comes by it."""

    size: tuple[int, ...]
    layer: int


class Masks:
    """What the dropout layers of a model multiply by, in the order in which a forward pass comes by them.

    Attributes:
        seen: the inputs of the last forward pass without masks.
    """

    def __init__(self) -> None:
        self.seen: list[Shape] = []
        self._given: list[torch.Tensor] = []

    def give(self, masks: Sequence[torch.Tensor]) -> None:
        """Hand out these in the next forward pass; with none each layer lets everything through."""
        self.seen = []
        self._given = list(masks)

    def apply(self, inputs: torch.Tensor, layer: int) -> torch.Tensor:
        """What layer number `layer` makes of its input."""
        if self._given:
            return inputs * self._given.pop(0).to(inputs.dtype)
        self.seen.append(Shape(tuple(inputs.shape), layer))
        return inputs


class MaskedDropout(nn.Module):
    """Stands in for `nn.Dropout` in the model that computes all lanes."""

    def __init__(self, masks: Masks, layer: int) -> None:
        super().__init__()
        self._masks, self._layer = masks, layer

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Input times mask while training."""
        return self._masks.apply(inputs, self._layer) if self.training else inputs


def replace_dropout(model: nn.Module) -> Masks:
    """Let a model's dropout layers, in the order of `rates`, take their masks from the object returned."""
    masks, count = Masks(), 0
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, MaskedDropout(masks, count))
                count += 1
    return masks


def rates(model: nn.Module) -> list[float]:
    """The rate of each dropout layer, in [0, 1)."""
    return [child.p for parent in model.modules() for child in parent.children() if isinstance(child, nn.Dropout)]


class Drawn:
    """The masks of all lanes' steps: 0, or 1 / (1 - rate).

    On the CPU they are, bit for bit, those that each lane's `nn.Dropout` layers would draw from its generator one after
    the other. On CUDA their kernel's draws can't be repeated from outside, and one draw for all masks of a lane costs a
    launch, not dozens.

    Args:
        shapes: of one lane's inputs, without the lanes' dimension.
        rates: of each lane, those of its layers.
        generators: of each lane, on the device where the masks belong.
    """

    def __init__(
        self, shapes: Sequence[Shape], rates: Sequence[Sequence[float]], generators: Sequence[torch.Generator]
    ) -> None:
        self._shapes, self._rates, self._generators = shapes, rates, generators
        self._counts = [torch.Size(each.size).numel() for each in shapes]
        device = generators[0].device
        of_masks = torch.tensor([[lane[each.layer] for each in shapes] for lane in rates], device=device)
        self._of_each = of_masks.repeat_interleave(torch.tensor(self._counts, device=device), dim=1)  # (K, total)

    def draw(self) -> torch.Tensor:
        """One step's, one after the other, (K, total)."""
        lanes = zip(self._rates, self._generators, strict=True)
        if self._generators[0].device.type == "cpu":
            # Like nn.Dropout, a rate of 0 draws nothing.
            return torch.stack(
                [
                    torch.cat([_on_cpu(each.size, rate[each.layer], generator).flatten() for each in self._shapes])
                    for rate, generator in lanes
                ]
            )
        uniform = torch.empty_like(self._of_each)
        for row, generator in zip(uniform, self._generators, strict=True):
            row.uniform_(generator=generator)
        return (uniform >= self._of_each) / (1 - self._of_each)

    def cut(self, drawn: torch.Tensor) -> list[torch.Tensor]:
        """What `draw` returned, as masks (K, ...)."""
        parts = torch.split(drawn, self._counts, dim=1)
        return [part.view(-1, *each.size) for part, each in zip(parts, self._shapes, strict=True)]


def _on_cpu(size: tuple[int, ...], rate: float, generator: torch.Generator) -> torch.Tensor:
    mask = torch.ones(size)
    return mask.bernoulli_(1 - rate, generator=generator).div_(1 - rate) if rate else mask
