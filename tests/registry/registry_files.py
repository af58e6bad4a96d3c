"""Real checkpoints of a small torch module, and what a promotion says about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sweep.registry import Source
from sweep.store import checkpoints


def new_state(seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    return {"model": torch.nn.Linear(3, 2).state_dict(), "epoch": 3}


def new_checkpoint(folder: Path, state: Any) -> Path:
    meta = {"t": 3, "data": {"name": "digits", "sha256": "d" * 64}, "model": {"name": "linear", "classes": 2}}

    def fill(beside: Path) -> None:
        torch.save(state, beside / "state.pt")
        (beside / "extra").mkdir()
        (beside / "extra" / "notes.txt").write_text("position 17\n")

    checkpoints.write(folder, fill, meta)
    return folder


def new_source(checkpoint: Path, **changes: Any) -> Source:
    facts: dict[str, Any] = {
        "study": "digits",
        "trial": 17,
        "attempt": 2,
        "t": 3,
        "checkpoint": checkpoint,
        "metric": "val_loss",
        "goal": "minimize",
        "value": 0.25,
        "metrics": {"val_loss": 0.25, "epoch": 3.0, "grad_norm": float("nan")},
        "config": {"lr": 3e-4, "optimizer": "adamw", "layers": 2},
        "seed": 123,
        "spec_sha256": "e" * 64,
        "spec_yaml": "name: digits\n",
        "curve": [
            {"epoch": 1.0, "val_loss": float("inf")},
            {"epoch": 2.0, "val_loss": 0.5},
            {"epoch": 3.0, "val_loss": 0.25},
        ],
        "environment": {"python": "3.11.0", "packages": {"torch": "2.9", "ray": None}, "git": None},
    }
    return Source(**{**facts, **changes})
