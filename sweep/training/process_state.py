"""What a process remembers beside the training function's own state: random generators, and the GradScaler.

It is kept as JSON (bytes as hexadecimal text), so that reading it can't run code and needs no torch.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "process.json"


def seed(value: int) -> None:
    """Seed python's, numpy's and torch's global generators; the last two only where they are in use.

    Args:
        value: 0 <= value < 2**31, numpy's limit.
    """
    random.seed(value)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(value)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(value)


def capture(*, scaler: Mapping[str, Any] | None) -> dict[str, Any]:
    """The generators' states and the scaler's, as JSON values that later draws don't change."""
    state: dict[str, Any] = {"python": random.getstate(), "scaler": scaler}
    if numpy := sys.modules.get("numpy"):
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = [name, keys.tolist(), *rest]
    if torch := sys.modules.get("torch"):
        state["torch"] = to_hex(torch.get_rng_state())
        if torch.cuda.is_initialized():
            state["cuda"] = [to_hex(each) for each in torch.cuda.get_rng_state_all()]
    return state


def write(folder: Path, state: Mapping[str, Any]) -> None:
    """Write what `capture` returned into a checkpoint folder."""
    (folder / FILE).write_text(json.dumps(state), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote; empty for a checkpoint from elsewhere."""
    file = folder / FILE
    state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return state


def restore(state: Mapping[str, Any]) -> None:
    """Set the generators to what `read` returned; those it doesn't know stay as they are."""
    if "python" in state:
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
    if (numpy := sys.modules.get("numpy")) and "numpy" in state:
        name, keys, *rest = state["numpy"]
        numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
    if (torch := sys.modules.get("torch")) and "torch" in state:
        torch.set_rng_state(from_hex(state["torch"]))
        # Another machine may have another number of GPUs: each that has a counterpart gets its state.
        for index, text in enumerate(state.get("cuda", [])[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(from_hex(text), index)


def to_hex(tensor: Any) -> str:
    """A torch generator's state as text."""
    return bytes(tensor.numpy()).hex()


def from_hex(text: str) -> Any:
    """A torch generator's state from its text."""
    import torch

    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
