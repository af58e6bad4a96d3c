"""The folders that a study needs: can they be written, is what was synced kept, how much room is there."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sweep.core.findings import Finding
from sweep.doctor.machine import GIB
from sweep.errors import InputError
from sweep.store.buckets import Bucket, BucketError
from sweep.store.files import fsync_dir
from sweep.store.markers import existing
from sweep.store.paths import BUCKET_CACHE, DATA_CACHE, BucketFolder, Place, data_cache

LOW_GIB = 5.0
SLOW_REQUEST_S = 0.5
SLOW_SYNC_S = 0.25
SKEW_S = 2.0
_LOCK_S = 5.0
_FLEETING = {
    "tmpfs": "It is in memory and gone after a restart. Name a folder on a disk.",
    "ramfs": "It is in memory and gone after a restart. Name a folder on a disk.",
    "overlay": "It goes with the container. Mount a volume there, e.g. -v $PWD/studies:/studies.",
}


@dataclass(frozen=True)
class Trial:
    """A file that was written, synced, locked and renamed.

    Attributes:
        sync_s: how long the disk took.
        skew_s: the file's time less this machine's: of a file server, the difference of the clocks.
    """

    sync_s: float
    skew_s: float


def folders(storage: Place, registry: Place) -> Iterator[Finding]:
    """A finding each: storage, registry, data cache."""
    for name, place in (("storage", storage), ("registry", registry)):
        yield in_bucket(name, place) if isinstance(place, BucketFolder) else lasting(name, place)
    yield cache()


def in_bucket(name: str, place: BucketFolder) -> Finding:
    """A place in a bucket for studies or models, which need not have any yet."""
    began = time.monotonic()
    try:
        conditional = Bucket(place.url).is_conditional()
    except (BucketError, InputError) as error:
        return Finding(name, "fail", str(error), "Without it no study begins; docs/buckets.md says who may do what.")
    if not conditional:
        return Finding(name, "fail", place.url, f"{Bucket.UNCONDITIONAL[0].upper()}{Bucket.UNCONDITIONAL[1:]}")
    request_s = (time.monotonic() - began) / 3
    told = f"{place.url}, a request takes {1000 * request_s:.0f} ms, copies in {place.copy}"
    try:
        free_gib = free(existing(place.copy))
    except OSError as error:
        return Finding(name, "fail", f"{told}: {error}", f"Name a folder that can be written: {BUCKET_CACHE}=FOLDER.")
    told += f" ({free_gib:.0f} GiB free)"
    if request_s > SLOW_REQUEST_S:
        return Finding(name, "warn", told, "The end of each attempt waits for one. A bucket in this region is quicker.")
    return Finding(name, "ok", told)


def lasting(name: str, folder: Path) -> Finding:
    """A folder whose files have to survive: studies or models. It need not exist yet."""
    place = existing(folder)
    told = f"{folder.absolute()}, {free(place):.0f} GiB free" + ("" if folder.exists() else ", not made yet")
    try:
        trial = attempt(place)
    except Timeout:
        advice = "Locks don't work there: two drivers could write one study. Mount NFS 4, or with lockd."
        return Finding(name, "fail", told, advice)
    except OSError as error:
        reason = f"{told}: {error.strerror or error}"
        return Finding(name, "fail", reason, f"User {os.getuid()} must be able to write there: chown, or name another.")
    told += f", {file_system(place)}, synced in {1000 * trial.sync_s:.0f} ms"
    if abs(trial.skew_s) > SKEW_S:
        advice = "The file server's clock differs from this machine's. Set both by NTP."
        return Finding(name, "warn", f"{told}, clock {trial.skew_s:+.0f} s", advice)
    if (kind := file_system(place)) in _FLEETING:
        return Finding(name, "warn", told, _FLEETING[kind])
    if free(place) < LOW_GIB:
        return Finding(
            name, "warn", told, "Checkpoints may fill it. Make room, or lower checkpoint.keep_best_in_study."
        )
    if trial.sync_s > SLOW_SYNC_S:
        return Finding(
            name, "warn", told, "Each event waits for it. A nearer or quicker disk makes short trials shorter."
        )
    return Finding(name, "ok", told)


def cache() -> Finding:
    """Where decoded data is kept, once a node; losing it costs only time."""
    if os.environ.get(DATA_CACHE) == "":
        return Finding("data cache", "warn", "switched off", f"Each process decodes for itself. Unset {DATA_CACHE}.")
    try:
        folder = data_cache()
        place = existing(folder)
        told = f"{folder}, {free(place):.0f} GiB free"
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        advice = f"Each process decodes for itself. Name a folder that can be written: {DATA_CACHE}=/data/cache."
        return Finding("data cache", "warn", f"can't be written: {error.strerror or error}", advice)
    if free(place) < LOW_GIB:
        advice = f"Data may not fit. Name a larger disk of this node: {DATA_CACHE}=FOLDER."
        return Finding("data cache", "warn", told, advice)
    return Finding("data cache", "ok", told)


def attempt(folder: Path) -> Trial:
    """Do once in a folder what a study does all the time.

    Raises:
        OSError: it can't be written, synced or renamed in.
        Timeout: a file there can't be locked.
    """
    with tempfile.TemporaryDirectory(prefix=".sweep-doctor-", dir=folder) as inside:
        path = Path(inside) / "beside"
        began = time.monotonic()
        with path.open("wb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        path.rename(Path(inside) / "final")
        fsync_dir(Path(inside))
        sync_s = time.monotonic() - began
        skew_s = (Path(inside) / "final").stat().st_mtime - time.time()
        with FileLock(Path(inside) / "lock", timeout=_LOCK_S):
            pass
    return Trial(sync_s, skew_s)


def free(folder: Path) -> float:
    """GiB that may still be written there."""
    return shutil.disk_usage(folder).free / GIB


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Its kind, as ext4 or nfs4: of the mounts that it is in, the nearest; "?" where that can't be known."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return "?"
    found = ("", "?")
    resolved = folder.resolve()
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        # The kernel writes a space in a path as \040.
        mounted = place.replace("\\040", " ")
        if resolved.is_relative_to(mounted) and len(mounted) >= len(found[0]):
            found = (mounted, kind)
    return found[1]
