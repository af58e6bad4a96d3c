"""A registry folder is opened, made or refused; refused before a study spends anything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep.errors import RegistryError
from sweep.registry.in_bucket import check_bucket
from sweep.registry.layout import check_model_name
from sweep.store.paths import BucketFolder, Place


def open_registry(path: Path, create: bool) -> Path:
    """The registry folder, made with its parents if `create` says so.

    Raises:
        RegistryError: it isn't there, is a file, or can't be made; nothing half-made is left.
    """
    if create:
        check_writable(path)
        _make(path)
        return path
    with _told(path):
        if path.is_dir():
            return path
        if path.exists():
            raise RegistryError(f"{path}: a registry is a folder, and this is a file. Name a folder.")
    raise RegistryError(f"{path}: no registry here. A promotion makes it: sweep promote STUDY --model MODEL.")


def check_writable(path: Place, model: str | None = None) -> None:
    """Make sure that a promotion can write here; nothing is left behind.

    Args:
        path: the registry, which need not exist.
        model: its folder, too, is tried if it exists.

    Raises:
        RegistryError: in words what stands in the way.
    """
    if model is not None:
        check_model_name(model)
    if isinstance(path, BucketFolder):
        check_bucket(path)
        return
    target = path if model is None else path / model
    with _told(path):
        nearest = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
        if not nearest.is_dir():
            raise RegistryError(f"{path}: can't be a registry, since {nearest} is a file. Name a folder.")
        with tempfile.TemporaryDirectory(prefix=".sweep-probe-", dir=nearest):
            pass


def _make(path: Path) -> None:
    missing = [folder for folder in (path, *path.absolute().parents) if not folder.exists()]
    made: list[Path] = []
    with _told(path):
        try:
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
                made.append(folder)
        except OSError:
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn the system's refusal into one with words."""
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"{path}: the registry can't be used ({error.strerror}: {error.filename}). "
            "Give it a folder that this user may write."
        ) from error
