"""One trial of a batch: its model, optimizer and schedule are the ones that separate training makes."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sweep.errors import TrainingError
from sweep.training import process_state
from sweep.training.batches import place
from sweep.training.context import Context
from sweep.training.data import ImageData
from sweep.training.fused import dropout
from sweep.training.settings import Settings
from sweep.training.vision import _Run


class Generators:
    """The random generators of one lane: what a process's own would be if it trained this trial alone.

    It stands in for `sweep.training.process_state`, so that a checkpoint of a lane says what one of separate training
    says, and each can go on from the other's.
    """

    def __init__(self, seed: int) -> None:
        self.cpu = torch.Generator().manual_seed(seed)
        self.cuda = torch.Generator("cuda").manual_seed(seed) if torch.cuda.is_available() else None
        self._python = random.Random(seed).getstate()  # noqa: S311 - what the training function would draw from
        name, keys, *rest = np.random.RandomState(seed).get_state()
        self._numpy = [name, np.asarray(keys).tolist(), *rest]

    def on(self, device: torch.device) -> torch.Generator:
        """The one that torch's functions would draw from on a device."""
        return self.cuda if device.type == "cuda" and self.cuda is not None else self.cpu

    def capture(self, *, scaler: Mapping[str, Any] | None) -> dict[str, Any]:
        """See `process_state.capture`."""
        state: dict[str, Any] = {
            "python": self._python,
            "scaler": scaler,
            "numpy": self._numpy,
            "torch": process_state.to_hex(self.cpu.get_state()),
        }
        if self.cuda is not None:
            state["cuda"] = [process_state.to_hex(self.cuda.get_state())]
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `process_state.restore`."""
        self._python = state.get("python", self._python)
        self._numpy = state.get("numpy", self._numpy)
        if "torch" in state:
            self.cpu.set_state(process_state.from_hex(state["torch"]))
        if self.cuda is not None and state.get("cuda"):
            self.cuda.set_state(process_state.from_hex(state["cuda"][0]))


class Lane:
    """A trial that trains in a batch.

    While it is in one, the tensors of model and optimizer are rows of the batch's; see `Batch`.

    Attributes:
        ctx: of its attempt; made with this lane's generators.
        settings: its own.
        model: as separate training builds it.
        optimizer: it holds the state; the batch moves the weights.
        schedule: of the learning rate.
        run: these three, with the form of their checkpoint.

    Raises:
        TrainingError: a config that is wrong, or can't be trained in a batch on this device.
    """

    def __init__(self, ctx: Context, generators: Generators) -> None:
        self.ctx = ctx
        self.generators = generators
        self.settings = Settings.parse(ctx.config, ctx.max_t)
        if ctx.precision.scaler is not None:
            raise TrainingError(
                f"{ctx.where()}: precision {self.settings.precision} is fp16 on this GPU, which scales each loss by "
                "itself. Set precision: fp32, or resources.fuse: 1."
            )
        with _building:
            data = ctx.data(self.settings.data, **self.settings.data_options)
            self.data = _placed(data, ctx.device)
            before = torch.get_rng_state()
            torch.set_rng_state(generators.cpu.get_state())
            # The batch computes, compiles and records.
            alone = self.settings.model_copy(update={"compile": False, "cuda_graphs": False})
            self.run = _Run(alone, self.data, ctx)
            generators.cpu.set_state(torch.get_rng_state())
            torch.set_rng_state(before)
        self.model: nn.Module = self.run.model
        self.optimizer = self.run.optimizer
        self.schedule = self.run.schedule
        state = ctx.restore()
        if state is not None:
            self.run.load(state)
        self.parameters = list(self.model.parameters())
        self.dropout = dropout.rates(self.model)

    @property
    def generator(self) -> torch.Generator:
        """For dropout's masks."""
        return self.generators.on(self.ctx.device)

    def rates(self, steps: int) -> list[float]:
        """The learning rates of the next steps."""
        at = self.schedule.last_epoch
        base, factor = float(self.schedule.base_lrs[0]), self.schedule.lr_lambdas[0]
        return [base * factor(at + step) for step in range(steps)]

    def advance(self, steps: int) -> None:
        """Bring schedule and optimizer to where so many steps would have brought them."""
        at = self.schedule.last_epoch + steps
        rates = [
            base * factor(at) for base, factor in zip(self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        position = {"last_epoch": at, "_step_count": at + 1, "_last_lr": rates}
        self.schedule.load_state_dict({**self.schedule.state_dict(), **position})

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds, as separate training would write it; its tensors are parts of the batch's."""
        return self.run.state()


_building = threading.Lock()
"""Models draw their first weights from torch's global generator, which is one for all threads."""

_placed_data: list[tuple[ImageData, torch.device, ImageData]] = []


def _placed(data: ImageData, device: torch.device) -> ImageData:
    """The data with its splits where batches are cut, once for all lanes of the process."""
    if device.type != "cuda":
        return data
    for source, where, placed in _placed_data:
        if source is data and where == device:
            return placed
    placed = replace(data, train=place(data.train, device), val=place(data.val, device), test=None)
    _placed_data[:] = [(data, device, placed)]
    return placed
