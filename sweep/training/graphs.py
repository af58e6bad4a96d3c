"""A training step as one CUDA graph: the kernels of a step are launched together, not one by one from Python.

A small model's step is hundreds of kernels of some microseconds each, and Python needs longer to launch one than the
GPU to run it: the card waits. Recorded once and replayed, the step takes as long as its kernels do. See "Accelerating
PyTorch with CUDA Graphs" (pytorch.org, 2021); what a recorded function may not do is in torch's notes on CUDA
semantics: read a value back, change shapes, or take another way on what it computed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from sweep.errors import first_line
from sweep.training import memory

SMALL = 5_000_000
"""Parameters below which `cuda_graphs: auto` records: with more, the kernels are longer than their launches."""

WARM_UP = 3
"""Steps before the recording: libraries choose their algorithms in them, and optimizers make their state."""

Step = Callable[..., torch.Tensor]


class Recorder(Protocol):
    """Runs a function beside, and records it."""

    def beside(self, step: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Run it as a recording would, without one."""
        ...

    def record(self, step: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """How to run it again on the same tensors, and the tensor that then holds what it returns."""
        ...


class CudaRecorder:
    """Records on a stream of its own, as torch asks for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device  # with its number
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def beside(self, step: Callable[[], torch.Tensor]) -> torch.Tensor:
        """See `Recorder.beside`."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = step()
        current.wait_stream(self._stream)
        result.record_stream(current)
        return result

    def record(self, step: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """See `Recorder.record`."""
        generator = torch.cuda.default_generators[self._device.index]
        before = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        # Other threads, which write checkpoints or report, may go on meanwhile.
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                result = step()
        except RuntimeError:
            # A recording that is broken off leaves the generator waiting for its replays.
            generator.graphsafe_set_state(before)
            raise
        return graph.replay, result


class Recorded:
    """A step that becomes a graph after its first calls.

    Args:
        step: of tensors to a tensor, the same shapes in each call. What else it reads and writes, such as weights,
            keeps its place in memory.
        recorder: makes the graph.
    """

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self._calls = 0
        self._inputs: list[torch.Tensor] = []
        self._replay: Callable[[], None] | None = None
        self._result = torch.empty(0)
        self._refused = False

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The step on these tensors, which are copied to where the graph reads them."""
        if self._refused:
            return self._step(*inputs)
        if self._calls < WARM_UP:
            self._calls += 1
            return self._recorder.beside(lambda: self._step(*inputs))
        if self._replay is None:
            self._inputs = [each.clone() for each in inputs]
            if not self._recorded():
                return self._step(*inputs)
        for kept, new in zip(self._inputs, inputs, strict=True):
            kept.copy_(new)
        assert self._replay is not None  # noqa: S101 - recorded above
        self._replay()
        return self._result.clone()

    def _recorded(self) -> bool:
        try:
            self._replay, self._result = self._recorder.record(lambda: self._step(*self._inputs))
        except RuntimeError as error:
            if memory.exhausted(error):
                raise
            self._refused, self._inputs = True, []
            reason = first_line(error)
            sys.stderr.write(f"cuda_graphs: the step can't be recorded, so its kernels start one by one: {reason}\n")
        return not self._refused


class QuietStep:
    """A step down the gradient that reads nothing back from the device, so that it can be recorded.

    Where the loss is NaN or infinite, neither weights nor optimizer move, in that step and in all later ones: whoever
    looks at the losses afterwards finds the model as it was before.

    Args:
        losses: of inputs and targets, the scalars whose sum is the batch's loss; each goes backward before the next is
            asked for.
        optimizer: one that `can_stand_still`, whose groups have one learning rate.
        recorder: makes the graph.
        clip_norm: largest 2-norm of all gradients together; None leaves them as they are.
    """

    def __init__(
        self,
        losses: Callable[[torch.Tensor, torch.Tensor], Iterable[torch.Tensor]],
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
        *,
        clip_norm: float | None,
    ) -> None:
        self._losses, self._optimizer, self._clip_norm = losses, optimizer, clip_norm
        self._parameters = [each for group in optimizer.param_groups for each in group["params"]]
        device = self._parameters[0].device
        self._rate = torch.zeros((), device=device)
        self._broken = torch.zeros((), device=device)
        self._recorded = Recorded(self._descend, recorder)

    def __call__(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Go one step, at the optimizer's learning rate; returns the loss before it."""
        self._rate.fill_(self._optimizer.param_groups[0]["lr"])
        return self._recorded(inputs, targets)

    def _descend(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(self._broken)
        for loss in self._losses(inputs, targets):
            total = total + loss.detach()
            torch.autograd.backward(loss)
        torch.maximum(self._broken, total.isfinite().logical_not().float(), out=self._broken)
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        with _by_tensors(self._optimizer, self._rate, self._broken):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total


def can_stand_still(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer's kernels look at a flag before they move anything, as torch's fused ones do."""
    return all(group.get("fused") for group in optimizer.param_groups)


@contextmanager
def _by_tensors(optimizer: torch.optim.Optimizer, rate: torch.Tensor, broken: torch.Tensor) -> Iterator[None]:
    """Let an optimizer take its learning rate, and whether to stand still, from tensors; only in here.

    Outside its groups hold the numbers that its checkpoints shall have. `found_inf` is what torch's GradScaler sets.
    """
    groups = optimizer.param_groups
    before: list[dict[str, Any]]
    before = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in groups]
    for group, kept in zip(groups, before, strict=True):
        group.update({"lr": rate, "capturable": True} if "capturable" in kept else {"lr": rate})
    optimizer.found_inf = broken  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del optimizer.found_inf  # type: ignore[attr-defined]
        for group, kept in zip(groups, before, strict=True):
            group.update(kept)


def pays(model: nn.Module) -> bool:
    """What `cuda_graphs: auto` means: see docs/decisions.md, "Small models' steps are CUDA graphs"."""
    return sum(each.numel() for each in model.parameters()) < SMALL
