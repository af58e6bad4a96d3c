"""Images a second: our training loop against a bare one, data decoded once against a DataLoader, and what a GPU adds.

    python benchmarks/training.py [--parts loop,data,card] [--rounds 7] [--device auto]

loop   `sweep.training.vision.train` against a loop written by hand: same model, optimizer, tensors. Promised: 0.97.
data   the same trial on a folder of JPEGs, decoded once, against a script with a DataLoader, as documentation has it.
       Promised: 3 times. The JPEGs are 224x224 cuts of the two photographs in scikit-learn's wheel.
card   AMP, and trials packed onto one card. Without a GPU it is skipped; `--device cpu` goes through it all the same.

Sides take turns in one run; each ratio is the median of the turns' own ratios. On 2 cores all takes about 3 minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from sweep.core.protocols import Decision, Placement
from sweep.training import data as datasets
from sweep.training import vision
from sweep.training.context import Context
from sweep.training.loop import lr_factor, make_optimizer
from sweep.training.models import build
from sweep.training.settings import Settings

VIT = {"model": "vit_tiny", "batch_size": 64}
RESNET = {"model": "resnet18", "small_stem": True, "batch_size": 64}
JPEG_SIZE = 224
TRAIN_SIZE = 64
EPOCHS = 4
MEASURED = {"cuda": 10, "cpu": 2}
"""Epochs of digits beside the first, so that a side's turn takes about a second."""


class Side(NamedTuple):
    """One row of a table; `run` returns images/s."""

    name: str
    run: Callable[[], float]


# What is compared.


def ours(config: dict[str, Any], *, device: str) -> float:
    """Images/s of our training function, without its first epoch and its evaluations."""
    return statistics.harmonic_mean(epochs_of(config, device=device, epochs=1 + MEASURED[device])[1:])


def epochs_of(
    config: dict[str, Any], *, device: str, epochs: int, between: Callable[[], object] = lambda: None
) -> list[float]:
    """Images/s of each epoch of our training function; after each, `between` is called."""
    channel = Rates(between)
    with tempfile.TemporaryDirectory(prefix="sweep-bench-") as folder:
        placement = Placement(
            study="benchmark", trial=0, attempt=1, config=config, entrypoint="", seed=0, time_attr="epoch",
            max_t=epochs, trial_dir=folder, checkpoint_every=epochs, gpu=1, device=device,
        )  # fmt: skip
        vision.train(config, Context(placement, channel))
    return channel.rates


class Rates:
    """A channel that keeps images_per_s and lets the trial go on."""

    def __init__(self, between: Callable[[], object]) -> None:
        self.rates: list[float] = []
        self._between = between

    def report(self, metrics: dict[str, float], checkpoint: str | None) -> Decision:  # noqa: ARG002
        """Keep it."""
        self.rates.append(metrics["images_per_s"])
        self._between()
        return Decision("advance", "nobody else decides")


