"""Is it quicker to train many small models as one batch than one after the other, and by how much?

    python benchmarks/fused.py [--model vit_tiny] [--epochs 3] [--repeats 3] [--lanes 1 4 16 64] [--compile]

Sides, in turn: trials of `vision:train` one after the other in this process, and the same trials fused 1, 4, 16, 64 at
a time. They differ in lr, weight decay and seed, train on scikit-learn's digits in batches of 64, and are evaluated and
reported each epoch on both sides; a checkpoint is written at the end, or the disk would be what is measured. A GPU is
used when there is one (bf16 where it has it); it is what fusing is for. Without one each side has one core, as a trial
of `cpu: 1` does; then it takes some minutes for each model. On a GPU all sides replay CUDA graphs, and a last one shows
the trials one after the other without. With `--compile` each number of lanes is there compiled too; the compiler's
time, a minute once in a process, is not in the table but in a line of its own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from sweep.core.protocols import Decision, Placement
from sweep.training.attempt import run_attempt, warm_up
from sweep.training.fused.attempt import run_fused_attempt

BATCH = 64
STEPS = 1197 // BATCH
"""Of an epoch: the digits that are for training."""

MODELS = {"vit_tiny": {"model": "vit_tiny"}, "simplenet": {"model": "simplenet"}}


class Onward:
    """A channel whose answer is always to go on."""

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        del metrics, checkpoint
        return Decision("advance", "a benchmark")


def trial(number: int, folder: Path, *, model: str, epochs: int, **more: bool) -> Placement:
    """One of the trials, the same on each side."""
    numbers = {"lr": 1e-3 * (1 + number % 7), "weight_decay": 0.01 * (number % 5)}
    gpu = torch.cuda.is_available()
    return Placement(
        study="fused",
        trial=number,
        attempt=1,
        config={**MODELS[model], **numbers, "batch_size": BATCH, **more},
        entrypoint="sweep.training.vision:train",
        seed=number,
        time_attr="epoch",
        max_t=epochs,
        trial_dir=str(folder / str(number)),
        checkpoint_every=epochs,
        gpu=1 if gpu else 0,
    )


def one_after_the_other(trials: list[Placement]) -> None:
    """As without `fuse`, in one slot."""
    for each in trials:
        run_attempt(each, Onward())


def fused(trials: list[Placement]) -> None:
    """All at the same time, as the lanes of one batch."""
    with ThreadPoolExecutor(len(trials)) as threads:
        for done in [threads.submit(run_fused_attempt, each, Onward(), lanes=len(trials)) for each in trials]:
            done.result()


def rate(run: Callable[[list[Placement]], None], count: int, *, model: str, epochs: int, **more: bool) -> float:
    """Training images a second, all trials together; `more` goes into their configs."""
    with tempfile.TemporaryDirectory(prefix="fused-") as folder:
        trials = [trial(number, Path(folder), model=model, epochs=epochs, **more) for number in range(count)]
        began = time.perf_counter()
        run(trials)
        return count * epochs * STEPS * BATCH / (time.perf_counter() - began)


def main() -> None:
    """Print a table for each model: images a second of each side, its spread, and the ratio to one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, nargs="*", default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    warm_up()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "one core of a CPU"
    for model in options.model:
        sides: dict[str, Callable[[], float]] = {
            "one after the other": partial(rate, one_after_the_other, 4, model=model, epochs=options.epochs),
            **{
                f"fused {lanes}": partial(rate, fused, lanes, model=model, epochs=options.epochs)
                for lanes in options.lanes
            },
        }
        if options.compile:
            for lanes in options.lanes:
                sides[f"fused {lanes}, compiled"] = partial(
                    rate, fused, lanes, model=model, epochs=options.epochs, compile=True
                )
        if torch.cuda.is_available():
            sides["no CUDA graphs"] = partial(
                rate, one_after_the_other, 4, model=model, epochs=options.epochs, cuda_graphs=False
            )
        print(f"\n{model}, {options.epochs} epochs of {STEPS} steps of {BATCH} images, on {where}")
        print(f"{'':20} {'images/s':>9} {'from':>9} {'to':>9} {'ratio':>6}")
        found: dict[str, list[float]] = {name: [] for name in sides}
        for name, side in sides.items():
            began = time.perf_counter()
            side()  # warms up: data, kernels, the allocator
            if "compiled" in name:
                print(f"the first time of {name}: {time.perf_counter() - began:.0f} s, compiling included")
        for _ in range(options.repeats):
            for name, side in sides.items():
                found[name].append(side())
        base = statistics.median(found["one after the other"])
        for name, rates in found.items():
            middle = statistics.median(rates)
            print(f"{name:20} {middle:9.0f} {min(rates):9.0f} {max(rates):9.0f} {middle / base:6.2f}", flush=True)


if __name__ == "__main__":
    main()
