"""Training as tutorials have it: a Dataset with transforms, a DataLoader with workers, a loop, a checkpoint an epoch.

The model is the project's own, since the search and not the model is compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from rivals.book import Note
from sweep.training.data import load
from sweep.training.models import build

WORKERS = 2
"""Of each trial's DataLoader; the tutorials have 2 to 8."""


class Digits(Dataset):
    """Scikit-learn's digits, as images with a transform; the same to learn from, and to judge by, as the project's."""

    def __init__(self, *, train: bool) -> None:
        data = load("digits")
        split = data.train if train else data.val
        self._images, self._labels = split.images[:, 0].numpy(), split.labels.tolist()
        self._transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.305], [0.376])])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def train(config: dict[str, Any], epochs: int, report: Callable[[int, float, Path], None]) -> None:
    """Train a small vision transformer; `report` gets epoch, val_loss and a folder with a checkpoint, each epoch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with Note() as note:
        torch.manual_seed(0)
        batch = config["batch_size"]
        pinned = {"num_workers": WORKERS, "pin_memory": device == "cuda"}
        loader = DataLoader(Digits(train=True), batch, shuffle=True, drop_last=True, **pinned)
        judged = DataLoader(Digits(train=False), 256, **pinned)
        options = {key: config[key] for key in ("dim", "depth", "dropout")}
        model = build("vit_tiny", num_classes=10, in_channels=1, image_size=8, patch_size=2, heads=4, **options)
        model.to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config["lr"], epochs=epochs, steps_per_epoch=len(loader)
        )
        criterion = nn.CrossEntropyLoss()
        for epoch in range(1, epochs + 1):
            note.work()
            model.train()
            for images, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(images.to(device)), labels.to(device))
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            model.eval()
            total = 0.0
            with torch.no_grad():
                for images, labels in judged:
                    logits = model(images.to(device))
                    total += nn.functional.cross_entropy(logits, labels.to(device), reduction="sum").item()
            note.rest()
            with tempfile.TemporaryDirectory() as folder:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
                torch.save(state, Path(folder) / "checkpoint.pt")
                report(epoch, total / 300, Path(folder))