def bare(config: dict[str, Any], *, device: str, epochs: int) -> Iterator[float]:
    """A loop as one writes it by hand, nothing checked, reported or kept: the images/s of each epoch, when asked."""
    settings = Settings.parse(config, epochs)
    place = torch.device(device)
    data = datasets.load(settings.data, **settings.data_options)
    shape = {"num_classes": len(data.classes), "in_channels": data.channels, "image_size": data.image_size}
    torch.manual_seed(0)
    model = build(settings.model, **shape, **settings.model_options).to(place)
    optimizer = make_optimizer(model, settings)
    steps = len(data.train.labels) // settings.batch_size
    schedule = LambdaLR(optimizer, lambda step: lr_factor(step / steps, settings))
    mean = torch.tensor(data.mean, device=place).view(1, -1, 1, 1)
    std = torch.tensor(data.std, device=place).view(1, -1, 1, 1)
    images, labels = data.train.images.to(place), data.train.labels.to(place)
    amp = torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda" and settings.precision != "fp32")
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(epochs):
        synchronize(place)
        began = time.perf_counter()
        order = torch.randperm(len(labels), device=place)
        for step in range(steps):
            chosen = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            inputs = (images[chosen].float() / 255 - mean) / std
            with amp:
                loss = criterion(model(inputs), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        synchronize(place)
        yield steps * settings.batch_size / (time.perf_counter() - began)


def _bare_rate(config: dict[str, Any]) -> float:
    return statistics.harmonic_mean(list(bare(config, device="cuda", epochs=1 + MEASURED["cuda"]))[1:])


def captured(config: dict[str, Any]) -> float:
    """Images/s of the bare loop whose step, from forward pass to optimizer, is one CUDA graph, replayed."""
    settings = Settings.parse(config, 1)
    place = torch.device("cuda")
    data = datasets.load(settings.data, **settings.data_options)
    shape = {"num_classes": len(data.classes), "in_channels": data.channels, "image_size": data.image_size}
    model = build(settings.model, **shape, **settings.model_options).to(place).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-3, device=place), fused=True, capturable=True)
    images, labels = data.train.images.to(place).float() / 255, data.train.labels.to(place)
    inputs, targets = images[: settings.batch_size].clone(), labels[: settings.batch_size].clone()

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    steps = len(labels) // settings.batch_size
    synchronize(place)
    began = time.perf_counter()
    for _ in range(MEASURED["cuda"]):
        order = torch.randperm(len(labels), device=place)
        for index in range(steps):
            chosen = order[index * settings.batch_size : (index + 1) * settings.batch_size]
            torch.index_select(images, 0, chosen, out=inputs)
            torch.index_select(labels, 0, chosen, out=targets)
            graph.replay()
    synchronize(place)
    return MEASURED["cuda"] * steps * settings.batch_size / (time.perf_counter() - began)


def decoded_once(config: dict[str, Any], *, device: str) -> list[float]:
    """Seconds of each epoch of two trials, one after the other; the first's hold the decoding, of val images too."""
    with tempfile.TemporaryDirectory(prefix="sweep-bench-") as cache, environment("SWEEP_DATA_CACHE", cache):
        return [seconds for _ in range(2) for seconds in _trial(config, device)]


def _trial(config: dict[str, Any], device: str) -> list[float]:
    datasets._load.cache_clear()  # noqa: SLF001 - each trial has a process that knows no dataset
    settings = Settings.parse(config, EPOCHS)
    began = time.perf_counter()
    data = datasets.load(settings.data, **settings.data_options)
    loading = time.perf_counter() - began
    count = len(data.train.labels) // settings.batch_size * settings.batch_size
    first, *others = (count / rate for rate in epochs_of(config, device=device, epochs=EPOCHS))
    return [loading + first, *others]


