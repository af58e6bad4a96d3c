"""Tells all who watch something that it has changed; looked at by one task, and only while somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Look = Callable[[Callable[[], None]], object]
"""Looks, and calls its argument when there is news before it is done; it may take long, and runs in a thread."""


class Watched:
    """One thing that pages watch.

    Args:
        look: finds out whether it has changed.
        revision: how often it had.
        every_s: how often is looked.
    """

    def __init__(self, look: Look, revision: Callable[[], int], every_s: float) -> None:
        self._look = look
        self._revision = revision
        self._every_s = every_s
        self._news = asyncio.Event()
        self._closed = asyncio.Event()
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether there will be no more news."""
        return self._closed.is_set()

    @property
    def watched(self) -> bool:
        """Whether anybody does."""
        return self._watchers > 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """For as long as somebody watches."""
        self._watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._go_on())
        try:
            yield
        finally:
            self._watchers -= 1

    async def after(self, revision: int, timeout_s: float) -> bool:
        """Wait until it has changed since a revision, or is closed; False when the time is over before."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._revision() <= revision and not self.closed:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def tell(self) -> None:
        """Wake all who wait."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def close(self) -> None:
        """There will be no more news."""
        self._closed.set()
        self.tell()

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()

        def told() -> None:
            loop.call_soon_threadsafe(self.tell)

        while self._watchers and not self.closed:
            if await asyncio.to_thread(self._look, told):
                self.tell()
            try:
                await asyncio.wait_for(self._closed.wait(), self._every_s)
            except TimeoutError:
                continue
