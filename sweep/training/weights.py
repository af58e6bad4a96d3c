"""Weights out of a file, to start a trial from: fine-tuning."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sweep.errors import TrainingError

SUFFIXES = (".safetensors", ".pth", ".pt")
ENTRIES = ("model", "state_dict")
"""Under these names checkpoints keep their weights; the first is ours."""


def start_from(model: nn.Module, file: str) -> None:
    """Put a file's tensors into a model, by name; those that don't fit are left fresh, with one line that names them.

    Args:
        model: changed in place.
        file: .safetensors, or .pth and .pt as torch.save writes a state dict, also as the entry "model" or
            "state_dict" of a checkpoint. May start with ~. Code in it is never run.

    Raises:
        TrainingError: it isn't there, holds more than tensors and plain values, or nothing in it fits.
    """
    path = Path(file).expanduser()
    given, own = _read(path), model.state_dict()
    fitting = {name: each for name, each in given.items() if name in own and each.shape == own[name].shape}
    if not any(own[name].is_floating_point() for name in fitting):  # counters of batch norm fit anything
        raise TrainingError(
            f"weights: nothing in {path} fits the model. It has {_some(given)}; the model has {_some(own)}. "
            "Give weights of the same architecture and sizes."
        )
    model.load_state_dict(fitting, strict=False)
    fresh, unused = sorted(own.keys() - fitting.keys()), sorted(given.keys() - fitting.keys())
    rest = "".join(f"; {what} {', '.join(names)}" for what, names in (("fresh:", fresh), ("unused:", unused)) if names)
    sys.stderr.write(f"weights: {len(fitting)} of {len(own)} tensors from {path}{rest}\n")


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix not in SUFFIXES:
        raise TrainingError(f"weights: {path} is no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"weights: there is no file {path}. Nothing is downloaded; put it there.") from error
    except UnpicklingError as error:
        raise TrainingError(
            f"weights: {path} holds more than tensors and plain values, and code from a file is never run. "
            "Write the model's state_dict() alone, best as .safetensors."
        ) from error
    except (OSError, RuntimeError, EOFError, SafetensorError) as error:
        raise TrainingError(f"weights: {path} can't be read: {error}") from error
    if isinstance(content, Mapping):
        for entry in ENTRIES:
            if isinstance(content.get(entry), Mapping):
                content = content[entry]
                break
        tensors = {str(name): each for name, each in content.items() if isinstance(each, torch.Tensor)}
        if tensors:
            return tensors
    raise TrainingError(f"weights: {path} holds no tensors by name. Write a model's state_dict().")


def _some(tensors: Mapping[str, torch.Tensor]) -> str:
    told = [f"{name} {tuple(each.shape)}" for name, each in list(tensors.items())[:3]]
    return ", ".join(told) + (f" and {len(tensors) - 3} more" if len(tensors) > 3 else "")  # noqa: PLR2004
