"""The view of a running study on a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sweep.core.events import AnyEvent
from sweep.core.plan import Plan
from sweep.core.study import StudyMachine
from sweep.store.paths import StudyPaths
from sweep.watch.frame import Canvas, frame
from sweep.watch.tails import Tails
from sweep.watch.tally import Tally
from sweep.watch.text import glyphs_for

REFRESH_S = 0.25
"""The screen changes at most this often."""

IDLE_REFRESH_S = 1.0
"""How often it changes when nothing but the time does."""


class LiveView:
    """A watcher that keeps one picture of the study on the terminal.

    An event is only noted; a thread of its own draws. When the run is over, the last picture stays in the scrollback.

    Args:
        console: the terminal.
        plan: of the study.
        paths: where logs lie; without it they are named from the study's folder.
        screen: take the whole screen and give it back at the end, for a view of a study that runs elsewhere.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        console: Console,
        plan: Plan,
        *,
        paths: StudyPaths | None = None,
        screen: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._console = console
        self._plan = plan
        self._tails = Tails(paths or StudyPaths(Path()))
        self._screen = screen
        self._clock = clock
        self._glyphs = glyphs_for(console.encoding)
        self._lock = threading.Lock()
        self._tally: Tally | None = None
        self._live: Live | None = None
        self._thread: threading.Thread | None = None
        self._dirty = threading.Event()
        self._done = threading.Event()
        self._note = ""

    def note(self, text: str) -> None:
        """Show a line above the study from the next drawing on; safe in a signal handler, for it takes no lock."""
        self._note = text

    def event(self, study: StudyMachine, event: AnyEvent) -> None:
        """Note what happened; the first event opens the view."""
        with self._lock:
            if self._tally is None:
                self._tally = Tally(study.spec, [rung.t for rung in self._plan.rungs])
            self._tally.take(study, event)
        self._dirty.set()
        if self._thread is None and not self._done.is_set():
            self._open()

    def close(self) -> None:
        """End the view and leave the last picture; harmless when called twice or before any event."""
        if self._done.is_set():
            return
        self._done.set()
        self._dirty.set()
        if self._thread is None or self._live is None:
            return
        self._thread.join()
        if self._screen:
            self._live.stop()
            self._console.print(self.picture(full=True))
            return
        # The frame that stays may be as tall as it likes.
        self._live.update(self.picture(full=True))
        self._live.stop()

    def picture(self, *, full: bool = False) -> Group:
        """The study as it stands, for the terminal's size of now; `full` ignores its height."""
        size = self._console.size
        # The last row stays free: a terminal scrolls when its last cell is written.
        note = [Text(self._note, style="yellow", no_wrap=True, overflow="ellipsis")] if self._note else []
        height = None if full else max(1, size.height - 1 - len(note))
        with self._lock:
            if self._tally is None:
                return Group()
            canvas = Canvas(self._glyphs, size.width, height)
            return Group(*note, frame(self._tally, self._plan, canvas, self._clock(), self._tails))

    def _open(self) -> None:
        self._live = Live(
            self.picture(), console=self._console, auto_refresh=False, screen=self._screen, vertical_overflow="crop"
        )
        self._live.start(refresh=True)
        self._thread = threading.Thread(target=self._draw, args=(self._live,), name="sweep-live-view", daemon=True)
        self._thread.start()

    def _draw(self, live: Live) -> None:
        while not self._done.wait(REFRESH_S):
            self._dirty.wait(IDLE_REFRESH_S - REFRESH_S)
            if self._done.is_set():
                return
            self._dirty.clear()
            live.update(self.picture(), refresh=True)
