"""The checkpoints that a study has kept, for whoever reads it: in its folder, or in its bucket."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.store import checkpoints, parcels
from sweep.store.paths import StudyPaths
from sweep.store.study_bucket import bucket_of


class Kept:
    """A study's checkpoints, named by their place in the study's folder.

    Args:
        paths: of the study.
    """

    def __init__(self, paths: StudyPaths) -> None:
        self._paths = paths

    def has(self, checkpoint: str) -> bool:
        """Whether it is complete."""
        if self._paths.url is None:
            return checkpoints.is_complete(self._paths.root / checkpoint)
        return checkpoint in self._complete

    def manifest(self, checkpoint: str) -> dict[str, Any] | None:
        """What it says of itself; None where it isn't complete, e.g. for a driver has removed it meanwhile.

        Raises:
            CheckpointError: it is no manifest.
        """
        if self._paths.url is None:
            folder = self._paths.root / checkpoint
            return checkpoints.manifest(folder) if checkpoints.is_complete(folder) else None
        key = f"{checkpoint}/{checkpoints.MANIFEST}"
        data = bucket_of(self._paths).get(key) if self.has(checkpoint) else None
        return None if data is None else checkpoints.parsed(data, f"{self._paths.url}/{key}")

    def folder(self, checkpoint: str) -> Path:
        """Where it is here; out of a bucket it is brought, and every byte of it compared.

        Raises:
            CheckpointError: it is missing or damaged.
            BucketError: the bucket can't be reached.
        """
        folder = self._paths.root / checkpoint
        if self._paths.url is not None:
            parcels.download(bucket_of(self._paths), checkpoint, folder)
        return folder

    @cached_property
    def _complete(self) -> set[str]:
        trials = self._paths.trials.name
        return parcels.sorted_out(bucket_of(self._paths).entries(trials), trials)[0]
