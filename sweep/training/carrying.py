"""An attempt of a study in a bucket: what it goes on from is brought here, what it leaves is carried there."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from sweep.core.events import Outcome
from sweep.core.protocols import Channel, Decision, Placement, RunAttempt
from sweep.store import checkpoints, parcels, study_bucket
from sweep.store.buckets import Bucket, BucketError
from sweep.store.paths import BucketFolder, TrialPaths, study_paths
from sweep.training.passing import PassingChannel

MOST_HERE = 16
"""Checkpoints of a study that a machine keeps, for attempts that go on here: paused trials may never."""

SHIP_S = 15.0
"""How often the log of a running attempt is sent; a long one less often."""

_LONG = 2**20
_LOG = logging.getLogger(__name__)


def carrying(run: RunAttempt, url: str) -> RunAttempt:
    """What runs an attempt of the study at this URL; like `run` it can be sent to a worker.

    Args:
        run: runs an attempt of a study in a folder.
        url: of the study, in a bucket.
    """
    return partial(run_carrying, run, url)


def run_carrying(run: RunAttempt, url: str, placement: Placement, channel: Channel) -> Outcome:
    """Run an attempt in this machine's copy of its trial's folder.

    A checkpoint is in the bucket, whole, before its report is delivered; the log, and TensorBoard's files, are when
    the attempt is over. Of its checkpoints the machine keeps the last, for an attempt that goes on here.

    Raises:
        CheckpointError: the one to go on from is damaged.
        BucketError: the bucket can't be reached.
        Exception: as `run`.
    """
    load = _Load(url, placement)
    with load.local() as here:
        carrier = _Carrier(channel, load)
        load.start()
        keep = 1
        try:
            outcome = run(here, carrier)
            keep = 1 if outcome == "interrupted" else 0
        finally:
            load.finish(keep)
    return outcome


class _Load:
    """What one attempt brings and leaves."""

    def __init__(self, url: str, placement: Placement) -> None:
        storage, _, study = url.rpartition("/")
        self._paths = study_paths(BucketFolder(storage), study)
        self._bucket: Bucket = study_bucket.bucket_of(self._paths)
        self._placement = placement
        self._trial: TrialPaths = self._paths.trial(placement.trial)
        self._log = self._trial.attempt_log(placement.attempt)
        self._sent: dict[Path, tuple[int, int]] = {}
        self._cut = False
        self._over = threading.Event()
        self._shipping = threading.Thread(target=self._ship, name="log", daemon=True)

    @contextmanager
    def local(self) -> Iterator[Placement]:
        """The placement, with this machine's folders, which others here leave alone."""
        with study_bucket.copying(self._paths):
            # Or a reader here would take what lies there for an earlier study's, and clear it away.
            study_bucket.settle(self._paths)
        with parcels.in_use(self._trial.root):
            checkpoint = None
            if self._placement.checkpoint is not None:
                folder = self._trial.checkpoints / Path(self._placement.checkpoint).name
                parcels.download(self._bucket, self._key(folder), folder)
                checkpoint = str(folder)
            self._sent = self._states()
            yield replace(self._placement, trial_dir=str(self._trial.root), checkpoint=checkpoint)

    def start(self) -> None:
        """Begin to send the log now and then."""
        self._shipping.start()

    def carry(self, checkpoint: str) -> str:
        """Put a checkpoint into the bucket; where it is for the driver."""
        folder = Path(checkpoint)
        parcels.upload(self._bucket, self._key(folder), folder)
        self._thin_out(folder)
        return str(Path(self._placement.trial_dir) / folder.relative_to(self._trial.root))

    def finish(self, keep: int) -> None:
        """Send what else it has written, and keep so many of the last checkpoints here."""
        self._over.set()
        self._shipping.join()
        for path, state in self._states().items():
            if self._cut:
                # The next would be waited for as long, and the driver waits for the end.
                break
            if self._sent.get(path) != state:
                self._send(path)
        if not keep:
            shutil.rmtree(self._trial.checkpoints, ignore_errors=True)
        parcels.forget(self._trial.root.parent, MOST_HERE)

    def _thin_out(self, last: Path) -> None:
        for folder in checkpoints.complete_ones(self._trial.checkpoints):
            if folder != last:
                checkpoints.remove(folder)

    def _ship(self) -> None:
        while not self._over.wait(SHIP_S * max(1.0, self._size() / _LONG)):
            if self._sent.get(self._log) != self._states().get(self._log):
                self._send(self._log)

    def _size(self) -> int:
        with suppress(OSError):
            return self._log.stat().st_size
        return 0

    def _send(self, path: Path) -> None:
        """Put a file for people into the bucket; that it can't be is no failure of the trial."""
        try:
            state = self._states().get(path)
            self._bucket.put(self._key(path), path)
        except (BucketError, OSError) as error:
            _LOG.warning("%s", error)
            self._cut = True
        else:
            self._cut = False
            if state is not None:
                self._sent[path] = state

    def _states(self) -> dict[Path, tuple[int, int]]:
        files = [self._log, *self._trial.tensorboard.rglob("*")]
        found = {}
        for path in files:
            with suppress(OSError):
                if path.is_file():
                    stat = path.stat()
                    found[path] = (stat.st_size, stat.st_mtime_ns)
        return found

    def _key(self, path: Path) -> str:
        return path.relative_to(self._paths.root).as_posix()


class _Carrier(PassingChannel):
    """A channel that carries each checkpoint to the bucket before its report."""

    def __init__(self, channel: Channel, load: _Load) -> None:
        super().__init__(channel)
        self._load = load

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        return super().report(metrics, self._load.carry(checkpoint) if checkpoint else None)

    def report_written(self, metrics: Mapping[str, float], write: Callable[[], str]) -> Decision:
        """See `sweep.core.protocols.WritingChannel`."""
        return super().report_written(metrics, lambda: self._load.carry(write()))
