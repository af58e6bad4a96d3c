"""A training function by itself: no driver, no cluster, the same context."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.core.protocols import Decision, Placement
from sweep.training import process_state
from sweep.training.context import Context, activate


class PrintingChannel:
    """Prints each report as one line and lets the trial go on."""

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """Print the metrics, and the checkpoint's folder when there is one."""
        words = [f"{name} {value:.6g}" for name, value in metrics.items()]
        if checkpoint is not None:
            words.append(f"-> {checkpoint}")
        sys.stdout.write("  ".join(words) + "\n")
        sys.stdout.flush()
        return Decision("advance", "nobody else decides")


def standalone(
    config: Mapping[str, Any],
    *,
    time_attr: str = "epoch",
    max_t: int = 1,
    seed: int = 0,
    device: str = "auto",
    folder: str | Path | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    seeded: bool = True,
) -> Context:
    """A context for `python train.py`: each report is printed, and always answered with "advance".

    ::

        if __name__ == "__main__":
            config = {"lr": 1e-3}
            train(config, sweep.training.standalone(config, time_attr="epoch", max_t=5))

    It seeds the generators, unless told not to, and becomes the `current` context of this process.

    Args:
        config: parameter name to value.
        time_attr: the metric that counts fidelity.
        max_t: the fidelity at which training is complete.
        seed: 0 <= seed < 2**31.
        device: "cuda" or "cpu" to insist, "auto" for CUDA where there is one.
        folder: where checkpoints and TensorBoard files go; a new temporary folder by default.
        checkpoint: a checkpoint's folder to go on from.
        checkpoint_every: in units of `time_attr`; by default only the last one is written.
        seeded: whether the generators are.
    """
    root = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="sweep-"))
    placement = Placement(
        study="standalone",
        trial=0,
        attempt=1,
        config=dict(config),
        entrypoint="",
        seed=seed,
        time_attr=time_attr,
        max_t=max_t,
        trial_dir=str(root.absolute()),
        checkpoint=None if checkpoint is None else str(Path(checkpoint).absolute()),
        checkpoint_every=max_t if checkpoint_every is None else checkpoint_every,
        gpu=1,
        device=device,
    )
    if seeded:
        process_state.seed(seed)
    context = Context(placement, PrintingChannel())
    activate(context)
    return context
