"""A model's folder in a bucket, and the copy of it that a machine reads.

::

    s3://BUCKET/FOLDER/MODEL/v7/                    an immutable version; with manifest.json it is there, whole
                             aliases/00000001.json  one move of an alias, made once
                             writer/00000001.json   who adds a version

The copy has the layout of any registry. It holds what is small; weights and checkpoints come when they are asked for,
and are compared with the manifest.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.errors import RegistryError, VerificationError
from sweep.registry.layout import EXPORTS, LOCK_TIMEOUT_S, MANIFEST, ModelFolder, Version, version_number
from sweep.registry.manifest import FileFacts, Manifest
from sweep.store.buckets import LARGEST_CREATED, Bucket, BucketError, Entry
from sweep.store.files import write_atomic
from sweep.store.lease import HeldError, Lease, machine_of
from sweep.store.paths import BucketFolder

ALIASES, WRITER = "aliases", "writer"

_TELLING = (".json", ".md", ".yaml")
_TAG = ".tag"
_AT_ONCE = 8
_RETRY_S = 0.2


@dataclass(frozen=True)
class BucketModel(ModelFolder):
    """See `ModelFolder`; `root` is the copy.

    Attributes:
        registry: where the model is.
    """

    registry: BucketFolder = field(kw_only=True)
    _leases: list[Lease] = field(kw_only=True, default_factory=list, compare=False, repr=False)

    @property
    def bucket(self) -> Bucket:
        """The model's objects."""
        return Bucket(self.registry.url) / self.root.name

    def told(self, path: Path) -> str:
        """See `ModelFolder`."""
        return f"{self.registry.url}/{path.relative_to(self.root.parent).as_posix()}"

    def version(self, number: int) -> Version:
        """See `ModelFolder`."""
        return Version(self.name, number, self.root / f"v{number}", self)

    def refresh(self) -> None:
        """See `ModelFolder`.

        Raises:
            BucketError: the bucket can't be reached.
        """
        entries = self.bucket.entries()
        if not entries and not self.root.is_dir():
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with self.copied_locked():
            self._take_versions(entries)
            self._take_aliases([entry for entry in entries if entry.key.startswith(f"{ALIASES}/")])

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """See `ModelFolder`: on this machine by the lock, among machines by the lease."""
        with self.locked():
            lease = Lease(self.bucket / WRITER, machine_of(self.registry.copy))
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    lease.acquire()
                    break
                except HeldError as error:
                    if time.monotonic() > deadline:
                        raise RegistryError(
                            f"{self.told(self.root)}: {error.holder} adds versions for more than {LOCK_TIMEOUT_S:.0f} "
                            "s. End that one, or try again."
                        ) from error
                    time.sleep(_RETRY_S)
            self._leases.append(lease)
            try:
                self.refresh()
                yield
            finally:
                self._leases.pop().release()

    def publish(self, staged: Path, number: int) -> bool:
        """See `ModelFolder`: every object is made, the manifest last; what a killed promotion left there goes first."""
        there = self.bucket / f"v{number}"
        left = there.entries()
        if any(entry.key == MANIFEST for entry in left):
            return False
        there.delete(entry.key for entry in left)
        names = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
        names.remove(MANIFEST)
        for name in (*names, MANIFEST):
            if name == MANIFEST and not self._leases[-1].holds():
                raise RegistryError(
                    f"{self.told(self.root)}: another promoter took this one for dead, and may have replaced what it "
                    "wrote. Nothing was promoted. Promote again."
                )
            if (staged / name).stat().st_size > LARGEST_CREATED:
                there.put(name, staged / name)
                continue
            data = (staged / name).read_bytes()
            if there.first(name, data) != data:
                return False
        self.refresh()
        return True

    def append_alias(self, line: bytes) -> bool:
        """See `ModelFolder`."""
        moves = self.aliases.read_bytes().count(b"\n") if self.aliases.is_file() else 0
        return self.bucket.first(f"{ALIASES}/{moves + 1:08d}.json", line) == line

    def remove_dead(self) -> list[str]:
        """See `ModelFolder`: versions without a manifest, unless somebody is at work on one."""
        if not self._dead():
            return []
        lease = Lease(self.bucket / WRITER, machine_of(self.registry.copy))
        with suppress(Timeout, HeldError, BucketError), FileLock(self.root / ".lock", timeout=0):
            lease.acquire()
            try:
                dead = self._dead()
                self.bucket.delete(dead)
            finally:
                lease.release()
            return sorted({key.split("/")[0] for key in dead})
        return []

    def bring(self, version: Version, name: str) -> None:
        """See `ModelFolder`.

        Raises:
            VerificationError: it isn't what the manifest says.
            BucketError: the bucket can't be reached.
        """
        path = version.path / name
        expected = version.manifest.files.get(name)
        if path.is_file() or expected is None:
            return
        if not (self.bucket / version.name).fetch(name, path):
            return
        path.chmod(0o444)
        if path.stat().st_size != expected.bytes or _digest(path) != expected.sha256:
            path.unlink()
            raise VerificationError(
                f"{self.told(path)}: changed since it was written. Nothing was loaded.\n"
                f"  See all of it: sweep models verify {version.model}"
            )

    def problems(self, version: Version, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """See `ModelFolder`: every byte is read in the bucket."""
        there = self.bucket / version.name
        sizes = {entry.key: entry.size for entry in there.entries()}
        for name, facts in manifest.files.items():
            what = "missing" if name not in sizes else _difference(there, name, sizes[name], facts)
            if what is not None:
                yield name, what
        for name in sizes:
            if name not in manifest.files and name != MANIFEST and not name.startswith(f"{EXPORTS}/"):
                yield name, "extra: not in the manifest"

    def strays(self) -> Iterator[str]:
        """See `ModelFolder`."""
        known = {ALIASES, WRITER}
        tops = {entry.key.split("/")[0] for entry in self.bucket.entries()}
        yield from sorted(top for top in tops if top not in known and not version_number(top))

    def _dead(self) -> list[str]:
        """What is there of versions without a manifest."""
        entries = self.bucket.entries()
        whole = {entry.key.split("/")[0] for entry in entries if _is_manifest(entry)}
        return [entry.key for entry in entries if _version_of(entry) not in (None, *whole)]

    def _take_versions(self, entries: list[Entry]) -> None:
        manifests = {_version_of(entry) or "": entry for entry in entries if _is_manifest(entry)}
        for child in [*self.root.iterdir()]:
            if version_number(child.name) and child.name not in manifests:
                _remove(child)
        for name, manifest in manifests.items():
            folder = self.root / name
            if _read(folder / _TAG) != (manifest.tag or "").encode():
                _remove(folder)
                self._take_version(folder, [entry for entry in entries if _version_of(entry) == name])
                write_atomic(folder / _TAG, (manifest.tag or "").encode())

    def _take_version(self, folder: Path, entries: list[Entry]) -> None:
        """What tells of a version: weights and checkpoint come when they are asked for."""
        folder.mkdir()
        at_top = [entry.key for entry in entries if entry.key.count("/") == 1]
        wanted = [key for key in at_top if Path(key).suffix in _TELLING]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda key: self.bucket.fetch(key, self.root / key), wanted))

    def _take_aliases(self, entries: list[Entry]) -> None:
        """All moves, in one file as a folder has them; those that were read before are kept under their tags."""
        kept = self.root / ".moves"
        kept.mkdir(exist_ok=True)

        def line(entry: Entry) -> bytes:
            place = kept / f"{Path(entry.key).stem}-{hashlib.sha256((entry.tag or '').encode()).hexdigest()[:16]}"
            found = _read(place)
            if found is None:
                found = self.bucket.get(entry.key) or b""
                write_atomic(place, found)
            return found

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            text = b"".join(pool.map(line, entries))
        if _read(self.aliases) != text and (text or self.aliases.exists()):
            write_atomic(self.aliases, text)


