"""Carries what a driver writes to the study's bucket, and brings what people ask of it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from sweep.core.events import Request
from sweep.errors import StorageError
from sweep.store import control, parcels
from sweep.store.buckets import Bucket, BucketError
from sweep.store.events import EventLog
from sweep.store.lease import Lease
from sweep.store.paths import StudyPaths
from sweep.store.study_bucket import CONTROL, STUDY, Copied, bucket_of, keep, segment

EVERY_S = 2.0
"""How often events are sent that nothing waits for: what a driver's machine takes along when it goes."""

TOGETHER = 256
"""So many parts of the log are put together to one."""

_FEW = 8
"""At a run's end so many are worth it."""

URGENT = ("run_started", "attempt_ended", "controlled", "promoted", "promotions_done", "run_ended")
"""Events that are in the bucket before anyone acts on them."""

_URGENT = tuple(f'"type":"{kind}"'.encode() for kind in URGENT)
_CONTROLLED = b'"type":"controlled"'
_AT_ONCE = 4
_LOG = logging.getLogger(__name__)


class TakenError(StorageError):
    """This driver may not write any more."""


class Sender:
    """The driver's way to its study's bucket, from `start` to `close`.

    Args:
        paths: of the study; its copy is up to date.
        copied: what the copy knows.
        lease: held.
    """

    def __init__(self, paths: StudyPaths, copied: Copied, lease: Lease, *, every_s: float = EVERY_S) -> None:
        self.bucket: Bucket = bucket_of(paths)
        self._paths = paths
        self._id = copied.id
        self._sent = copied.sent
        self._lease = lease
        self._every_s = every_s
        self._sending = threading.Lock()
        self._parts: list[int] = []
        self._jobs: deque[tuple[int, Callable[[], None]]] = deque()
        self._asked: set[str] = set()
        self._failure: BucketError | None = None
        self._failed = 0.0
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="bucket")
        self._thread = threading.Thread(target=self._go_on, name="sender", daemon=True)

    def start(self) -> None:
        """Begin to send by itself, and to look for requests."""
        self.look_for_requests()
        self._thread.start()

    def send(self) -> None:
        """Put all complete lines of the log into the bucket, and wait until they are there.

        Raises:
            StorageError: the store refused, or another driver works on the study.
        """
        began = time.monotonic()
        with self._sending:
            if self._failure is not None and self._failed > began:
                # It was tried while we waited: whoever waits for an answer doesn't wait twice as long.
                raise self._failure
            try:
                self._send()
            except BucketError as error:
                self._failure, self._failed = error, time.monotonic()
                raise
            self._failure = None

    def unreachable(self, error: BucketError) -> BucketError:
        """What to tell of a run that ends for it."""
        return BucketError(f"{error} Mend that, then go on: sweep resume {self.bucket.url}")

    def upload(self, path: Path) -> None:
        """Put a file of the study into the bucket, soon."""
        self._later(lambda: self._put(path))

    def do(self, job: Callable[[], None]) -> None:
        """Do something soon, after the events that were written until now are in the bucket."""
        self._later(job, after=self._size())

    def answered(self, request: str) -> None:
        """A request has its answer in the log."""
        self.do(lambda: self.bucket.delete([_request(request)]))

    def remove(self, key: str) -> None:
        """Remove a checkpoint, once the events are in the bucket after which nobody wants it."""
        self.do(lambda: parcels.remove(self.bucket, key))

    def look_for_requests(self) -> None:
        """Put what people ask into the control file here."""
        new = [entry.key for entry in self.bucket.entries(CONTROL) if entry.key not in self._asked]
        requests = []
        for key in new:
            data = self.bucket.get(key)
            try:
                requests.append((key, Request.model_validate_json(data or b"")))
            except ValidationError:
                self._asked.add(key)
                _LOG.warning("%s/%s: no request; it is passed over.", self.bucket.url, key)
        for key, request in sorted(requests, key=lambda each: each[1].time):
            control.append(self._paths.control, request)
            self._asked.add(key)

    def close(self, files: Iterable[Path] = ()) -> None:
        """Send what is left, and these files too.

        Raises:
            StorageError: not all of the log could be sent; it stays here, and goes with the next resume here.
        """
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._failure is not None:
                raise self.unreachable(self._failure)
            self.send()
            for path in files:
                self.upload(path)
            self._work()
            _told(lambda: self._put_together(_FEW))
        finally:
            self._pool.shutdown(wait=self._failure is None, cancel_futures=True)

    def _send(self) -> None:
        while data := self._unsent():
            if self._lease.lost:
                raise TakenError(self._taken())
            there = self.bucket.first(segment(self._sent), data)
            # It may be less, and our own: a request whose answer never came.
            if not there or not data.startswith(there):
                raise TakenError(self._taken())
            self._parts.append(self._sent)
            self._sent += len(there)
            keep(self._paths, Copied(self._id, self._sent))

    def _go_on(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self.send()
                self._work()
                self.look_for_requests()
                self._put_together(TOGETHER)
            except TakenError as error:
                _LOG.error("%s", error)
                return
            except (StorageError, OSError) as error:
                # The driver hears of it when it has something to send that can't wait.
                _LOG.warning("%s It is tried again.", error)

    def _later(self, job: Callable[[], None], after: int = 0) -> None:
        self._jobs.append((after, job))

    def _work(self) -> None:
        """Do what is due, several things at once."""
        due = [self._jobs.popleft() for _ in range(len(self._jobs))]
        self._jobs.extend(each for each in due if each[0] > self._sent)
        list(self._pool.map(_told, [job for after, job in due if after <= self._sent]))

    def _put(self, path: Path) -> None:
        if path.is_file():
            self.bucket.put(path.relative_to(self._paths.root).as_posix(), path)

    def _size(self) -> int:
        try:
            return self._paths.events.stat().st_size
        except FileNotFoundError:
            return 0

    def _unsent(self) -> bytes:
        with self._paths.events.open("rb") as file:
            file.seek(self._sent)
            data = file.read()
        return data[: data.rfind(b"\n") + 1]

    def _put_together(self, at_least: int) -> None:
        """Make one part of many, so that a reader needs few requests: the first is replaced by all, then they go.

        Only of those that this driver has made. An earlier one that was taken for dead may come back: it finds the
        first part of its follower in its way, for good, and what it still does to its own changes nothing.
        """
        with self._sending:
            if len(self._parts) < at_least:
                return
            parts, end = self._parts, self._sent
            with self._paths.events.open("rb") as file:
                file.seek(parts[0])
                data = file.read(end - parts[0])
            self.bucket.put(segment(parts[0]), data)
            self.bucket.delete(segment(start) for start in parts[1:])
            # Large enough to be left alone from now on.
            self._parts = []

    def _taken(self) -> str:
        if self.bucket.get(STUDY) is None:
            return f"{self.bucket.url}: the study was removed while this driver worked on it."
        return (
            f"{self.bucket.url}: another driver works on the study, which took this one for dead. What this one has "
            f"done since isn't in the study. Watch the other: sweep status {self.bucket.url}"
        )


class SentLog(EventLog):
    """An event log whose lines go to a bucket too: what `URGENT` names before `sync` returns, the others soon after."""

    def __init__(self, path: Path, sender: Sender) -> None:
        super().__init__(path)
        self._sender = sender
        self._urgent = False

    def append(self, *lines: bytes) -> None:
        """See `EventLog`."""
        super().append(*lines)
        for line in lines:
            self._urgent |= any(kind in line for kind in _URGENT)
            if _CONTROLLED in line:
                self._sender.answered(json.loads(line)["request"]["id"])

    def sync(self) -> None:
        """See `EventLog`.

        Raises:
            StorageError: the disk or the bucket refused.
        """
        super().sync()
        if self._urgent:
            try:
                self._sender.send()
            except BucketError as error:
                raise self._sender.unreachable(error) from error
            self._urgent = False


def ask(bucket: Bucket, request: Request) -> None:
    """Leave a request for whoever works on the study."""
    bucket.put(_request(request.id), request.model_dump_json(exclude_none=True).encode())


def _request(name: str) -> str:
    return f"{CONTROL}/{name}.json"


def _told(job: Callable[[], None]) -> None:
    try:
        job()
    except (BucketError, OSError) as error:
        # A copy for people, or what nobody wants any more: the study doesn't depend on it.
        _LOG.warning("%s", error)
