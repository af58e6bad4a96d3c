"""Trains whatever lanes are there, an epoch at a time; each trial's own thread waits for its epochs and reports them.

All lanes of a batch have the same data and batch size, so the same number of steps in an epoch: they are in step. A
lane joins and leaves between epochs. When some have left, or it all begins, the next epoch waits a moment for others:
a lane that comes later waits for the end of an epoch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from sweep.errors import FusionError, MemoryShareError, NonFiniteLossError
from sweep.training.fused.batch import Batch
from sweep.training.fused.lane import Lane
from sweep.training.fused.skeleton import Skeleton
from sweep.training.memory import Memory, exhausted

GRACE_S = 0.1
"""How long an epoch waits for a lane that may come, or GRACE_SHARE of the last epoch if that is more."""

GRACE_SHARE = 0.1

Metrics = dict[str, float]
_Result = Metrics | Exception


class Engine:
    """The lanes of one key in this process, and the thread that trains them.

    Args:
        lanes: at most so many are expected.
        settings: entered around each epoch, for what is set for the whole process.
    """

    def __init__(self, lanes: int, settings: Callable[[], AbstractContextManager[None]]) -> None:
        self._most = lanes
        self._settings = settings
        self._changed = threading.Condition()
        self._lanes: list[Lane] = []
        self._asked: set[Lane] = set()
        self._results: dict[Lane, _Result] = {}
        self._coming = self._arrivals = 0
        self._vacant = lanes
        self._epoch_s = 0.0
        self._skeleton: Skeleton | None = None  # stays when all lanes have left, for it may be compiled
        self._thread: threading.Thread | None = None

    # Called by the trials' threads

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Say that a lane is being made: the next epoch waits for it."""
        with self._changed:
            self._coming += 1
            self._arrivals += 1
            self._vacant = max(0, self._vacant - 1)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1
                self._changed.notify_all()

    def join(self, lane: Lane) -> None:
        """Take part from the next epoch on; called while `arriving`."""
        with self._changed:
            self._lanes.append(lane)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fused training", daemon=True)
                self._thread.start()

    def epoch(self, lane: Lane) -> Metrics:
        """Train the lane's next epoch, together with the others, and evaluate it.

        Raises:
            NonFiniteLossError: its own loss became NaN or infinite.
            MemoryShareError: all lanes together need more memory than their share of the GPU has.
            FusionError: the batch failed, with all its lanes.
        """
        with self._changed:
            self._asked.add(lane)
            self._changed.notify_all()
            self._changed.wait_for(lambda: lane in self._results)
            result = self._results.pop(lane)
        if isinstance(result, Exception):
            raise result
        return result

    def leave(self, lane: Lane) -> None:
        """Take no further part."""
        with self._changed:
            self._lanes.remove(lane)
            self._vacant += 1
            self._changed.notify_all()

    # The training thread

    def _run(self) -> None:
        batch: Batch | None = None
        while members := self._gather():
            began = time.monotonic()
            results: Sequence[_Result]
            try:
                with self._settings():
                    if self._skeleton is None:
                        first = members[0]
                        self._skeleton = Skeleton(first.model, compile=first.settings.compile is True)
                    if batch is None or batch.lanes != members:
                        batch = Batch(members, self._skeleton)
                    results = _epoch(batch)
            except Exception as error:  # noqa: BLE001 - each lane raises it in its own thread
                batch = None
                results = [_failure(error, lane, len(members)) for lane in members]
            self._epoch_s = time.monotonic() - began
            self._hand_out(members, results)

    def _gather(self) -> list[Lane]:
        """The lanes of the next epoch, once all are back from their reports; none when all have left."""
        with self._changed:
            self._changed.wait_for(self._all_here)
            while self._lanes and self._vacant and self._somebody_comes():
                self._changed.wait_for(self._all_here)
            self._changed.wait_for(self._all_here)
            # Nobody came: nor will the next epoch wait.
            self._vacant = 0
            if not self._lanes:
                self._thread = None
                self._vacant = self._most
            return list(self._lanes)

    def _somebody_comes(self) -> bool:
        before, grace = self._arrivals, max(GRACE_S, GRACE_SHARE * self._epoch_s)
        return self._changed.wait_for(lambda: self._arrivals != before, grace)

    def _all_here(self) -> bool:
        return not self._coming and self._asked == set(self._lanes)

    def _hand_out(self, members: Sequence[Lane], results: Sequence[_Result]) -> None:
        with self._changed:
            self._asked.difference_update(members)
            self._results.update(zip(members, results, strict=True))
            self._changed.notify_all()


def _epoch(batch: Batch) -> list[_Result]:
    """Each lane's metrics of its next epoch, or the error that ends it."""
    trained = batch.train_epoch()
    scores = batch.validate()
    return [
        outcome if isinstance(outcome, NonFiniteLossError) else {"epoch": lane.ctx.t + 1, **outcome, **score}
        for lane, outcome, score in zip(batch.lanes, trained, scores, strict=True)
    ]


def out_of_memory(where: str, memory: Memory) -> MemoryShareError:
    """What a trial raises when the share of the GPU, or the machine's memory, is too small for all lanes."""
    what = "CUDA out of memory" if memory == "gpu_memory" else "the machine's memory ran out"
    return MemoryShareError(f"{where}: {what}, in a batch of fused trials. Lower resources.fuse or batch_size.", memory)


def _failure(error: Exception, lane: Lane, count: int) -> Exception:
    """What a lane raises when the whole batch fails: one object for each, for each is raised in a thread of its own."""
    short = exhausted(error)
    if short is not None:
        failed: Exception = out_of_memory(lane.ctx.where(), short)
    else:
        failed = FusionError(
            f"{lane.ctx.where()}: the batch of {count} fused trials failed: {type(error).__name__}: {error}. "
            "resources.fuse: 1 trains each by itself."
        )
    failed.__cause__ = error
    return failed
