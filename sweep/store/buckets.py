"""A place in an object store, as far as sweep needs one: objects are created, replaced, read, listed, removed, whole.

The requests are obstore's, for S3 (and what speaks its language) and for Google's storage alike. Nothing here knows
studies or models. Two things are true of every store that it knows: an object is there whole or not at all, and of
several that create the same object one succeeds. All else is built on these two.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from sweep.errors import InputError, StorageError
from sweep.store import object_stores
from sweep.store.object_stores import SCHEMES, reason, store_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK = 8 * 2**20
LARGEST_CREATED = 64 * 2**20
"""What is sent in one request, from memory. A larger object comes in parts, of which a store can't say whether another
was there."""

_TRIES = 10
_PAUSE_S = 0.2

_CUT = "HTTP error"
_NO_BUCKET = "NoSuchBucket"
_PROVIDER = "External AWS credential provider: "
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired")


class BucketError(StorageError):
    """The object store refused, or doesn't answer."""


class Entry(NamedTuple):
    """An object, as a listing shows it.

    Attributes:
        key: from the place that was listed.
        size: in bytes.
        tag: differs where the bytes do.
    """

    key: str
    size: int
    tag: str | None = None


def is_url(text: str | Path) -> bool:
    """Whether a text names a place in an object store rather than a folder."""
    return "://" in str(text)


def check_url(url: str) -> str:
    """The URL without slashes at its end.

    Raises:
        InputError: it isn't one that is known here.
    """
    scheme, _, rest = url.partition("://")
    name, *folders = rest.rstrip("/").split("/")
    if scheme not in SCHEMES:
        known = " or ".join(f"{each}://BUCKET/FOLDER" for each in SCHEMES)
        raise InputError(f"{url}: {scheme}:// is unknown. Name a folder, or {known}.")
    if not name or any(folder in ("", ".", "..") for folder in folders):
        raise InputError(f"{url}: expected {scheme}://BUCKET/FOLDER, with a name between each two slashes.")
    return f"{scheme}://{'/'.join((name, *folders))}"


