"""A study's folder as a whole: made complete or not at all, opened by one driver at a time, read by anyone."""

from __future__ import annotations

import difflib
import fcntl
import gc
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.core.events import AnyEvent, StudyCreated
from sweep.core.loading import load
from sweep.core.resolved import difference, resolved_yaml, spec_sha256
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import IllegalTransitionError
from sweep.errors import StudyError
from sweep.store import events
from sweep.store.files import publish_folder
from sweep.store.paths import StudyPaths, studies, study_paths


class BusyError(StudyError):
    """Another driver holds the study."""


LOCK_WAIT_S = 2.0
"""A reader that asks whether a study is at work holds its lock for an instant; a driver waits that long for it."""


@dataclass(frozen=True)
class StoredStudy:
    """A study as its folder tells it."""

    paths: StudyPaths
    spec: StudySpec
    created: StudyCreated
    machine: StudyMachine

    @property
    def base_dir(self) -> Path:
        """What relative paths in its file are from: where it was launched, or SWEEP_BASE_DIR where that has moved."""
        return Path(os.environ.get("SWEEP_BASE_DIR") or self.created.base_dir)


def create(
    storage: Path, spec: StudySpec, *, base_dir: Path, now: float, version: str, lessons: bytes | None = None
) -> StudyPaths:
    """Make the folder of a new study.

    Args:
        storage: where.
        spec: what it is.
        base_dir: what relative paths in it are from.
        now: seconds since 1970.
        version: of this package.
        lessons: the contents of `warm_start.json`, for a study that learns from earlier ones.

    Raises:
        StudyError: the storage can't be written, or the study exists.
    """
    paths = study_paths(storage, spec.name)
    beside = StudyPaths(storage / f".{spec.name}.{os.getpid()}.tmp")
    created = StudyCreated(
        time=now, study=spec.name, spec_sha256=spec_sha256(spec), sweep_version=version, base_dir=str(base_dir)
    )
    try:
        for left in storage.glob(f".{spec.name}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        beside.root.mkdir(parents=True)
        beside.spec.write_text(resolved_yaml(spec), encoding="utf-8")
        if lessons is not None:
            beside.lessons.write_bytes(lessons)
        log = events.EventLog(beside.events)
        log.append(events.encode(created))
        log.sync()
        log.close()
        publish_folder(beside.root, paths.root)
    except FileExistsError as error:
        raise StudyError(f"{paths.root}: there already. Choose another name with --name.") from error
    except OSError as error:
        raise StudyError(f"storage {storage}: can't be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(beside.root, ignore_errors=True)
    return paths


def check_storage(storage: Path) -> None:
    """See that studies can be made in this folder; leaves it as it was.

    Raises:
        StudyError: it is a file, or can't be written.
    """
    existing = storage
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise StudyError(f"storage {storage}: {existing} is a file. Give a folder, e.g. --set storage=studies.")
    probe = existing / f".sweep-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise StudyError(
            f"storage {storage}: can't be written ({error.strerror}). Choose another folder with --set storage=PATH."
        ) from error


def read(paths: StudyPaths) -> StoredStudy:
    """The study in a folder, its events replayed.

    Raises:
        StudyError: the folder holds no study, or a damaged one.
    """
    history = events.read(paths.events)
    created = next(history, None)
    if not isinstance(created, StudyCreated):
        raise StudyError(f"{paths.events}: the first line must tell of the study's creation. The log is damaged.")
    spec = read_file(paths)
    if spec_sha256(spec) != created.spec_sha256:
        raise StudyError(
            f"{paths.spec}: changed since the study was made from it (its SHA-256 differs from the log's first line). "
            "Restore it; a changed search needs a new study."
        )
    with _nothing_collected():
        return StoredStudy(paths, spec, created, _replayed(paths, spec, itertools.chain([created], history)))


def read_file(paths: StudyPaths) -> StudySpec:
    """The resolved search file of a study, without its history.

    Raises:
        StudyError: it is damaged.
    """
    try:
        return load(paths.spec.read_text(encoding="utf-8"), source=str(paths.spec))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{paths.spec}: can't be read ({error}). The study is damaged.") from error


def _replayed(paths: StudyPaths, spec: StudySpec, history: Iterable[AnyEvent]) -> StudyMachine:
    machine = StudyMachine(spec)
    for number, event in enumerate(history, start=1):
        try:
            machine.handle(event)
        except (IllegalTransitionError, KeyError) as error:
            raise StudyError(
                f"{paths.events}:{number}: can't have happened ({error}). The log was changed or damaged."
            ) from error
    return machine


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Don't look for garbage while a state is built that is all kept: a third of what a large study's replay takes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def find(storage: Path, name: str) -> StudyPaths:
    """The folder of the study of this name.

    Raises:
        StudyError: there is none.
    """
    paths = study_paths(storage, name)
    if paths.events.is_file():
        return paths
    names = [each.root.name for each in studies(storage)]
    near = difflib.get_close_matches(name, names, n=1)
    there = f"There are: {', '.join(names)}." if names else "It holds no studies."
    hint = f" Did you mean {near[0]}?" if near else ""
    raise StudyError(f"no study {name!r} in {storage}. {there}{hint}")


def check_same(stored: StoredStudy, spec: StudySpec) -> None:
    """See that a file is the one that a study was made from.

    Raises:
        StudyError: it differs; the text names each difference.
    """
    if spec_sha256(spec) == stored.created.spec_sha256:
        return
    lines = "\n".join(f"  {line}" for line in difference(stored.spec, spec))
    raise StudyError(
        f"study {spec.name!r} exists in {stored.paths.root.parent} and was made from another file:\n{lines}\n"
        f"Launch under another name (--name {spec.name}-2), or go on with the old file (sweep resume {spec.name})."
    )


@contextmanager
def held(paths: StudyPaths) -> Iterator[None]:
    """Hold the study for one driver; the operating system lets go when the process dies.

    Raises:
        BusyError: another driver holds it.
        StudyError: its folder can't be written.
    """
    lock = FileLock(paths.lock, timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"study {paths.root.name!r} is at work in another process. Watch it: sweep status.") from error
    except OSError as error:
        raise StudyError(f"{paths.root}: can't be written ({error.strerror}).") from error
    try:
        yield
    finally:
        lock.release()


def is_at_work(paths: StudyPaths) -> bool:
    """Whether a driver holds the study; one who may not even read its lock can't know, and is told no."""
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
