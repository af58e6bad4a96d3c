"""Holding a study: one driver at a time may write to it, in a folder or in a bucket."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.core.spec import StudySpec
from sweep.errors import StudyError
from sweep.store import lease, parcels, study_bucket
from sweep.store.bucket_files import BucketFiles
from sweep.store.buckets import BucketError
from sweep.store.control import Inbox
from sweep.store.events import EventLog
from sweep.store.lease import HeldError, Lease, machine_of
from sweep.store.paths import BUCKET_CACHE, BucketFolder, StudyPaths, TrialPaths
from sweep.store.sender import Sender, SentLog
from sweep.store.trial_files import TrialFiles

LOCK_WAIT_S = 2.0
"""A reader that asks whether a study is at work holds its lock for an instant; a driver waits that long for it."""

Say = Callable[[str], None]


class BusyError(StudyError):
    """Another driver holds the study."""


class Hold:
    """What whoever holds a study may do with it."""

    def __init__(self, paths: StudyPaths, sender: Sender | None = None) -> None:
        self.paths = paths
        self._sender = sender

    def log(self) -> EventLog:
        """The study's log, open for appending."""
        if self._sender is None:
            return EventLog(self.paths.events)
        return SentLog(self.paths.events, self._sender)

    def files(self, spec: StudySpec) -> TrialFiles:
        """The files of its trials."""
        return TrialFiles(self.paths, spec) if self._sender is None else BucketFiles(self.paths, spec, self._sender)

    def inbox(self) -> Inbox:
        """What people ask of it."""
        return Inbox(self.paths.control)


@contextmanager
def held(paths: StudyPaths, say: Say = lambda _: None) -> Iterator[Hold]:
    """Hold the study for one driver.

    Of a folder the operating system lets go when the process dies. Of a bucket another machine sees within seconds that
    this one is dead (`sweep.store.lease`). The copy of a study in a bucket is brought up to date.

    Args:
        paths: of the study.
        say: told when one has to wait.

    Raises:
        BusyError: another driver holds it.
        StudyError: its folder can't be written, or there is no such study.
        BucketError: its bucket can't be reached.
    """
    if paths.url is not None:
        paths.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.lock, timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"study {paths.root.name!r} is at work in another process. Watch it: sweep status.") from error
    except OSError as error:
        raise StudyError(f"{paths.root}: can't be written ({error.strerror}).") from error
    try:
        if paths.url is None:
            yield Hold(paths)
        else:
            with _held_in_bucket(paths, say) as hold:
                yield hold
    finally:
        lock.release()


@contextmanager
def _held_in_bucket(paths: StudyPaths, say: Say) -> Iterator[Hold]:
    bucket = study_bucket.bucket_of(paths)
    mine = Lease(bucket / study_bucket.DRIVER, _machine(paths), say)
    try:
        mine.acquire()
    except HeldError as error:
        raise BusyError(
            f"study {paths.root.name!r} is at work: {error.holder}. Watch it: sweep status {paths.url}"
        ) from error
    try:
        with study_bucket.copying(paths):
            copied = study_bucket.refresh(paths)
        sender = Sender(paths, copied, mine)
        sender.start()
        before = _written(paths)
        ended = False
        try:
            yield Hold(paths, sender)
            ended = True
        finally:
            now = _written(paths)
            # They are in the bucket, and nobody here trains any more.
            parcels.forget(paths.trials, keep=0)
            try:
                sender.close(path for path, state in now.items() if before.get(path) != state)
            except BucketError:
                # Nor could it be said that this driver lets go; it isn't waited for a second time.
                mine.lost = True
                if ended:
                    raise
    finally:
        mine.release()


def _written(paths: StudyPaths) -> dict[Path, tuple[int, int]]:
    """What the driver itself writes for other tools, with size and time: it goes to the bucket at a run's end."""
    files = [paths.optuna_journal, *paths.trials.glob("*/tensorboard/*")]
    stats = {path: path.stat() for path in files if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def is_at_work(paths: StudyPaths) -> bool:
    """Whether a driver holds the study; one who may not even read its lock can't know, and is told no.

    Raises:
        BucketError: its bucket can't be reached.
    """
    if paths.url is None:
        return locked_here(paths)
    drivers = study_bucket.bucket_of(paths) / study_bucket.DRIVER
    return lease.is_held(drivers, _machine(paths), lambda: locked_here(paths))


def locked_here(paths: StudyPaths) -> bool:
    """Whether a process of this machine holds the lock."""
    try:
        handle = os.open(paths.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, so that two who look don't take each other for a driver.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def up_to_date(paths: StudyPaths) -> None:
    """Bring the copy of a study in a bucket up to date, for whoever reads it; a driver here keeps it so itself.

    Raises:
        StudyError: there is no such study, or the copy's folder can't be written.
        BucketError: its bucket can't be reached.
    """
    if paths.url is None or locked_here(paths):
        return
    try:
        with study_bucket.copying(paths):
            if not locked_here(paths):
                study_bucket.refresh(paths)
    except OSError as error:
        raise StudyError(
            f"{paths.root}: can't be written ({error.strerror}). It holds a copy of {paths.url}; name another folder "
            f"with {BUCKET_CACHE}."
        ) from error


def bring(paths: StudyPaths, file: Path) -> None:
    """Bring a file of a study out of its bucket, as it is there; what this machine itself writes is newer.

    Args:
        paths: of the study.
        file: where it is, or would be, in the study's folder here.

    Raises:
        BucketError: the bucket can't be reached.
    """
    if paths.url is None or (file.is_file() and locked_here(paths)):
        return
    trial = next((folder for folder in file.parents if folder.parent == paths.trials), None)
    with parcels.free(trial) if trial is not None and file.is_file() else nullcontext(True) as is_free:
        # An attempt that is at work here goes on writing into the file that it has.
        if is_free:
            study_bucket.bucket_of(paths).fetch(file.relative_to(paths.root).as_posix(), file)


def bring_curves(paths: StudyPaths) -> None:
    """Bring TensorBoard's files out of a study's bucket, those that aren't here as they are there.

    Raises:
        BucketError: the bucket can't be reached.
    """
    if paths.url is None:
        return
    for entry in study_bucket.bucket_of(paths).entries(paths.trials.name):
        file = paths.root / entry.key
        trial = TrialPaths(paths.trials / file.relative_to(paths.trials).parts[0])
        is_one = trial.tensorboard in file.parents
        if is_one and not (file.is_file() and file.stat().st_size == entry.size):
            bring(paths, file)


def _machine(paths: StudyPaths) -> str:
    storage = paths.storage
    if not isinstance(storage, BucketFolder):
        raise TypeError(f"{paths.root} is no copy")
    return machine_of(storage.copy)
