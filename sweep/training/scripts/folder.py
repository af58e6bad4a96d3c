"""What a script keeps: the folder that it is given for its checkpoints, and checkpoints made of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.core.protocols import Placement
from sweep.errors import TrainingError
from sweep.store import checkpoints
from sweep.store.paths import TrialPaths
from sweep.training import states
from sweep.training.scripts.process import Process

SETTLE_S = 5.0
"""How long a script may go on writing a checkpoint that it has already reported."""

LOOK_S = 0.05

FROM_ZERO = "counts_from_zero"
"""In the manifest of a checkpoint: the script counts its steps from 0."""

_Facts = dict[str, tuple[int, int, int]]


class ScriptFolder:
    """The files of one attempt of a script: its checkpoint folder, and the config as a file.

    Those of a checkpoint that the trial goes on from are in the checkpoint folder at the start.

    Attributes:
        checkpoints: the folder that the script is given.
        config: the file with the config.
        t: where the trial goes on from; 0 at its start.
        from_zero: whether an attempt before was seen to count from 0.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._paths = TrialPaths(Path(placement.trial_dir))
        self._root = self._paths.script(placement.attempt)
        self.checkpoints = self._root / "checkpoint"
        self.config = self._root / "config.json"
        self.t, self.from_zero = 0, False
        for left in self._paths.scripts():
            shutil.rmtree(left, ignore_errors=True)
        self.checkpoints.mkdir(parents=True)
        self.config.write_text(json.dumps(placement.config, indent=2) + "\n", encoding="utf-8")
        if placement.checkpoint is not None:
            self._restore(Path(placement.checkpoint))

    def _restore(self, folder: Path) -> None:
        manifest = checkpoints.verify(folder)
        self.t, self.from_zero = int(manifest["t"]), bool(manifest.get(FROM_ZERO))
        if (folder / states.FOLDER).is_dir():
            shutil.copytree(folder / states.FOLDER, self.checkpoints, dirs_exist_ok=True)

    @property
    def used(self) -> bool:
        """Whether there is anything in the checkpoint folder."""
        return bool(_facts(self.checkpoints))

    def keep(self, metrics: Mapping[str, float], process: Process, *, from_zero: bool) -> tuple[str | None, str]:
        """Make a checkpoint of what is in the folder, while the script stands still.

        One that prints may have gone on to its next save: where one of its processes has a file there open for
        writing, it is let go on for a moment, and looked at again for a while.

        Args:
            metrics: of the report that it belongs to.
            process: of the script.
            from_zero: whether the script counts from 0.

        Returns:
            The checkpoint's folder, or None and why there is none; nothing to say where the script has written nothing.
        """
        if not self.used:
            return None, ""
        process.freeze()
        try:
            return self._kept(metrics, process, from_zero=from_zero)
        finally:
            process.thaw()

    def _kept(self, metrics: Mapping[str, float], process: Process, *, from_zero: bool) -> tuple[str | None, str]:
        deadline = time.monotonic() + SETTLE_S
        while True:
            reason = (
                f"the files in its checkpoint folder kept changing for {SETTLE_S:g} s after it reported, so none were "
                "kept; save before you print the metrics"
            )
            before = _facts(self.checkpoints)
            if not _is_being_written(self.checkpoints, process.session):
                try:
                    return self._written(metrics, before, from_zero=from_zero), ""
                except TrainingError as error:
                    # A file that can't be copied, perhaps only because it was just replaced.
                    reason = str(error)
                except _ChangedError:
                    pass
            if time.monotonic() > deadline:
                return None, reason
            process.let_go_for(LOOK_S)

    def _written(self, metrics: Mapping[str, float], before: _Facts, *, from_zero: bool) -> str:
        placement = self._placement
        t = int(metrics[placement.time_attr])
        folder = self._paths.checkpoint(placement.time_attr, t)

        def fill(target: Path) -> None:
            states.write(target, self.checkpoints)
            if _facts(self.checkpoints) != before:
                raise _ChangedError

        meta: dict[str, Any] = {
            "study": placement.study,
            "trial": placement.trial,
            "attempt": placement.attempt,
            "time_attr": placement.time_attr,
            "t": t,
            "seed": placement.seed,
            "config": dict(placement.config),
            "metrics": dict(metrics),
            FROM_ZERO: from_zero,
        }
        checkpoints.write(folder, fill, meta)
        return str(folder)

    def remove(self) -> None:
        """The attempt is over."""
        shutil.rmtree(self._root, ignore_errors=True)


class _ChangedError(Exception):
    """The folder isn't what it was before it was copied."""


def _facts(folder: Path) -> _Facts:
    """Size, time of change and number of each file."""
    found: _Facts = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                stat = path.stat()
                found[path.relative_to(folder).as_posix()] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


def _is_being_written(folder: Path, session: int) -> bool:
    """Whether a process of a session has a file below a folder open for writing; False where that can't be seen."""
    root = f"{folder.resolve()}{os.sep}"
    return any(
        target.startswith(root) and _writes(process, name)
        for process in _of_session(session)
        for name, target in _open_files(process)
    )


def _of_session(session: int) -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(process.name)) == session:
                yield process


def _open_files(process: Path) -> Iterator[tuple[str, str]]:
    """Descriptors of a process, and what they are open on."""
    descriptors: list[Path] = []
    with suppress(OSError):
        descriptors = list((process / "fd").iterdir())
    for descriptor in descriptors:
        with suppress(OSError):
            yield descriptor.name, str(descriptor.readlink())


def _writes(process: Path, descriptor: str) -> bool:
    with suppress(OSError):
        for line in (process / "fdinfo" / descriptor).read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "flags":
                return bool(int(value, 8) & (os.O_WRONLY | os.O_RDWR))
    return False
