"""What datasets of images and of texts have in common: how they are named, and found again for a checkpoint."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sweep.errors import TrainingError


class Dataset(Protocol):
    """Splits with a name and a fingerprint."""

    @property
    def name(self) -> str:
        """As it is loaded by."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal exactly when trials saw the same data."""
        ...

    @property
    def train(self) -> Any:
        """What is learned from."""
        ...

    @property
    def val(self) -> Any:
        """What trials are compared on."""
        ...

    @property
    def test(self) -> Any:
        """What no search has seen, or None."""
        ...


Data = TypeVar("Data", bound=Dataset)


def check(
    name: str, readers: Mapping[str, Callable[..., Any]], options: Mapping[str, Any]
) -> tuple[dict[str, Any], Mapping[str, inspect.Parameter]]:
    """The options that are given to the reader of this name, and those that it knows; one that is None isn't given.

    Raises:
        TrainingError: there is no such reader, or it has no such option.
    """
    if name not in readers:
        near = difflib.get_close_matches(name, readers, n=1) or [", ".join(readers)]
        raise TrainingError(f"data: {name!r} is unknown. Did you mean {near[0]}?")
    given = {key: value for key, value in options.items() if value is not None}
    known = inspect.signature(readers[name]).parameters
    for key in given:
        if key not in known:
            accepted = ", ".join(known) or "none"
            raise TrainingError(f"data: {name} has no option {key!r}. Its options: {accepted}.")
    return given, known


def again(checkpoint: Path, described: Mapping[str, Any], load: Callable[..., Data], split: str) -> tuple[Data, Any]:
    """The data that a checkpoint's manifest describes, and one of its splits.

    Args:
        checkpoint: its folder, for the message.
        described: the manifest's `data`.
        load: of the data's kind.
        split: "train", "val" or "test".

    Raises:
        TrainingError: the data isn't there any more, has no such split, or isn't what the model learned from.
    """
    data = load(described["name"], **described["options"])
    if data.fingerprint != described["fingerprint"]:
        raise TrainingError(f"data: {described['name']} has changed since {checkpoint} was trained on it.")
    pair = {"train": data.train, "val": data.val, "test": data.test}.get(split)
    if pair is None:
        raise TrainingError(f"data: {data.name} has no split {split!r}.")
    return data, pair
