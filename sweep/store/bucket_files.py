"""The files of the trials of a study in a bucket: whichever machine has written them, there they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.core.events import Outcome
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial
from sweep.store import attempt_log, checkpoints, parcels
from sweep.store.paths import StudyPaths
from sweep.store.sender import Sender
from sweep.store.trial_files import TrialFiles


class BucketFiles(TrialFiles):
    """See `sweep.store.trial_files.Files`.

    It knows which checkpoints are in the bucket: those that were there at the start, and those that were reported
    since, for a report is delivered when its checkpoint is there. What a machine still has of them is only a copy.

    Args:
        paths: of the study, with its copy here.
        spec: of the study.
        sender: its way to the bucket.
    """

    def __init__(self, paths: StudyPaths, spec: StudySpec, sender: Sender) -> None:
        super().__init__(paths, spec)
        self._sender = sender
        self._complete: dict[str, set[Path]] = {}

    def place(self, checkpoint: str) -> str:
        """See `Files`; who asks has heard of the checkpoint by a report."""
        self._note(Path(checkpoint))
        return super().place(checkpoint)

    def usable(self, checkpoint: str) -> str | None:
        """See `Files`; the folder is where a copy of it would be."""
        folder = self._paths.root / checkpoint
        return str(folder) if folder in self._of(folder) else None

    def copy(self, checkpoint: str, trial: int) -> str | None:
        """See `Files`.

        Raises:
            BucketError: the store refused.
        """
        source = self._paths.root / checkpoint
        target = self._paths.trial(trial).checkpoints / source.name
        if not parcels.copy(self._sender.bucket, self._key(source), self._key(target)):
            return None
        self._note(target)
        return super().place(str(target))

    def check_room(self) -> None:
        """See `Files`.

        Raises:
            BucketError: the store takes no more.
        """
        super().check_room()
        self._sender.send()
        self._sender.bucket.put(".room", b"")
        self._sender.bucket.delete([".room"])

    def created(self, trial: int, config: Mapping[str, Any]) -> None:
        """See `Files`."""
        super().created(trial, config)
        self._sender.upload(self._paths.trial(trial).params)

    def ended(self, trial: int, attempt: int, outcome: Outcome, error: str) -> None:
        """See `Files`; what its machine has sent of the log comes first."""
        path = self._paths.trial(trial).attempt_log(attempt)

        def complete() -> None:
            if not path.is_file():
                self._sender.bucket.fetch(self._key(path), path)
            attempt_log.ensure(path, outcome, error)
            self._sender.bucket.put(self._key(path), path)

        self._sender.do(complete)

    def take_stock(self, trials: Mapping[int, Trial]) -> None:
        """See `Files`."""
        there = self._sender.bucket.entries(self._paths.trials.name)
        complete, left = parcels.sorted_out(there, self._paths.trials.name)
        for key in complete:
            self._note(self._paths.root / key)
        for key in left:
            self._sender.remove(key)
        super().take_stock(trials)

    def _complete_ones(self, trial: int) -> list[Path]:
        return list(self._complete.get(self._paths.trial(trial).root.name, ()))

    def _remove(self, folder: Path) -> None:
        self._of(folder).discard(folder)
        checkpoints.remove(folder)
        self._sender.remove(self._key(folder))

    def _note(self, folder: Path) -> None:
        self._of(folder).add(folder)

    def _of(self, folder: Path) -> set[Path]:
        """The complete checkpoints of the trial that has this one."""
        return self._complete.setdefault(folder.parent.parent.name, set())

    def _key(self, path: Path) -> str:
        return path.relative_to(self._paths.root).as_posix()
