"""Every file name that a study writes; nobody else joins paths.

::

    STORAGE/STUDY/spec.yaml        the resolved file
                  events.jsonl     the truth: append, fsync, replay
                  lock             held by the driver that works on the study
                  control.jsonl    what people ask of it while it runs: stop, pause, ...
                  optuna.log       Optuna's journal, rebuilt from the events when lost
                  trials/0017/     params.json, attempt-1.log, tensorboard/, checkpoints/epoch-3/

A study in a bucket has the same files in a folder of each machine that works on it or reads it: a copy, which can be
deleted when nobody works on the study there. See `sweep.store.study_bucket` for what is in the bucket.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sweep.store.buckets import check_url, is_url

_CHECKPOINT = re.compile(r".*-(\d+)$")

DATA_CACHE = "SWEEP_DATA_CACHE"
"""Names the folder of decoded data; set but empty, nothing is kept."""

BUCKET_CACHE = "SWEEP_BUCKET_CACHE"
"""Names the folder of copies of what is in buckets."""


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial."""

    root: Path

    @property
    def params(self) -> Path:
        """The trial's config as JSON."""
        return self.root / "params.json"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard event files."""
        return self.root / "tensorboard"

    @property
    def profiles(self) -> Path:
        """Traces of its training."""
        return self.root / "profile"

    @property
    def checkpoints(self) -> Path:
        """Folder of the trial's checkpoints."""
        return self.root / "checkpoints"

    def attempt_log(self, attempt: int) -> Path:
        """What the training function printed in this attempt, and its traceback."""
        return self.root / f"attempt-{attempt}.log"

    @property
    def files(self) -> Path:
        """What a function written for Ray Tune keeps in its trial's folder."""
        return self.root / "files"

    def script(self, attempt: int) -> Path:
        """What an attempt gives to a script of its own process, while it runs."""
        return self.root / f"attempt-{attempt}.files"

    def scripts(self) -> list[Path]:
        """What attempts that are over have given to scripts; only killed ones leave any."""
        return list(self.root.glob("attempt-*.files"))

    def checkpoint(self, time_attr: str, t: int) -> Path:
        """Folder of the checkpoint written at fidelity `t`."""
        return self.checkpoints / f"{time_attr}-{t}"


def checkpoint_t(folder: Path) -> int:
    """The fidelity that a checkpoint folder's name states.

    Raises:
        ValueError: the name isn't `TIME_ATTR-T`.
    """
    match = _CHECKPOINT.match(folder.name)
    if match is None:
        raise ValueError(f"{folder}: a checkpoint folder is named like epoch-3")
    return int(match[1])


@dataclass(frozen=True)
class StudyPaths:
    """The files of one study.

    Attributes:
        root: its folder; of a study in a bucket the copy here.
        url: where in a bucket it is; None for a study that is a folder.
    """

    root: Path
    url: str | None = None

    @property
    def storage(self) -> Place:
        """What holds the study, beside others."""
        return self.root.parent if self.url is None else BucketFolder(self.url.rpartition("/")[0])

    def told(self, path: Path) -> str:
        """A path in the study's folder, as it is told to people: where it is for all."""
        if self.url is None:
            return str(path)
        below = path.relative_to(self.root).as_posix()
        return self.url if below == "." else f"{self.url}/{below}"

    @property
    def spec(self) -> Path:
        """The resolved search file."""
        return self.root / "spec.yaml"

    @property
    def events(self) -> Path:
        """The study's log, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def lock(self) -> Path:
        """Held, by the operating system, for as long as a driver works on the study."""
        return self.root / "lock"

    @property
    def control(self) -> Path:
        """Requests of people, one JSON object a line."""
        return self.root / "control.jsonl"

    @property
    def optuna_journal(self) -> Path:
        """Optuna's journal storage."""
        return self.root / "optuna.log"

    @property
    def lessons(self) -> Path:
        """What the study has learned from earlier ones before its start."""
        return self.root / "warm_start.json"

    @property
    def scratch(self) -> Path:
        """What this process's executor needs while it runs; gone afterwards."""
        return self.root / f".scratch-{os.getpid()}"

    def abandoned_scratch(self) -> list[Path]:
        """What dead drivers left; to be asked by the one that holds the study."""
        return [folder for folder in self.root.glob(".scratch-*") if folder != self.scratch]

    @property
    def trials(self) -> Path:
        """Folder of the trials."""
        return self.root / "trials"

    def trial(self, number: int) -> TrialPaths:
        """The files of one trial."""
        return TrialPaths(self.trials / f"{number:04d}")


@dataclass(frozen=True)
class BucketFolder:
    """A folder in a bucket that holds studies, or models.

    Attributes:
        url: checked, e.g. s3://bucket/studies.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def copy(self) -> Path:
        """Where this machine keeps copies of what it has seen there.

        Raises:
            OSError: no variable names a folder, and there is no home directory.
        """
        scheme, _, rest = self.url.partition("://")
        return _cache(BUCKET_CACHE, "buckets") / scheme / rest


Place = Path | BucketFolder
"""What holds studies, or models."""


def place(named: str | Path | BucketFolder, base: Path | None = None) -> Place:
    """A folder, from `base` if it is relative, or a folder in a bucket.

    Raises:
        InputError: a URL that isn't known.
    """
    if isinstance(named, BucketFolder):
        return named
    if is_url(named):
        return BucketFolder(check_url(str(named)))
    return (base or Path()) / named


def study_paths(storage: Place, study: str) -> StudyPaths:
    """The files of the study of this name; absolute, for workers have other current folders."""
    if isinstance(storage, BucketFolder):
        return StudyPaths(storage.copy.absolute() / study, f"{storage.url}/{study}")
    return StudyPaths(storage.absolute() / study)


def studies(storage: Path) -> list[StudyPaths]:
    """The studies that a storage folder holds, by name."""
    if not storage.is_dir():
        return []
    return [StudyPaths(child) for child in sorted(storage.absolute().iterdir()) if (child / "events.jsonl").is_file()]


def data_cache() -> Path:
    """The node's folder of decoded data: $SWEEP_DATA_CACHE, else $XDG_CACHE_HOME/sweep/data, else ~/.cache/sweep/data.

    Raises:
        OSError: no variable names it, and there is no home directory.
    """
    return _cache(DATA_CACHE, "data")


def _cache(variable: str, name: str) -> Path:
    try:
        if chosen := os.environ.get(variable):
            return Path(chosen).expanduser().absolute()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep" / name
    except RuntimeError as error:
        raise OSError(str(error)) from error
