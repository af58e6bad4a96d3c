"""Server-sent events: what an open page is told as it happens."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sweep.errors import InputError, SweepError
from sweep.store import holding
from sweep.watch.ui.feed import Feed
from sweep.watch.ui.shelf import Shelf
from sweep.watch.ui.watching import Watched

HEARTBEAT_S = 15.0
LOG_EVERY_S = 1.0
LOG_IN_BUCKET_S = 5.0
LOG_FIRST = 2**16
"""Bytes of a log's end that a page begins with."""

LOG_MOST = 2**18
"""Bytes that it is told at once; of more only the end."""


def message(data: Any, *, event: str = "message", mark: str = "") -> bytes:
    """One event of a stream."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    head = (f"event: {event}\n" if event != "message" else "") + (f"id: {mark}\n" if mark else "")
    return f"{head}data: {text}\n\n".encode()


def picture(feed: Feed, boot: str, mark: str = "") -> dict[str, Any]:
    """A study as a page has to know it that knows what the mark stands for; all of it when that is void.

    Args:
        feed: of the study.
        boot: of this server.
        mark: of the picture that the page had last.
    """
    epoch, _, revision = mark.rpartition("-")
    known = int(revision) if epoch == f"{boot}.{feed.epoch}" and revision.isdigit() else None
    # Asked before the rows: what comes in between is told twice rather than never.
    now = feed.revision
    found = {
        "mark": f"{boot}.{feed.epoch}-{now}",
        "revision": now,
        "state": feed.state(),
        "rows": feed.rows(known or 0),
    }
    return found if known is not None else {**found, "columns": feed.columns()}


def listed(shelf: Shelf) -> dict[str, Any]:
    """The list of studies as its page has to know it."""
    return {"studies": shelf.rows(), "problem": shelf.problem}


async def study_events(feed: Feed, watched: Watched, boot: str, mark: str) -> AsyncIterator[bytes]:
    """A study's picture, and what changes in it."""
    async with watched.watching():
        await asyncio.to_thread(feed.look)
        while not watched.closed:
            told = await asyncio.to_thread(picture, feed, boot, mark)
            if told["mark"] != mark:
                yield message(told, mark=told["mark"])
            mark = told["mark"]
            while not await watched.after(told["revision"], HEARTBEAT_S):
                yield b": still here\n\n"


async def shelf_events(shelf: Shelf, watched: Watched) -> AsyncIterator[bytes]:
    """The list of studies, whenever it changes."""
    async with watched.watching():
        while not watched.closed:
            revision = shelf.revision
            yield message(listed(shelf))
            while not await watched.after(revision, HEARTBEAT_S):
                yield b": still here\n\n"


async def trial_events(feed: Feed, watched: Watched, trial: int, attempt: int | None) -> AsyncIterator[bytes]:
    """A trial's story when it has changed, and its log as it grows.

    Args:
        feed: of the study.
        watched: tells of its changes.
        trial: which.
        attempt: whose log; the latest by default, also when there is a later one.
    """
    last, quiet = b"", 0.0
    every_s = LOG_EVERY_S if feed.paths.url is None else LOG_IN_BUCKET_S
    log: LogTail | None = None
    async with watched.watching():
        await asyncio.to_thread(feed.look)
        while not watched.closed:
            revision = feed.revision
            try:
                story = await asyncio.to_thread(feed.story, trial)
            except InputError as error:
                yield message({"problem": str(error)}, event="problem")
                return
            told = [] if (text := message(story, event="story")) == last else [text]
            last = text
            wanted = attempt or len(story["attempts"])
            if 1 <= wanted <= len(story["attempts"]):
                path = feed.paths.trial(trial).attempt_log(wanted)
                if log is None or log.path != path:
                    log = LogTail(path)
                if (more := await asyncio.to_thread(_more, feed, log)) is not None:
                    told.append(message({"attempt": wanted, **more}, event="log"))
            for each in told:
                yield each
            quiet = 0.0 if told else quiet + every_s
            if quiet >= HEARTBEAT_S:
                quiet = 0.0
                yield b": still here\n\n"
            await watched.after(revision, every_s)


def _more(feed: Feed, log: LogTail) -> dict[str, Any] | None:
    """What is new of a log, fetched where its study is in a bucket."""
    with contextlib.suppress(SweepError):
        holding.bring(feed.paths, log.path)
    return log.more()


class LogTail:
    """The end of a log, and what is appended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def more(self) -> dict[str, Any] | None:
        """What is new: text, whether it begins anew, and how many bytes before it are left out; None for nothing."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                before = self._read
                start = max(0, size - LOG_FIRST) if before is None or size < before else max(before, size - LOG_MOST)
                file.seek(start)
                data = file.read(size - start)
        except OSError:
            return None
        if before is not None and before == size:
            return None
        self._read = start + len(data)
        anew = start != before
        if anew:
            self._decoder.reset()
            if start:
                # From the beginning of a line.
                cut = data.find(b"\n") + 1
                data, start = data[cut:], start + cut
        return {"text": self._decoder.decode(data), "anew": anew, "before": start if anew else 0}