@dataclass(frozen=True)
class Bucket:
    """All objects whose keys begin with a URL's path; a key is what comes after it.

    Args:
        url: checked, e.g. s3://bucket/studies/vit.
    """

    url: str

    def __truediv__(self, folder: str) -> Bucket:
        return Bucket(f"{self.url}/{folder}")

    def create(self, key: str, data: bytes) -> bool:
        """Make an object; False where there is one of this key, which stays as it is.

        A request that was answered only after it had been repeated may say False of its own object: see `first`.
        """
        with self._told("written"):
            from obstore.exceptions import AlreadyExistsError, PreconditionError

            try:
                self._repeated(lambda: self._store.put(self._key(key), data, mode="create"))
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def first(self, key: str, data: bytes) -> bytes:
        """Make an object unless there is one of this key; the bytes that are there then.

        They are one's own also where the request had to be repeated. Whoever must not take those of others for them
        puts in something that nobody else has.

        Raises:
            BucketError: the store refused; or refuses to make it, and doesn't have it either.
        """
        for _ in range(_TRIES):
            if self.create(key, data):
                return data
            there = self.get(key)
            if there is not None:
                return there
            # Of requests that come at the same time a store may refuse one before it has the other's object.
            time.sleep(_PAUSE_S)
        raise BucketError(f"{self.url}: {key} can't be made, though it isn't there. Try again.")

    def put(self, key: str, data: bytes | Path) -> None:
        """Make an object, or replace it.

        Raises:
            FileNotFoundError: the file isn't there.
        """
        with self._told("written"):
            try:
                self._store.put(self._key(key), data, chunk_size=CHUNK)
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error) or (isinstance(data, Path) and not data.exists()):
                    raise
                # Of an object in parts: the store has dropped those that it had.
                raise BucketError(self._refused("written", error)) from error

    def get(self, key: str, start: int = 0) -> bytes | None:
        """An object's bytes from the given one on; None where there is no such object."""
        try:
            with self._told("read"):
                options: Any = {"range": {"offset": start}} if start else {}
                return bytes(self._store.get(self._key(key), options=options).bytes())
        except FileNotFoundError:
            return None

    def stream(self, key: str) -> Iterator[bytes]:
        """An object's bytes in pieces.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._told("read"):
            for piece in self._store.get(self._key(key)).stream(CHUNK):
                yield bytes(piece)

    def fetch(self, key: str, path: Path) -> bool:
        """Write an object into a file; False where there is none. The file is there whole, or as it was."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several threads may fetch the same.
        beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            with beside.open("wb") as file:
                for piece in self.stream(key):
                    file.write(piece)
            beside.replace(path)
        except FileNotFoundError:
            return False
        finally:
            beside.unlink(missing_ok=True)
        return True

    def entries(self, prefix: str = "") -> list[Entry]:
        """The objects below a folder, by key."""
        with self._told("listed"):
            pieces: Any = self._store.list(self._key(prefix) or None, chunk_size=1000)
            cut = len(self._prefix) + 1 if self._prefix else 0
            return sorted(
                Entry(found["path"][cut:], found["size"], found["e_tag"]) for piece in pieces for found in piece
            )

    def folders(self) -> list[str]:
        """The names below which there are objects."""
        with self._told("listed"):
            found: Any = self._store.list_with_delimiter(self._prefix or None)["common_prefixes"]
            return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def copy(self, key: str, to: str) -> None:
        """Copy an object within the store; one that is there is replaced.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._told("written"):
            self._store.copy(self._key(key), self._key(to))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that aren't there don't matter."""
        paths = [self._key(key) for key in keys]
        if not paths:
            return
        with self._told("removed"):
            try:
                self._repeated(lambda: self._store.delete(paths))
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise
                # Google's says so of one that isn't there, and leaves the others.
                for path in paths:
                    with suppress(FileNotFoundError):
                        self._repeated(partial(self._store.delete, path))

    UNCONDITIONAL: ClassVar[str] = (
        "this object store makes an object though there is one of its name (it passes over If-None-Match), so two "
        "writers couldn't be told apart. Use another store, or a folder."
    )

    def is_conditional(self) -> bool:
        """Whether one may write here, and of two creators one succeeds; nothing is left behind.

        Raises:
            BucketError: one may not.
        """
        probe = f".sweep-probe-{uuid.uuid4().hex}"
        found = self.first(probe, b"one") == self.first(probe, b"two") == b"one"
        self.delete([probe])
        return found

    @property
    def _store(self) -> ObjectStore:
        return store_of("/".join(self.url.split("/", 3)[:3]))

    @property
    def _prefix(self) -> str:
        return (self.url.split("/", 3)[3:] or [""])[0]

    def _key(self, key: str) -> str:
        return "/".join(part for part in (self._prefix, key) if part)

    def _repeated(self, request: Callable[[], object]) -> None:
        """Repeat a request whose line broke after it was sent: the library does so only with some."""
        from obstore.exceptions import BaseError

        deadline = time.monotonic() + object_stores.RETRY_S
        while True:
            try:
                request()
            except BaseError as error:
                if _CUT not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say in words what the store refused.

        Raises:
            BucketError: it did.
        """
        # It says in words what is missing where obstore is.
        _ = self._store
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            if _NO_BUCKET in str(error):
                raise BucketError(self._refused(what, error)) from error
            raise
        except BaseError as error:
            raise BucketError(self._refused(what, error)) from error

    def _refused(self, what: str, error: Exception) -> str:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        if _NO_BUCKET in str(error):
            return f"{self.url}: there is no such bucket. Make it, or name another."
        if "RequestTimeTooSkewed" in str(error):
            return f"{self.url}: can't be {what}: the clock of this machine is wrong. Set it."
        if any(code in str(error) for code in _EXPIRED):
            return (
                f"{self.url}: can't be {what}: the credentials of this machine have expired. Renew them (a profile's "
                "with aws sso login)."
            )
        if _PROVIDER in str(error):
            said = str(error).partition(_PROVIDER)[2].partition("\n")[0]
            return f"{self.url}: can't be {what}: there are no credentials. {said}"
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "AccessDenied" in str(error):
            return (
                f"{self.url}: can't be {what}: access is denied. Give this machine's role, or the keys in its "
                "environment, the right to list, read, write and delete objects there."
            )
        return f"{self.url}: can't be {what} ({reason(error)})."