def model_in(registry: BucketFolder, model: str) -> BucketModel:
    """A model's folder in a bucket, its copy up to date.

    Raises:
        RegistryError: the copy can't be written.
        BucketError: the bucket can't be reached.
    """
    try:
        folder = BucketModel(registry.copy / model, registry=registry)
        folder.refresh()
    except OSError as error:
        raise RegistryError(
            f"{registry}: a copy of what is there has to be kept here, and can't be ({error}). Name a folder that this "
            "user may write with SWEEP_BUCKET_CACHE."
        ) from error
    return folder


def models_in(registry: BucketFolder) -> list[str]:
    """The models that have a version, by name.

    Raises:
        RegistryError: there is nothing.
        BucketError: the bucket can't be reached.
    """
    names = Bucket(registry.url).folders()
    if not names:
        raise RegistryError(f"{registry}: no registry here. A promotion makes it: sweep promote STUDY --model MODEL.")
    return [name for name in names if model_in(registry, name).numbers()]


def check_bucket(registry: BucketFolder) -> None:
    """Make sure that a promotion can write here; nothing is left behind.

    Raises:
        RegistryError: in words what stands in the way.
    """
    try:
        conditional = Bucket(registry.url).is_conditional()
    except BucketError as error:
        raise RegistryError(f"the registry can't be used: {error}") from error
    if not conditional:
        raise RegistryError(f"the registry can't be used: {registry}: {Bucket.UNCONDITIONAL}")


def _difference(there: Bucket, name: str, size: int, facts: FileFacts) -> str | None:
    if size != facts.bytes:
        return f"{size} bytes, where {facts.bytes} were written"
    digest = hashlib.sha256()
    try:
        for piece in there.stream(name):
            digest.update(piece)
    except FileNotFoundError:
        return "missing"
    return None if digest.hexdigest() == facts.sha256 else "changed since it was written (its SHA-256 differs)"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_manifest(entry: Entry) -> bool:
    return _version_of(entry) is not None and entry.key.split("/")[1:] == [MANIFEST]


def _version_of(entry: Entry) -> str | None:
    name = entry.key.split("/")[0]
    return name if version_number(name) else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
