"""Weights out of a checkpoint, into files that load without trust."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import RegistryError, VerificationError
from sweep.registry.layout import Version
from sweep.registry.manifest import Weights
from sweep.store.files import sha256_file

if TYPE_CHECKING:
    from torch import Tensor

STATE = "state.pt"
FOLDER = "state"
"""What a training function or a script saved as files of its own."""

_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
_ENTRIES = ("model", "state_dict", "model_state_dict")


class NoWeightsError(Exception):
    """The checkpoint holds no weights that can be written as plain tensors; the message says why."""


def extract_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The entry "model" of a checkpoint's `state.pt`, on the CPU, each tensor with its own memory.

    Where a script left files of its own instead, the one that torch has saved, or the one in safetensors' format: its
    entry "model", "state_dict" or "model_state_dict", or the dict of tensors that it is.

    Raises:
        NoWeightsError: there is none, or it is not a dict of tensors.
    """
    import torch

    file = _file(checkpoint)
    try:
        state: Any = _load(file)
    except FileNotFoundError:
        raise NoWeightsError(f"the checkpoint has no {STATE}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise NoWeightsError(f"{file.name} holds more than tensors and plain values, and is not unpickled") from error
    entry = next((name for name in _ENTRIES if isinstance(state, Mapping) and name in state), None)
    model = state[entry] if entry else state if file.name != STATE else None
    if not isinstance(model, Mapping) or not model:
        raise NoWeightsError(f'{file.name} has no entry "model" with a state dict')
    for name, value in model.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            what = f'"{entry}"' if entry else "it"
            raise NoWeightsError(
                f"{file.name}: {what} is no dict of tensors ({name} is of type {type(value).__name__})"
            )
    # safetensors refuses tensors that share memory (tied weights) or are views with gaps.
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in model.items()}


def _file(checkpoint: Path) -> Path:
    """Where a checkpoint's weights are: `state.pt`, or the only file of its kind that a script has left.

    Raises:
        NoWeightsError: there are several.
    """
    found = [path for path in sorted((checkpoint / FOLDER).rglob("*")) if path.suffix in _SUFFIXES]
    if (checkpoint / STATE).exists() or not found:
        return checkpoint / STATE
    if len(found) > 1:
        names = ", ".join(path.relative_to(checkpoint / FOLDER).as_posix() for path in found[:4])
        raise NoWeightsError(f"the script left {len(found)} files that may hold weights: {names}")
    return found[0]


def _load(file: Path) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file as load_safetensors

    if file.suffix != ".safetensors":
        return torch.load(file, map_location="cpu", weights_only=True)
    try:
        return load_safetensors(file)
    except SafetensorError as error:
        raise RuntimeError(str(error)) from error


def write_weights(version: Version, weights: Mapping[str, Tensor]) -> Weights:
    """Write `model.safetensors` and `model.pth`, and count what is in them.

    Raises:
        NoWeightsError: a tensor of a kind that safetensors can't hold.
        RegistryError: the disk refused.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = dict(weights)
    try:
        save_file(tensors, version.safetensors, metadata={"format": "pt"})
    except (KeyError, ValueError) as error:
        raise NoWeightsError(f"safetensors can't hold a tensor of {STATE}: {error}") from error
    except SafetensorError as error:
        raise RegistryError(f"{version.safetensors}: can't be written ({error}).") from error
    with version.pth.open("wb") as file:
        torch.save(tensors, file)
    return Weights(
        tensors=len(tensors),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        dtypes=sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
    )


def load_weights(version: Version) -> dict[str, Tensor]:
    """The version's weights on the CPU, compared with their digest before; nothing is unpickled.

    Raises:
        RegistryError: the version has no weights.
        VerificationError: the manifest or the weights are missing or changed.
    """
    from safetensors.torch import load_file

    manifest = version.manifest
    if manifest.weights is None:
        raise RegistryError(
            f"{version} has no weights: {manifest.weights_missing}.\n"
            f"  Its complete checkpoint is in {version.told}/{version.checkpoint.name}"
        )
    path = version.safetensors
    version.bring(path.name)
    expected = manifest.files.get(path.name)
    if not path.is_file() or expected is None or sha256_file(path) != expected.sha256:
        raise VerificationError(
            f"{path}: missing, or changed since it was written. Nothing was loaded.\n"
            f"  See all of it: sweep models verify {version.model}"
        )
    return load_file(path)
