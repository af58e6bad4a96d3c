"""A study in a bucket, and the copy of it that a machine works with.

::

    s3://BUCKET/FOLDER/STUDY/study.json            what it is: made once, by one of several that try
                             events/00000000000    the log: each object begins at the byte that its name says
                             driver/00000001.json  who works on it
                             control/ID.json       what people ask of it
                             trials/0017/          params.json, attempt-1.log, tensorboard/, checkpoints/epoch-3/
                             spec.yaml             for people; and at the end of a run optuna.log

Nothing can be appended to an object, so the log is a row of them, each created once: where two drivers wrote, one of
them fails. The copy has the layout of any study's folder, and its `.origin` says how much of its log is the bucket's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from sweep.errors import StudyError
from sweep.store.buckets import Bucket, BucketError
from sweep.store.files import append_durably, write_atomic
from sweep.store.paths import BucketFolder, StudyPaths, study_paths

STUDY, EVENTS, DRIVER, CONTROL = "study.json", "events", "driver", "control"

_AT_ONCE = 8
_TRIES = 5


@dataclass(frozen=True)
class Origin:
    """The object that makes a study: with it the study is there, complete.

    Attributes:
        id: unlike that of any other study, also of one of this name that was deleted.
        created: the first line of the log.
        spec: the resolved search file.
        lessons: the contents of `warm_start.json`.
    """

    id: str
    created: str
    spec: str
    lessons: str | None = None


@dataclass(frozen=True)
class Copied:
    """What a copy knows of its bucket.

    Attributes:
        id: of the study.
        sent: so many bytes of the log are in the bucket.
    """

    id: str
    sent: int


_ORIGIN = TypeAdapter(Origin)
_COPIED = TypeAdapter(Copied)


def bucket_of(paths: StudyPaths) -> Bucket:
    """Where the study's objects are.

    Raises:
        ValueError: it is no study in a bucket.
    """
    if paths.url is None:
        raise ValueError(f"{paths.root} is no copy of a study in a bucket")
    return Bucket(paths.url)


def names(storage: BucketFolder) -> list[str]:
    """What may be studies below a place in a bucket."""
    return Bucket(storage.url).folders()


def studies(storage: BucketFolder) -> list[StudyPaths]:
    """The studies below a place in a bucket, by name."""
    found = [study_paths(storage, name) for name in names(storage)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there = list(pool.map(exists, found))
    return [paths for paths, is_one in zip(found, there, strict=True) if is_one]


def exists(paths: StudyPaths) -> bool:
    """Whether there is such a study."""
    return bucket_of(paths).get(STUDY) is not None


def create(paths: StudyPaths, origin: Origin) -> None:
    """Make a study.

    Raises:
        FileExistsError: there is one of this name.
        StudyError: there is a log without a study.
        BucketError: the store refused.
    """
    bucket = bucket_of(paths)
    if bucket.get(STUDY) is None and bucket.entries(EVENTS):
        raise StudyError(
            f"{bucket.url}/{EVENTS}: the log of a study that was removed otherwise. Remove that too, or choose another "
            "name with --name."
        )
    said = _ORIGIN.dump_json(origin, indent=1)
    if bucket.first(STUDY, said) != said:
        raise FileExistsError(paths.url)
    bucket.put(paths.spec.name, origin.spec.encode())


@contextmanager
def copying(paths: StudyPaths) -> Iterator[None]:
    """Hold the right to change the copy here."""
    paths.root.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.root / ".copying"):
        yield


def refresh(paths: StudyPaths) -> Copied:
    """Bring the copy here up to date; nobody on this machine may work on the study, and `copying` is held.

    What a driver that died here had written and not sent stays, unless somebody went on elsewhere.

    Raises:
        StudyError: there is no such study, or its log has a gap.
        BucketError: the store refused.
    """
    origin, copied = settle(paths)
    bucket = bucket_of(paths)
    _put_right(paths.spec, origin.spec)
    if origin.lessons is not None:
        _put_right(paths.lessons, origin.lessons)
    copied = Copied(origin.id, _take(paths.events, bucket, copied.sent, origin.created.encode()))
    keep(paths, copied)
    return copied


def settle(paths: StudyPaths) -> tuple[Origin, Copied]:
    """See that the copy here is of this study, and not of an earlier one of its name; `copying` is held.

    Raises:
        StudyError: there is no such study.
        BucketError: the store refused.
    """
    origin = _origin(bucket_of(paths))
    if origin is None:
        raise StudyError(f"{paths.url}: no study here.")
    copied = _copied(paths)
    if copied is None or copied.id != origin.id:
        _clear(paths.root)
        copied = Copied(origin.id, 0)
        keep(paths, copied)
    return origin, copied


def _put_right(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode():
        path.write_bytes(text.encode())


def keep(paths: StudyPaths, copied: Copied) -> None:
    """Note how much of the log is in the bucket. Less than there is does no harm."""
    place = paths.root / ".origin"
    beside = place.with_name(f".origin.{os.getpid()}.tmp")
    beside.write_bytes(_COPIED.dump_json(copied))
    beside.replace(place)


def segment(start: int) -> str:
    """The key of the part of the log that begins at this byte."""
    return f"{EVENTS}/{start:015d}"


def segments(bucket: Bucket) -> list[tuple[int, int]]:
    """Where each part of the log begins and ends, by beginning; one may cover others."""
    found = [(int(entry.key.rpartition("/")[2]), entry.size) for entry in bucket.entries(EVENTS)]
    return [(start, start + size) for start, size in found]


def _origin(bucket: Bucket) -> Origin | None:
    data = bucket.get(STUDY)
    if data is None:
        return None
    try:
        return _ORIGIN.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StudyError(f"{bucket.url}/{STUDY}: not of a study of this version ({first['msg']}).") from error


def _copied(paths: StudyPaths) -> Copied | None:
    try:
        return _COPIED.validate_json((paths.root / ".origin").read_bytes())
    except (OSError, ValidationError):
        return None


def _clear(root: Path) -> None:
    """Remove the copy of another study of this name; locks stay, for they may be held."""
    for child in root.iterdir():
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        elif child.name not in ("lock", ".copying"):
            child.unlink(missing_ok=True)


def _take(log: Path, bucket: Bucket, sent: int, created: bytes) -> int:
    """Take in what of the log is in the bucket and not here; how much of it is then known to be in the bucket."""
    log.touch()
    with log.open("rb") as file:
        here = file.seek(0, os.SEEK_END)
        sent = file.seek(min(sent, here))
        unsent = file.read()
    new = _read_from(bucket, sent)
    if not here and not new:
        # Its first driver died before it sent anything.
        append_durably(log, created)
    elif len(new) > len(unsent) and new.startswith(unsent):
        append_durably(log, new[len(unsent) :])
    elif not unsent.startswith(new):
        # Somebody went on elsewhere. Whoever follows the file is to see that it is another one.
        write_atomic(log, log.read_bytes()[:sent] + new)
    return sent + len(new)


def _read_from(bucket: Bucket, start: int) -> bytes:
    """The log from a byte on.

    Raises:
        StudyError: it has a gap.
    """
    for _ in range(_TRIES):
        chain = _chain(bucket, start)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            parts = list(pool.map(lambda part: bucket.get(segment(part[0]), part[1] - part[0]), chain))
        # Parts are put together now and then, and one that was listed may be gone.
        if all(part is not None for part in parts):
            lengths = [end - begin for _, begin, end in chain]
            return b"".join(part[:length] for part, length in zip(parts, lengths, strict=True) if part)
    raise BucketError(f"{bucket.url}: its log changes faster than it can be read. Try again.")


def _chain(bucket: Bucket, start: int) -> list[tuple[int, int, int]]:
    """Of which object to take which bytes of the log, from a byte on: (its beginning, from, to)."""
    chain: list[tuple[int, int, int]] = []
    position, best = start, (0, 0)
    there = segments(bucket)
    for begin, end in there:
        if begin > position and best[1] > position:
            chain.append((best[0], position, best[1]))
            position = best[1]
        if begin > position:
            raise StudyError(f"{bucket.url}: the log has a gap at byte {position}. The study is damaged.")
        best = max(best, (begin, end), key=lambda part: part[1])
    if best[1] > position:
        chain.append((best[0], position, best[1]))
    return chain
