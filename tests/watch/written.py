"""A study that was acted out, on the disk."""

from __future__ import annotations

from pathlib import Path

from plays import Play

from sweep.store import events, study_folder
from sweep.store.study_folder import StoredStudy


def written(play: Play, storage: Path) -> StoredStudy:
    """The study in a folder below `storage`, read back."""
    spec = play.machine.spec
    paths = study_folder.create(storage, spec, base_dir=storage, now=play.events[0].time - 1, version="0.1.0")
    log = events.EventLog(paths.events)
    log.append(*map(events.encode, play.events))
    log.close()
    return study_folder.read(paths)
