"""Trains a table for `benchmarks/search_quality.py`: a two-layer network on digits, every config of a grid.

    python benchmarks/tables/digits.py

Writes digits.npz beside itself: the val error after each of 27 epochs, (rates, widths, batches, decays, dropouts, 27),
and the seconds of an epoch, by batch size, in units of the quickest. About ten minutes on one core.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

GRID: dict[str, tuple[float, ...]] = {
    "lr": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "width": (16, 32, 64, 128),
    "batch_size": (16, 64, 256),
    "weight_decay": (0.0, 1e-3, 1e-1),
    "dropout": (0.0, 0.25, 0.5),
}
EPOCHS = 27


def split() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Few images to learn from and many to judge by, so that the errors are far from 0 and finely graded."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    images = torch.tensor(bunch.data[order] / 16, dtype=torch.float32)
    labels = torch.tensor(bunch.target[order])
    return images[:400], labels[:400], images[400:], labels[400:]


def train(config: dict[str, float], seed: int) -> list[float]:
    """The val error after each epoch."""
    images, labels, val_images, val_labels = split()
    torch.manual_seed(seed)
    width = int(config["width"])
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(config["dropout"]), nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
    errors = []
    for _ in range(EPOCHS):
        model.train()
        for part in torch.randperm(len(labels)).split(int(config["batch_size"])):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            errors.append(float((model(val_images).argmax(1) != val_labels).float().mean()))
    return errors


def main() -> None:
    """Train all, and write the table."""
    torch.set_num_threads(1)
    shape = tuple(map(len, GRID.values()))
    errors = np.empty((*shape, EPOCHS), dtype=np.float32)
    began = dict.fromkeys(GRID["batch_size"], 0.0)
    for number, place in enumerate(itertools.product(*map(range, shape))):
        config = {name: values[each] for (name, values), each in zip(GRID.items(), place, strict=True)}
        start = time.process_time()
        errors[place] = train(config, seed=number)
        began[config["batch_size"]] += time.process_time() - start
    seconds = np.array(list(began.values()))
    np.savez_compressed(
        Path(__file__).with_name("digits.npz"), errors=errors, seconds=(seconds / seconds.min()).astype(np.float32)
    )


if __name__ == "__main__":
    main()
