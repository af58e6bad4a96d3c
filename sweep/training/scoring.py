"""How good a model is on a split: mean cross entropy and accuracy, counted up batch by batch on the device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn import functional

from sweep.training import graphs
from sweep.training.batches import on_device

AT_ONCE = 512
"""Samples in one forward pass of an evaluation."""

Tally = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Samples (B, ...) and labels (B,), on the device, to the sum of their losses and the number that is right.

(2,) float64; (2, K) of K models at once."""


class RecordedTally:
    """A tally that becomes a CUDA graph after its first calls, one for each size of batch.

    Args:
        tally: what to record; it reads weights where they are, and nothing back from the device.
        recorder: makes the graphs.
    """

    def __init__(self, tally: Tally, recorder: graphs.Recorder) -> None:
        self._tally, self._recorder = tally, recorder
        self._by_size: dict[int, graphs.Recorded] = {}

    def __call__(self, samples: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """See `Tally`."""
        size = len(labels)
        if size not in self._by_size:
            self._by_size[size] = graphs.Recorded(self._tally, self._recorder)
        return self._by_size[size](samples, labels)


def tally_of(
    model: nn.Module,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tally:
    """A model's tally; the model must be in evaluation mode when it is called.

    Args:
        model: to logits (B, classes).
        prepare: samples on the device to what the model takes.
        autocast: entered for the forward pass, and left after it: it would keep copies of the weights otherwise.
    """

    def tally(samples: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with autocast():
            logits = model(prepare(samples)).float()
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        right = (logits.argmax(dim=1) == labels).sum()
        return torch.stack([loss.double(), right.double()])

    return tally


@torch.inference_mode()
def score(tally: Tally, samples: torch.Tensor, labels: torch.Tensor, device: torch.device) -> tuple[float, float]:
    """Mean cross entropy, and accuracy (0..1), over a split.

    Args:
        tally: of a model in evaluation mode.
        samples: (N, ...), anywhere.
        labels: (N,).
        device: where the model is.
    """
    found = torch.zeros(2, dtype=torch.float64, device=device)
    for start in range(0, len(labels), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found += tally(on_device(samples[part], device), on_device(labels[part], device))
    loss, right = found.tolist()
    return loss / len(labels), right / len(labels)
