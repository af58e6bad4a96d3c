"""How long does a report hold the training thread up, when a checkpoint is written before it returns, and beside it?

Any machine; half a minute. The state has 100 MB in 50 tensors; between reports the training thread computes.

    python benchmarks/checkpoints.py [--reports 10] [--mb 100]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping

import torch

from sweep.core.protocols import Channel, Decision, Placement
from sweep.executors.worker import Pipe
from sweep.training.context import Context

TENSORS = 50
STEPS_S = 1.0
"""Seconds of computing between two reports."""


class Waiting:
    """A channel as Tune's worker has it: the checkpoint is written before it is called."""

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """Answer at once."""
        del metrics, checkpoint
        return Decision("advance", "go on")


def measure(channel: Channel, placement: Placement, reports: int, state: dict[str, torch.Tensor]) -> list[float]:
    """Seconds that each report took."""
    context, taken = Context(placement, channel), []
    for _ in range(reports):
        began = time.perf_counter()
        context.report({"loss": 1.0}, checkpoint=state)
        taken.append(time.perf_counter() - began)
        compute(STEPS_S)
    return taken


def compute(seconds: float) -> None:
    """A training step's stand-in, which keeps a core busy."""
    end = time.perf_counter() + seconds
    weight = torch.ones(256, 256)
    while time.perf_counter() < end:
        weight @ weight


def answering(pipe: Pipe, reports: int) -> Callable[[], None]:
    """The driver's side: a decision on each report."""

    def answer() -> None:
        for _ in range(reports):
            pipe.messages.get()
            pipe.decisions.put(Decision("advance", "go on"))

    return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=10)
    parser.add_argument("--mb", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    state = {str(index): torch.rand(arguments.mb * 250_000 // TENSORS) for index in range(TENSORS)}
    print(
        f"{'checkpoint':<10} {'median s':>9} {'min':>7} {'max':>7}   ({arguments.mb} MB, {arguments.reports} reports)"
    )
    for name in ("before", "beside", "before", "beside"):
        with tempfile.TemporaryDirectory() as folder:
            placement = Placement("s", 0, 1, {}, "", 0, "epoch", 10**6, folder)
            channel = Waiting() if name == "before" else Pipe(placement)
            if isinstance(channel, Pipe):
                threading.Thread(target=answering(channel, arguments.reports), daemon=True).start()
            taken = measure(channel, placement, arguments.reports, state)
            if isinstance(channel, Pipe):
                channel.settle()
                channel.close()
        print(f"{name:<10} {statistics.median(taken):>9.3f} {min(taken):>7.3f} {max(taken):>7.3f}")


if __name__ == "__main__":
    main()
