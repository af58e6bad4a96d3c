"""A checkpoint's state on disk: written and read without ever running code from the file."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from sweep.errors import CheckpointError, TrainingError

if TYPE_CHECKING:
    import torch

TORCH_FILE = "state.pt"
JSON_FILE = "state.json"
FOLDER = "state"


class Snapshot:
    """A state as it is now, to be written later.

    Args:
        state: a mapping of tensors and plain values, or a folder.
        copied: whether the mapping may change before it is written; its tensors are then copied to the CPU's memory.
            Those of a GPU are copied by the GPU itself, in the order of its work, which nobody here waits for.
    """

    def __init__(self, state: Any, *, copied: bool) -> None:
        self._copies: list[torch.cuda.Event] = []
        self.state = self._copy(state) if copied and isinstance(state, Mapping) else state

    def write(self, target: Path) -> None:
        """Write it into a checkpoint folder; see `write`."""
        for each in self._copies:
            each.synchronize()
        write(target, self.state)

    def _copy(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        torch = sys.modules.get("torch")
        if torch is None:
            return copy.deepcopy(state)
        tensors = {id(each): each for each in _tensors(state, torch.Tensor)}
        # What deepcopy finds here it takes as the copy: tensors that it would refuse, and each only once.
        memo = {key: _to_host(each) for key, each in tensors.items()}
        for device in {each.device for each in tensors.values() if each.is_cuda}:
            self._copies.append(torch.cuda.current_stream(device).record_event())
        return copy.deepcopy(state, memo)


def _tensors(value: Any, tensor: type) -> Iterator[Any]:
    if isinstance(value, tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each, tensor)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _tensors(each, tensor)


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if tensor.is_cuda:
        # Only into pinned memory can a GPU copy while Python goes on.
        copied = torch.empty_like(tensor, device="cpu", pin_memory=True, requires_grad=False)
        copied.copy_(tensor.detach(), non_blocking=True)
    else:
        copied = tensor.detach().to("cpu", copy=True)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(copied, tensor.requires_grad)
    return copied.requires_grad_(tensor.requires_grad)


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
