"""All studies of a storage, read when they have changed."""

from __future__ import annotations

import difflib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from sweep.errors import StudyError, SweepError
from sweep.store import holding, study_folder
from sweep.store.paths import Place, StudyPaths
from sweep.watch.tables import damaged_row
from sweep.watch.ui.feed import Feed

MOST_OPEN = 12
"""Studies whose state is kept in memory; of the others only the line in the list."""

Stamp = tuple[int, int, int, bool]


class Shelf:
    """The studies of a storage; every method may be called from any thread.

    Args:
        storage: a folder, or one in a bucket.

    Attributes:
        revision: grows with each change of a row.
        problem: why the storage can't be read; empty where it can.
    """

    def __init__(self, storage: Place) -> None:
        self.storage = storage
        self.revision = 0
        self.problem = ""
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._feeds: OrderedDict[str, Feed] = OrderedDict()
        self._rows: dict[str, dict[str, Any]] = {}
        self._stamps: dict[str, Stamp] = {}

    def open(self, name: str) -> Feed:
        """The feed of a study, as it was left by its last look.

        Raises:
            StudyError: there is no such study.
            BucketError: the storage can't be reached.
        """
        with self._lock:
            if name in self._feeds and self._feeds[name].paths.url is not None:
                # It was there, and to ask a bucket for its list takes its time.
                self._feeds.move_to_end(name)
                return self._feeds[name]
        # A name is one of those that are there, and never a path.
        names = {paths.root.name: paths for paths in _shown(self.storage)}
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise StudyError(f"no study {name!r} in {self.storage}.{hint}")
        return self._feed(names[name])

    def _feed(self, paths: StudyPaths) -> Feed:
        name = paths.root.name
        with self._lock:
            feed = self._feeds.pop(name, None) or Feed(paths)
            self._feeds[name] = feed
            while len(self._feeds) > MOST_OPEN:
                self._feeds.popitem(last=False)
            return feed

    def rows(self) -> list[dict[str, Any]]:
        """A line each, the latest activity first."""
        with self._lock:
            return sorted(self._rows.values(), key=lambda row: (-row["updated"], row["name"]))

    def look(self, told: Callable[[], None] = lambda: None) -> bool:
        """Read what has changed; whether anything had.

        Args:
            told: called after each study that was read, which can take a second.
        """
        with self._looking:
            before = self.revision
            try:
                stamps = _stamps(self.storage)
                problem = ""
            except SweepError as error:
                stamps, problem = None, str(error)
            if problem != self.problem:
                self.problem = problem
                self.revision += 1
            if stamps is None:
                return self.revision > before
            self._put_in({name: stamp for name, (_, stamp) in stamps.items()})
            newest_first = sorted(stamps.values(), key=lambda each: -each[1][2])
            for paths, stamp in newest_first:
                if self._stamps.get(paths.root.name) != stamp:
                    self._read(paths, stamp)
                    told()
            return self.revision > before

    def _put_in(self, stamps: dict[str, Stamp]) -> None:
        """New ones stand in the list before they are read, ones that are gone leave it."""
        with self._lock:
            for name in set(self._rows) - set(stamps):
                del self._rows[name]
                self._stamps.pop(name, None)
                self._feeds.pop(name, None)
                self.revision += 1
            for name in set(stamps) - set(self._rows):
                self._rows[name] = {"name": name, "state": "reading", "updated": stamps[name][2] / 1e9}
                self.revision += 1

    def _read(self, paths: StudyPaths, stamp: Stamp) -> None:
        feed = self._feed(paths)
        feed.look()
        try:
            row = feed.summary()
        except StudyError as error:
            row = damaged_row(paths, str(error))
        with self._lock:
            self._rows[paths.root.name] = {**row, "updated": stamp[2] / 1e9}
            self._stamps[paths.root.name] = stamp
            self.revision += 1


def _shown(storage: Place) -> list[StudyPaths]:
    """The studies, those aside that are being made."""
    return [paths for paths in study_folder.studies(storage) if not paths.root.name.startswith(".")]


def _stamps(storage: Place) -> dict[str, tuple[StudyPaths, Stamp]]:
    """Each study, and what tells whether it is as it was."""
    found = {}
    for paths in _shown(storage):
        try:
            live = holding.is_at_work(paths)
            holding.up_to_date(paths)
            log = paths.events.stat()
        except OSError:
            # Removed in between.
            continue
        except StudyError:
            found[paths.root.name] = (paths, (0, 0, 0, False))
            continue
        # When a copy was written says nothing of when something happened.
        at = log.st_mtime_ns if paths.url is None else round(study_folder.last_activity(paths) * 1e9)
        found[paths.root.name] = (paths, (log.st_ino, log.st_size, at, live))
    return found
