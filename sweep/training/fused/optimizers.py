"""SGD, Adam and AdamW for K models at once: the weights are (K, N), and each row has its own numbers.

The formulas are torch's (`torch.optim.SGD` with Nesterov's form, `Adam` and `AdamW`), and so are the names under which
their moments are kept: `gather` takes a row from a torch optimizer, and `lend` lets it have the row as its own state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

SLOTS = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}
"""What each kind remembers of each weight, by torch's names."""


class FusedOptimizer:
    """Moves the rows of `weights`, each as its torch optimizer would.

    Args:
        kind: a key of SLOTS.
        weights: (K, N), changed in place.
        optimizers: K, all of that kind; their parameters in order are the columns of `weights`.
        parameters: K lists of parameters, in the order of the columns.
    """

    def __init__(
        self,
        kind: str,
        weights: torch.Tensor,
        optimizers: Sequence[torch.optim.Optimizer],
        parameters: Sequence[Sequence[torch.Tensor]],
    ) -> None:
        self.kind = kind
        self.weights = weights
        self.slots = {
            slot: torch.stack([gather(one, params, slot) for one, params in zip(optimizers, parameters, strict=True)])
            for slot in SLOTS[kind]
        }
        self.taken = [steps_taken(one) for one in optimizers]
        self._counts = torch.empty(len(optimizers), len(parameters[0]), device=weights.device)
        self._count()
        for row, (one, params) in enumerate(zip(optimizers, parameters, strict=True)):
            lend(one, params, {slot: each[row] for slot, each in self.slots.items()}, self._counts[row])
        decays = [_of_each_weight(one, of, "weight_decay") for one, of in zip(optimizers, parameters, strict=True)]
        self._decay = self._column(torch.stack(decays))
        groups = [one.param_groups[0] for one in optimizers]
        betas = [(group["momentum"], 0.0) if kind == "sgd" else group["betas"] for group in groups]
        self._beta1, self._beta2 = torch.tensor(betas, dtype=torch.float64)[:, :, None].unbind(1)  # (K, 1) each
        self._eps = self._column(torch.tensor([[group.get("eps", 0.0)] for group in groups], dtype=torch.float64))
        self._first, self._second = self._column(self._beta1), self._column(self._beta2)
        # As torch computes it: 1 - 0.999 in fp32 has an error in its fifth digit.
        self._rest1, self._rest2 = self._column(1 - self._beta1), self._column(1 - self._beta2)
        self._paces = torch.empty(0)

    def begin(self, rates: torch.Tensor) -> None:
        """Prepare for steps at these learning rates.

        Args:
            rates: (steps, K) float64 on the CPU.
        """
        size, root = rates, torch.ones_like(rates)
        if self.kind != "sgd":
            steps = len(rates)
            counts = torch.tensor(self.taken, dtype=torch.float64) + torch.arange(1, steps + 1)[:, None]  # (steps, K)
            size = rates / (1 - self._beta1[:, 0] ** counts)
            root = (1 - self._beta2[:, 0] ** counts).sqrt()
            self.taken = [taken + steps for taken in self.taken]
            self._count()
        self._paces = self._column(torch.stack([rates, size, root], dim=1)[..., None])

    def pace(self, number: int) -> torch.Tensor:
        """What `step` has to know of a step: (3, K, 1), on the device.

        Args:
            number: of the step among those that `begin` prepared, from 0.
        """
        return self._paces[number]

    def step(self, gradient: torch.Tensor, pace: torch.Tensor) -> None:
        """Move all rows.

        Args:
            gradient: (K, N).
            pace: of this step.
        """
        shrink, size, root = pace.unbind(0)
        if self.kind == "adamw":
            self.weights.mul_(1 - shrink * self._decay)
        else:
            gradient = gradient + self._decay * self.weights
        if self.kind == "sgd":
            # From zeros, torch's first step (the buffer is the gradient) needs no case of its own.
            moment = self.slots["momentum_buffer"].mul_(self._first).add_(gradient)
            self.weights.sub_(size * (gradient + self._first * moment))
            return
        first = self.slots["exp_avg"].lerp_(gradient, self._rest1)
        second = self.slots["exp_avg_sq"].mul_(self._second).addcmul_(gradient, gradient * self._rest2)
        denominator = (second.sqrt() / root).add_(self._eps)
        self.weights.sub_(size * first / denominator)

    def _count(self) -> None:
        self._counts.copy_(torch.tensor(self.taken, dtype=torch.float32)[:, None])

    def _column(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.weights)


def gather(optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor], slot: str) -> torch.Tensor:
    """What an optimizer remembers under a name, (N,): zeros before its first step."""
    # Not by [], which would make an entry in it.
    kept = [optimizer.state.get(each, {}).get(slot) for each in parameters]
    parts = [torch.zeros_like(each) if one is None else one for each, one in zip(parameters, kept, strict=True)]
    return torch.cat([part.flatten() for part in parts]).detach()


def lend(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[torch.Tensor],
    rows: dict[str, torch.Tensor],
    counts: torch.Tensor,
) -> None:
    """Let an optimizer's state be these tensors, which others move on, as if it took the steps itself.

    Args:
        optimizer: SGD, Adam or AdamW.
        parameters: in the order of the rows' columns.
        rows: slot to (N,).
        counts: (parameters,) float32, the steps taken; torch counts them for each parameter by itself.
    """
    is_sgd = "momentum_buffer" in rows
    if is_sgd and not optimizer.param_groups[0]["momentum"]:
        return  # torch keeps no buffer then
    start = 0
    for each, count in zip(parameters, counts, strict=True):
        state: dict[str, Any] = optimizer.state[each]
        for slot, row in rows.items():
            state[slot] = row[start : start + each.numel()].view(each.shape)
        if not is_sgd:
            state["step"] = count
        start += each.numel()


def steps_taken(optimizer: torch.optim.Optimizer) -> int:
    """How many steps an optimizer says that it took; SGD doesn't count them."""
    # The same of all parameters; to read each would be to wait for the GPU dozens of times.
    return next((int(state["step"]) for state in optimizer.state.values() if "step" in state), 0)


def clipped(gradient: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Each row scaled down to a norm of at most its limit, as `torch.nn.utils.clip_grad_norm_` does.

    Args:
        gradient: (K, N).
        limits: (K, 1); infinite for none.
    """
    norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return gradient * torch.clamp(limits / (norms + 1e-6), max=1.0)


def _of_each_weight(optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor], name: str) -> torch.Tensor:
    """A number of the param groups for each weight, (N,), on the CPU."""
    values = {id(each): group[name] for group in optimizer.param_groups for each in group["params"]}
    return torch.cat([torch.full((each.numel(),), float(values[id(each)])) for each in parameters])
