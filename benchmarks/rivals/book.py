"""Where each trial of each side notes when it was at work, so that all are measured by the same clock."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FOLDER = "SWEEP_BENCHMARK_BOOK"


class Note:
    """One trial's line: when it began and ended, and the seconds that it trained and evaluated.

    What lies between two reports is work; reporting, checkpoints and setting up aren't.
    """

    def __enter__(self) -> Self:
        self.began = time.time()
        self.busy = 0.0
        self._since: float | None = None
        return self

    def work(self) -> None:
        """Work begins."""
        self._since = time.perf_counter()

    def rest(self, seconds: float | None = None) -> None:
        """Work pauses; `seconds` of it, where it is known better than by the clock."""
        if seconds is None and self._since is not None:
            seconds = time.perf_counter() - self._since
        self.busy += seconds or 0.0
        self._since = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line = {"began": self.began, "ended": time.time(), "busy": self.busy}
        (Path(os.environ[FOLDER]) / f"{uuid.uuid4()}.json").write_text(json.dumps(line))


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a side."""
    return [json.loads(file.read_text()) for file in folder.glob("*.json")]
