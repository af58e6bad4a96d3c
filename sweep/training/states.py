"""A checkpoint's state on disk: written and read without ever running code from the file."""

from __future__ import annotations

import copy
import json
import shutil
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from sweep.errors import CheckpointError, TrainingError, first_line

if TYPE_CHECKING:
    import torch

TORCH_FILE = "state.pt"
JSON_FILE = "state.json"
FOLDER = "state"


_taking = threading.Lock()
"""Torch lets go of the interpreter in each call. Threads that copy or save hundreds of tensors at the same time would
hand it back and forth at each: one after the other they are many times as quick."""


class Snapshot:
    """A state as it is now, to be written later.

    Args:
        state: a mapping of tensors and plain values, or a folder.
        copied: whether the mapping may change before it is written; its tensors are then copied to the CPU's memory.
            Those of a GPU are copied by the GPU itself, in the order of its work, which nobody here waits for. Tensors
            that are parts of larger ones are copied in any case, or the file would hold all of those.
    """

    def __init__(self, state: Any, *, copied: bool) -> None:
        self._copies: list[torch.cuda.Event] = []
        with _taking:
            self.state = self._copy(state, all_of_it=copied) if isinstance(state, Mapping) else state

    def write(self, target: Path) -> None:
        """Write it into a checkpoint folder; see `write`."""
        for each in self._copies:
            each.synchronize()
        write(target, self.state)

    def _copy(self, state: Mapping[str, Any], *, all_of_it: bool) -> Mapping[str, Any]:
        torch = sys.modules.get("torch")
        if torch is None:
            return copy.deepcopy(state) if all_of_it else state
        from sweep.training import packing

        tensors = list(_tensors(state, torch.Tensor))
        if not all_of_it and not any(map(packing.is_part, tensors)):
            return state
        # What deepcopy finds here it takes as the copy: tensors that it would refuse, and each only once.
        memo = packing.to_host(tensors)
        for device in {each.device for each in tensors if each.is_cuda}:
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

    try:
        with _taking:
            torch.save(dict(state), file)
            if not _comes_back(state):
                # Mapped, so only the structure is read: what can't come back is told now, not when it must.
                torch.load(file, weights_only=True, mmap=True, map_location="cpu")
    except UnpicklingError as error:
        raise TrainingError(
            "checkpoint: the state holds more than tensors and plain values, and could only be read back by running "
            f"code from the file: {first_line(error)} Convert it, or save it into a folder and give that."
        ) from error


_PLAIN = {str, bytes, int, float, bool, type(None)}


def _comes_back(value: Any) -> bool:
    """Whether torch surely reads it without running code: told by looking, many times as quick as by reading."""
    import torch

    kind = type(value)
    if kind in _PLAIN or kind is torch.Tensor or kind is torch.nn.Parameter:
        return True
    if kind is dict or kind is OrderedDict:
        return all(map(_comes_back, value)) and all(map(_comes_back, value.values()))
    return kind in {list, tuple, set} and all(map(_comes_back, value))


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

        from sweep.training import packing

        try:
            state = torch.load(folder / TORCH_FILE, map_location=device(), weights_only=True)
        except UnpicklingError as error:
            raise CheckpointError(f"{folder / TORCH_FILE} holds more than tensors and plain values.") from error
        # Each with a memory of its own again: kernels are quicker on aligned ones, and one that stays keeps no other.
        return copy.deepcopy(state, packing.apart(_tensors(state, torch.Tensor)))
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
