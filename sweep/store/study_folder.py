"""A study as a whole: made complete or not at all, and read by anyone. In a folder, or a bucket and a folder here."""

from __future__ import annotations

import difflib
import gc
import itertools
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep.core.events import AnyEvent, StudyCreated
from sweep.core.loading import load
from sweep.core.resolved import difference, resolved_yaml, spec_sha256
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import IllegalTransitionError
from sweep.errors import StudyError
from sweep.store import events, holding, study_bucket
from sweep.store.buckets import Bucket, BucketError
from sweep.store.files import publish_folder
from sweep.store.paths import BUCKET_CACHE, BucketFolder, Place, StudyPaths, study_paths
from sweep.store.paths import studies as studies_in_folder

_TAIL = 2**16
"""Bytes at the end of a log in which its last line is looked for."""


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
    storage: Place, spec: StudySpec, *, base_dir: Path, now: float, version: str, lessons: bytes | None = None
) -> StudyPaths:
    """Make a new study.

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
    created = StudyCreated(
        time=now, study=spec.name, spec_sha256=spec_sha256(spec), sweep_version=version, base_dir=str(base_dir)
    )
    try:
        if isinstance(storage, BucketFolder):
            _create_in_bucket(paths, spec, created, lessons)
        else:
            _create_in_folder(storage, paths, spec, created, lessons)
    except FileExistsError as error:
        raise StudyError(f"{paths.told(paths.root)}: there already. Choose another name with --name.") from error
    except OSError as error:
        raise StudyError(f"storage {storage}: can't be written ({error.strerror}).") from error
    except BucketError as error:
        raise StudyError(f"storage {storage}: can't be written. {error}") from error
    return paths


def _create_in_bucket(paths: StudyPaths, spec: StudySpec, created: StudyCreated, lessons: bytes | None) -> None:
    origin = study_bucket.Origin(
        id=uuid.uuid4().hex,
        created=events.encode(created).decode(),
        spec=resolved_yaml(spec),
        lessons=lessons.decode() if lessons is not None else None,
    )
    study_bucket.create(paths, origin)


def _create_in_folder(
    storage: Path, paths: StudyPaths, spec: StudySpec, created: StudyCreated, lessons: bytes | None
) -> None:
    beside = StudyPaths(storage / f".{spec.name}.{os.getpid()}.tmp")
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
    finally:
        shutil.rmtree(beside.root, ignore_errors=True)


def check_storage(storage: Place) -> None:
    """See that studies can be made in this folder; leaves it as it was.

    Raises:
        StudyError: it is a file, or can't be written.
    """
    if isinstance(storage, BucketFolder):
        _check_bucket(storage)
        return
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


def _check_bucket(storage: BucketFolder) -> None:
    try:
        conditional = Bucket(storage.url).is_conditional()
    except BucketError as error:
        raise StudyError(f"storage {error}") from error
    if not conditional:
        raise StudyError(f"storage {storage}: {Bucket.UNCONDITIONAL}")
    try:
        storage.copy.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"storage {storage}: a copy of what is there has to be kept here, and can't be ({error}). Name a folder "
            f"that this user may write with {BUCKET_CACHE}."
        ) from error


def read(paths: StudyPaths) -> StoredStudy:
    """The study in a folder, its events replayed; one in a bucket is brought up to date here before.

    Raises:
        StudyError: the folder holds no study, or a damaged one.
        BucketError: its bucket can't be reached.
    """
    holding.up_to_date(paths)
    history = events.read(paths.events)
    spec, created = begun(paths, next(history, None))
    with nothing_collected():
        return StoredStudy(paths, spec, created, _replayed(paths, spec, itertools.chain([created], history)))


def begun(paths: StudyPaths, first: AnyEvent | None) -> tuple[StudySpec, StudyCreated]:
    """The search file of a study and its log's first event, which belong together.

    Raises:
        StudyError: they don't, or are damaged.
    """
    if not isinstance(first, StudyCreated):
        raise StudyError(f"{paths.events}: the first line must tell of the study's creation. The log is damaged.")
    spec = read_file(paths)
    if spec_sha256(spec) != first.spec_sha256:
        raise StudyError(
            f"{paths.spec}: changed since the study was made from it (its SHA-256 differs from the log's first line). "
            "Restore it; a changed search needs a new study."
        )
    return spec, first


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
        take_in(paths, machine, number, event)
    return machine


def take_in(paths: StudyPaths, machine: StudyMachine, number: int, event: AnyEvent) -> None:
    """Let a study's state take in the event in a line of its log.

    Raises:
        StudyError: it can't have happened.
    """
    try:
        machine.handle(event)
    except (IllegalTransitionError, KeyError) as error:
        raise StudyError(
            f"{paths.events}:{number}: can't have happened ({error}). The log was changed or damaged."
        ) from error


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Don't look for garbage while a state is built that is all kept: a third of what a large study's replay takes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def exists(paths: StudyPaths) -> bool:
    """Whether there is such a study.

    Raises:
        BucketError: its bucket can't be reached.
    """
    return paths.events.is_file() if paths.url is None else study_bucket.exists(paths)


def studies(storage: Place) -> list[StudyPaths]:
    """The studies of a storage, by name.

    Raises:
        BucketError: its bucket can't be reached.
    """
    return study_bucket.studies(storage) if isinstance(storage, BucketFolder) else studies_in_folder(storage)


def last_activity(paths: StudyPaths) -> float:
    """When something last happened to a study, in seconds since 1970; its copy is up to date."""
    try:
        if paths.url is None:
            # Every event of a study is a line in this file.
            return paths.events.stat().st_mtime
        with paths.events.open("rb") as file:
            file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return float(json.loads(file.read().splitlines()[-1])["time"])
    except (OSError, ValueError, LookupError):
        return 0.0


def find(storage: Place, name: str) -> StudyPaths:
    """The files of the study of this name; a study in a bucket is brought here.

    Raises:
        StudyError: there is none.
        BucketError: its bucket can't be reached.
    """
    paths = study_paths(storage, name)
    if exists(paths):
        holding.up_to_date(paths)
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
        f"study {spec.name!r} exists in {stored.paths.storage} and was made from another file:\n{lines}\n"
        f"Launch under another name (--name {spec.name}-2), or go on with the old file (sweep resume {spec.name})."
    )
