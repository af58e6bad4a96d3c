"""Every file name that the registry writes, and the locks that guard them.

::

    REGISTRY/MODEL/v7/               an immutable version
             MODEL/aliases.jsonl     append-only: who pointed where, when
             MODEL/.lock             held while a version number is claimed
             MODEL/.aliases.lock     held while an alias moves
             MODEL/.promoting-X/     a version that is being written, and .promoting-X.lock, held by its writer
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.errors import RegistryError
from sweep.registry.manifest import Manifest, read_manifest
from sweep.store.files import append_durably, fsync_dir, publish_folder

LOCK_TIMEOUT_S = 600.0
MANIFEST = "manifest.json"
PROMOTING = ".promoting-"
EXPORTS = "exports"

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"v([1-9][0-9]*)")


def version_number(name: str) -> int | None:
    """7 for "v7", None for what isn't a version's name."""
    match = _VERSION.fullmatch(name)
    return int(match[1]) if match else None


def check_model_name(name: str) -> None:
    """Refuse a name that can't be a model's.

    Raises:
        RegistryError: with the rule.
    """
    if not _MODEL.fullmatch(name):
        raise RegistryError(
            f"{name!r} can't be a model's name. Use letters, digits, '.', '_' and '-', at most 64, "
            "a letter or digit first."
        )


@dataclass(frozen=True)
class Version:
    """One immutable version of a model.

    Attributes:
        model: the model's name.
        number: 7 for v7.
        path: the version's folder; of one in a bucket the copy here.
        folder: of its model.
    """

    model: str
    number: int
    path: Path
    folder: ModelFolder | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.model}@{self.name}"

    @property
    def name(self) -> str:
        """The number as it is written, "v7"."""
        return f"v{self.number}"

    @property
    def told(self) -> str:
        """Where it is, for people."""
        return str(self.path) if self.folder is None else self.folder.told(self.path)

    def bring(self, name: str) -> None:
        """See that a file of a version in a bucket is here; elsewhere it is."""
        if self.folder is not None:
            self.folder.bring(self, name)

    @property
    def manifest(self) -> Manifest:
        """All facts of the version, read anew each time.

        Raises:
            VerificationError: the manifest is missing, torn or changed.
        """
        return read_manifest(self.path / MANIFEST)

    @property
    def safetensors(self) -> Path:
        """The weights as safetensors; not there when the manifest says `weights: null`."""
        return self.path / "model.safetensors"

    @property
    def pth(self) -> Path:
        """The same weights as a PyTorch state dict."""
        return self.path / "model.pth"

    @property
    def checkpoint(self) -> Path:
        """The complete checkpoint that training can go on from."""
        return self.path / "checkpoint"

    @property
    def card(self) -> Path:
        """The model card, in Markdown."""
        return self.path / "card.md"

    @property
    def curve(self) -> Path:
        """The learning curve, as JSON."""
        return self.path / "curve.json"

    @property
    def spec(self) -> Path:
        """The resolved search file of the study."""
        return self.path / "spec.yaml"

    @property
    def exports(self) -> Path:
        """What was made from the version later; no part of what is immutable."""
        return self.path / EXPORTS


@dataclass(frozen=True)
class ModelFolder:
    """The files of one model.

    What a bucket does otherwise is in `sweep.registry.in_bucket.BucketModel`.
    """

    root: Path

    def told(self, path: Path) -> str:
        """A path in it, as it is told to people."""
        return str(path)

    def refresh(self) -> None:
        """Take in what others have written; a folder shows it by itself."""

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Hold the right to add a version."""
        with self.locked():
            yield

    def publish(self, staged: Path, number: int) -> bool:
        """Give a finished version its number; False when somebody else has it. `claiming` is held."""
        try:
            publish_folder(staged, self.version(number).path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
        return True

    def append_alias(self, line: bytes) -> bool:
        """Add a move to the aliases, whose lock is held; False when another machine was quicker."""
        append_durably(self.aliases, line)
        fsync_dir(self.root)
        return True

    def remove_dead(self) -> list[str]:
        """Remove what killed promotions left elsewhere than here, and name it."""
        return []

    def bring(self, version: Version, name: str) -> None:
        """See that a file of a version is here."""

    def problems(self, version: Version, manifest: Manifest) -> Iterator[tuple[str, str]] | None:
        """Files of a version that aren't as they were written; None where they are here to be looked at."""
        del version, manifest
        return None

    def strays(self) -> Iterator[str] | None:
        """What is there that the registry didn't write; None where it is here to be looked at."""
        return None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.root.name

    @property
    def aliases(self) -> Path:
        """Where each alias pointed, and when."""
        return self.root / "aliases.jsonl"

    def version(self, number: int) -> Version:
        """The version of this number, which need not exist."""
        return Version(self.name, number, self.root / f"v{number}", self)

    def numbers(self) -> list[int]:
        """The numbers of the versions that exist, ascending."""
        if not self.root.is_dir():
            return []
        found = (version_number(child.name) for child in self.root.iterdir())
        return sorted(number for number in found if number is not None)

    def versions(self) -> list[Version]:
        """The versions that exist, ascending."""
        return [self.version(number) for number in self.numbers()]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to make and remove folders here."""
        with _held(self.root / ".lock"):
            yield

    @contextmanager
    def copied_locked(self) -> Iterator[None]:
        """Hold the right to change what is here of a model in a bucket."""
        with _held(self.root / ".copying"):
            yield

    @contextmanager
    def aliases_locked(self) -> Iterator[None]:
        """Hold the right to move an alias."""
        with _held(self.root / ".aliases.lock"):
            yield


@contextmanager
def _held(path: Path) -> Iterator[None]:
    lock = FileLock(path, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise RegistryError(
            f"{path}: held by another process for more than {LOCK_TIMEOUT_S:.0f} s. End that one, or try again."
        ) from error
    except OSError as error:
        raise RegistryError(f"{path}: can't be locked ({error.strerror}).") from error
    try:
        yield
    finally:
        lock.release()
