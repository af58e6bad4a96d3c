"""One model that computes for K: its weights are given to it, as rows of a tensor."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vmap

from sweep.errors import first_line
from sweep.training import compiling
from sweep.training.fused import dropout, products

Tensors = dict[str, torch.Tensor]


class Skeleton:
    """The forward pass of models of one architecture.

    Attributes:
        model: what is computed; its own weights are never used. `train` and `eval` hold for all models.
        masks: what its dropout layers multiply by.

    Args:
        model: of the architecture.
        compile: whether the forward pass of training goes through torch.compile. It takes a minute, once for any
            number of models; what fails goes on without.
    """

    def __init__(self, model: nn.Module, *, compile: bool = False) -> None:  # noqa: A002 - the setting's name
        self.model = copy.deepcopy(model)
        self.masks = dropout.replace_dropout(self.model)
        products.replace_layers(self.model)
        self._shapes = {name: each.shape for name, each in model.named_parameters()}
        self.sizes = [shape.numel() for shape in self._shapes.values()]
        self._compiled: Callable[..., torch.Tensor] | None = None
        if compile:
            self._compiled = compiling.compiled(self.plain)

    def __call__(
        self, weights: torch.Tensor, buffers: Tensors, inputs: torch.Tensor, masks: Sequence[torch.Tensor] = ()
    ) -> torch.Tensor:
        """Logits (K, B, classes).

        Args:
            weights: (K, N), a model's parameters one after the other in each row.
            buffers: name to (K, ...).
            inputs: images (K, B, C, H, W), or (B, C, H, W) that all models share.
            masks: one for each time that a forward pass comes by a dropout layer, (K, ...); none lets all through.
        """
        if self._compiled is None or not self.model.training:
            return self.plain(weights, buffers, inputs, list(masks))
        try:
            for each in (weights, inputs, *buffers.values(), *masks):
                # Models come and go: one compilation is to do for all their numbers.
                torch._dynamo.maybe_mark_dynamic(each, 0)  # noqa: SLF001
            return self._compiled(weights, buffers, inputs, list(masks))
        except RuntimeError as error:
            if not compiling.failed(error):
                raise
            sys.stderr.write(f"compile: the compiler failed, so the trials go on without it: {first_line(error)}\n")
            self._compiled = None
            return self.plain(weights, buffers, inputs, list(masks))

    def plain(
        self, weights: torch.Tensor, buffers: Tensors, inputs: torch.Tensor, masks: list[torch.Tensor]
    ) -> torch.Tensor:
        """The same, never compiled."""

        def one(parameters: Tensors, buffers: Tensors, images: torch.Tensor, masks: list[torch.Tensor]) -> Any:
            self.masks.give(masks)
            return functional_call(self.model, {**parameters, **buffers}, (images,))

        parts = torch.split(weights, self.sizes, dim=1)
        parameters = {
            name: part.view(-1, *shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
        own = 0 if inputs.ndim > 4 else None  # noqa: PLR2004 - (B, C, H, W) are all models'
        batched: Callable[..., torch.Tensor] = vmap(one, in_dims=(0, 0, own, 0))
        return batched(parameters, buffers, inputs, masks)
