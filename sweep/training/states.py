"""A checkpoint's state on disk: written and read without ever running code from the file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from sweep.errors import CheckpointError, TrainingError

if TYPE_CHECKING:
    import torch

TORCH_FILE = "state.pt"
JSON_FILE = "state.json"
FOLDER = "state"


def write(target: Path, state: Mapping[str, Any] | Path | str) -> None:
    """Write a state into a checkpoint folder.

    A mapping becomes `state.pt` where torch is in use, and `state.json` where it isn't; a folder is copied to `state/`.

    Raises:
        TrainingError: not a mapping or folder, or it holds what can't be read back without running code.
    """
    if isinstance(state, Path | str):
        if not Path(state).is_dir():
            raise TrainingError(f"checkpoint: {state} is not a folder. Give a state dict, or a folder that exists.")
        _copy(Path(state), target / FOLDER)
    elif not isinstance(state, Mapping):
        raise TrainingError(f"checkpoint: got {kind(state)}. Give a state dict, a folder, or a function returning one.")
    elif "torch" in sys.modules:
        _write_torch(target / TORCH_FILE, state)
    else:
        _write_json(target / JSON_FILE, state)


def _copy(folder: Path, target: Path) -> None:
    try:
        shutil.copytree(folder, target)
    except shutil.Error as error:
        problems = error.args[0]
        file, _, reason = problems[0]
        if Path(file).is_symlink() and not Path(file).exists():
            reason = "it is a link to nothing"
        more = f" So can't {len(problems) - 1} more." if len(problems) > 1 else ""
        raise TrainingError(
            f"checkpoint: {file} can't be copied: {reason}.{more} Give a folder of files that can be read."
        ) from error


def _write_torch(file: Path, state: Mapping[str, Any]) -> None:
    import torch

    torch.save(dict(state), file)
    try:
        # Mapped, so only the structure is read: what can't come back is told now, not when the trial must resume.
        torch.load(file, weights_only=True, mmap=True, map_location="cpu")
    except UnpicklingError as error:
        raise TrainingError(
            "checkpoint: the state holds more than tensors and plain values, and could only be read back by running "
            f"code from the file: {_first_line(error)} Convert it, or save it into a folder and give that."
        ) from error


def _write_json(file: Path, state: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(state)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"checkpoint: {error}. Without torch a state is written as JSON; convert it to lists and numbers, or save "
            "it into a folder and give that."
        ) from error
    file.write_text(text, encoding="utf-8")


def read(folder: Path, device: Callable[[], torch.device | str]) -> Any:
    """The state of a checkpoint folder: a dict, or the path of the folder that was copied.

    Args:
        folder: a checkpoint that was verified.
        device: asked for the place of tensors, when there are any.

    Raises:
        CheckpointError: there is none, or it holds more than tensors and plain values.
    """
    if (folder / TORCH_FILE).exists():
        import torch

        try:
            return torch.load(folder / TORCH_FILE, map_location=device(), weights_only=True)
        except UnpicklingError as error:
            raise CheckpointError(f"{folder / TORCH_FILE} holds more than tensors and plain values.") from error
    if (folder / JSON_FILE).exists():
        return json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
    if (folder / FOLDER).is_dir():
        return folder / FOLDER
    raise CheckpointError(f"{folder} holds no state: expected {TORCH_FILE}, {JSON_FILE} or {FOLDER}/.")


def kind(value: Any) -> str:
    """How to call a value in a message: its type, and its shape or its text."""
    shape = getattr(value, "shape", None)
    detail = f" of shape {tuple(shape)}" if shape is not None else f" {value!r:.60}"
    return f"{type(value).__name__}{detail}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
