"""Asks the painting process for figures, at a pace that doesn't grow with those who look."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweep.watch.ui.feed import Feed
from sweep.watch.ui.painting import Kind

EVERY_S: dict[Kind, float] = {"quick": 3.0, "learned": 20.0}
"""How old figures may be, at least, while the study goes on."""

REST = 4.0
"""And this many times what they took."""

LONGEST_LINE = 2**27


@dataclass
class Drawn:
    """Figures as they were drawn last.

    Attributes:
        revision: of the study.
        at: when, and `took` how long; seconds that only rise.
        answer: as the page gets it.
    """

    revision: int
    at: float
    took: float
    answer: dict[str, Any]


class Painter:
    """The process, started at the first wish; one drawing at a time, each kept for all who look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._busy = asyncio.Lock()
        self._known: dict[tuple[str, Kind], Drawn] = {}

    async def figures(self, feed: Feed, kind: Kind) -> dict[str, Any]:
        """A study's figures of a kind, at most a little old.

        Args:
            feed: of the study.
            kind: which.
        """
        folder, revision = str(feed.paths.root), feed.revision
        if (known := self._fresh(folder, kind, revision)) is None:
            async with self._busy:
                # While we waited another may have asked for the same.
                if (known := self._fresh(folder, kind, revision)) is None:
                    known = await self._draw(folder, kind, revision, live=feed.live)
        return {**known.answer, "revision": known.revision, "again_s": self._rest(kind, known)}

    def _fresh(self, folder: str, kind: Kind, revision: int) -> Drawn | None:
        known = self._known.get((folder, kind))
        if known is None:
            return None
        young = self._clock() - known.at < self._rest(kind, known)
        return known if young or known.revision >= revision else None

    @staticmethod
    def _rest(kind: Kind, known: Drawn) -> float:
        return max(EVERY_S[kind], REST * known.took)

    async def _draw(self, folder: str, kind: Kind, revision: int, *, live: bool) -> Drawn:
        began = self._clock()
        answer = await self._ask({"study": folder, "kind": kind, "live": live})
        ended = self._clock()
        drawn = Drawn(revision, ended, ended - began, answer)
        if "problem" not in answer:
            self._known[folder, kind] = drawn
        return drawn

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sweep.watch.ui.painting",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                limit=LONGEST_LINE, start_new_session=True,
            )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the painting process has no pipes")
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except asyncio.CancelledError:
            # Its answer would be taken for the next one's.
            await self.close()
            raise
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            await process.wait()
            return {"problem": f"the process that draws figures ended (code {process.returncode})"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