def with_dataloader(folder: Path, config: dict[str, Any], *, device: str) -> list[float]:
    """Seconds of each epoch of a script as PyTorch's documentation writes it, with a worker for each core."""
    from torchvision import datasets as folders
    from torchvision import transforms

    settings = Settings.parse(config, EPOCHS)
    place = torch.device(device)
    transform = transforms.Compose(
        [
            transforms.Resize(TRAIN_SIZE),
            transforms.CenterCrop(TRAIN_SIZE),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    dataset = folders.ImageFolder(str(folder / "train"), transform)
    workers = len(os.sched_getaffinity(0))
    loader = DataLoader(
        dataset, settings.batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True,
        pin_memory=place.type == "cuda",
    )  # fmt: skip
    shape = {"num_classes": len(dataset.classes), "in_channels": 3, "image_size": TRAIN_SIZE}
    model = build(settings.model, **shape, **settings.model_options).to(place)
    optimizer = make_optimizer(model, settings)
    schedule = LambdaLR(optimizer, lambda step: lr_factor(step / len(loader), settings))
    criterion = nn.CrossEntropyLoss()
    model.train()
    seconds = []
    for _ in range(EPOCHS):
        began = time.perf_counter()
        for images, labels in loader:
            loss = criterion(model(images.to(place, non_blocking=True)), labels.to(place, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        synchronize(place)
        seconds.append(time.perf_counter() - began)
    return seconds


def packed(number: int, config: dict[str, Any], *, device: str) -> float:
    """Images/s of so many trials at once, each in a process with its share of the card: all of them together."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(number), context.Queue()
    trials = [context.Process(target=_one, args=(number, config, device, barrier, rates)) for _ in range(number)]
    for trial in trials:
        trial.start()
    total = sum(rates.get(timeout=600) for _ in trials)
    for trial in trials:
        trial.join()
    return total


def _one(number: int, config: dict[str, Any], device: str, barrier: Any, rates: Any) -> None:
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(1 / number)
    settings = Settings.parse(config, 1)
    datasets.load(settings.data, **settings.data_options)
    barrier.wait()
    rates.put(ours(config, device=device))


# The tables.


def loop(options: argparse.Namespace) -> None:
    """Our loop against the bare one, an epoch each in turn: the load of a shared machine changes within seconds."""
    sides = [(VIT, 4), ({**RESNET, "compile": False}, 1)]
    if options.device == "cuda":
        sides += [({**each, "cuda_graphs": False}, times) for each, times in sides]
    for config, times in sides:
        epochs = 1 + options.rounds * MEASURED[options.device] * times  # those of the ViT are short
        theirs: list[float] = []
        other = bare(config, device=options.device, epochs=epochs)
        mine = epochs_of(
            config,
            device=options.device,
            epochs=epochs,
            between=lambda other=other, rates=theirs: rates.append(next(other)),
        )
        # The first epochs of both are warm-up.
        show(
            f"loop: {config['model']} on digits, batches of {config['batch_size']}"
            + (", no CUDA graphs" if "cuda_graphs" in config else ""),
            {"bare loop": theirs[1:], "sweep.training.vision": mine[1:]},
        )


def data(options: argparse.Namespace) -> None:
    """Decoded once against decoded in each epoch."""
    with tempfile.TemporaryDirectory(prefix="sweep-bench-jpeg-") as name:
        folder = Path(name)
        size = write_jpegs(folder, options.images)
        config = {
            "data": "image_folder", "data_dir": str(folder), "image_size": TRAIN_SIZE, "model": options.data_model,
            "batch_size": 64,
        }  # fmt: skip
        pairs = [
            (with_dataloader(folder, config, device=options.device), decoded_once(config, device=options.device))
            for _ in range(max(1, options.rounds // 2))
        ]
    print(
        f"\ndata: {options.images} JPEGs of {JPEG_SIZE}x{JPEG_SIZE}, {size / options.images / 1024:.0f} KiB each, "
        f"{options.data_model} at {TRAIN_SIZE}x{TRAIN_SIZE}; seconds, medians of {len(pairs)}"
    )
    rows: dict[str, Callable[[list[float]], float]] = {
        "a node's first epoch": lambda seconds: seconds[0],
        f"its first trial of {EPOCHS} epochs": lambda seconds: sum(seconds[:EPOCHS]),
        f"each later trial of {EPOCHS} epochs": lambda seconds: sum(seconds[-EPOCHS:]),
        "any later epoch": lambda seconds: statistics.median(seconds[1:EPOCHS]),
    }
    print(f"{'':32}{'DataLoader':>12}{'decoded once':>14}{'ratio':>8}  lowest and highest ratio")
    for name, of in rows.items():
        theirs, mine = (statistics.median(of(pair[side]) for pair in pairs) for side in (0, 1))
        ratios = [of(their) / of(our) for their, our in pairs]
        print(
            f"{name:32}{theirs:12.2f}{mine:14.2f}{statistics.median(ratios):8.2f}  "
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            flush=True,
        )


def card(options: argparse.Namespace) -> None:
    """What a GPU's owner asks; one more comparison is one more title with its sides."""
    if options.device == "cpu" and not options.insisted:
        print("\ncard: skipped, there is no CUDA device here (--device cpu goes through the same code)")
        return
    large = {**VIT, "image_size": 32, "patch_size": 4, "dim": 256, "depth": 6, "heads": 8, "batch_size": 256}
    run = partial(ours, device=options.device)
    base = {**large, "dim": 768, "depth": 12, "heads": 12, "lr": 1e-4}
    groups = {
        f"AMP and compiler: a ViT of width {size['dim']}, depth {size['depth']} and 64 tokens, batches of 256": [
            Side("fp32 (TF32 on CUDA)", partial(run, {**size, "precision": "fp32", "compile": False})),
            Side("bf16", partial(run, {**size, "precision": "bf16", "compile": False})),
            Side("bf16, compiled", partial(run, {**size, "precision": "bf16", "compile": True})),
        ]
        for size in (large, base)
    }
    if options.device == "cuda":
        groups["a whole step as one CUDA graph: vit_tiny on digits"] = [
            Side("bare loop", partial(_bare_rate, VIT)),
            Side("bare loop, captured", partial(captured, VIT)),
            Side("sweep.training.vision", partial(run, VIT)),
        ]
    groups |= {
        "packed: vit_tiny on digits, all trials together": [
            Side(f"{number} at once", partial(packed, number, VIT, device=options.device)) for number in (1, 2, 4, 8)
        ],
    }
    for title, sides in groups.items():
        compare(title, sides, options.rounds)


PARTS = {"loop": loop, "data": data, "card": card}


def compare(title: str, sides: Sequence[Side], rounds: int) -> None:
    """Run the sides in turn and print a table."""
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    for turn in range(rounds):
        # Who begins changes, or a machine that slows down would favour one.
        for side in sides if turn % 2 == 0 else reversed(sides):
            rates[side.name].append(side.run())
    show(title, rates)


def show(title: str, rates: dict[str, list[float]]) -> None:
    """A table; each ratio is to the first side in the same turn."""
    first = next(iter(rates.values()))
    print(f"\n{title}; medians of {len(first)} turns")
    print(f"{'':24}{'images/s':>10} {'ratio':>7}  middle half of the ratios")
    for name, values in rates.items():
        ratios = [value / other for value, other in zip(values, first, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(f"{name:24}{statistics.median(values):10.0f} {middle:7.3f}  {low:.3f} to {high:.3f}", flush=True)


# What they need.


def write_jpegs(folder: Path, number: int) -> int:
    """Cuts of scikit-learn's two photographs, two classes, a tenth of them val; returns their bytes in all."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images()
    generator = torch.Generator().manual_seed(0)
    size = 0
    for index in range(number):
        which = index % 2
        image = photographs.images[which]
        split = "val" if index // 2 % 10 == 0 else "train"
        target = folder / split / ("china", "flower")[which]
        target.mkdir(parents=True, exist_ok=True)
        top, left = (int(torch.randint(0, side - JPEG_SIZE, (), generator=generator)) for side in image.shape[:2])
        cut = image[top : top + JPEG_SIZE, left : left + JPEG_SIZE]
        Image.fromarray(cut).save(target / f"{index:05}.jpg", quality=90)
        size += (target / f"{index:05}.jpg").stat().st_size
    return size


def synchronize(device: torch.device) -> None:
    """Wait for the GPU, so that the time is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """With this variable set."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def machine(device: str) -> str:
    """Processor and card, in words."""
    cores = len(os.sched_getaffinity(0))
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU used"
    return (
        f"{platform.machine()}, {cores} cores, torch {torch.__version__} with {torch.get_num_threads()} threads; {name}"
    )


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=7, help="of the other parts; data has half as many")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--images", type=int, default=2000, help="JPEGs of the part data")
    parser.add_argument("--data-model", default="vit_tiny", help="model of the part data")
    options = parser.parse_args()
    options.insisted = options.device != "auto"
    if not options.insisted:
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    parts = options.parts.split(",")
    if unknown := set(parts) - PARTS.keys():
        sys.exit(f"--parts: got {', '.join(unknown)}. Known: {', '.join(PARTS)}.")
    print(machine(options.device))
    with tempfile.TemporaryDirectory(prefix="sweep-bench-") as cache, environment("SWEEP_DATA_CACHE", cache):
        for part in parts:
            PARTS[part](options)


if __name__ == "__main__":
    main()
