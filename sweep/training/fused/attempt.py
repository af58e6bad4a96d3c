"""One attempt of a fused trial: what an executor runs in a thread for each lane of a process."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.core.events import Outcome
from sweep.core.protocols import Channel, Fusing, Placement
from sweep.core.spec import StudySpec
from sweep.errors import TrainingError
from sweep.store.paths import TrialPaths
from sweep.training.attempt import Noted, delivered, run_attempt, torch_settings
from sweep.training.context import Context, StopTrial
from sweep.training.fused import keys
from sweep.training.logs import opened, trace
from sweep.training.memory import exhausted

if TYPE_CHECKING:
    from sweep.training.fused.engine import Engine


def fusing(spec: StudySpec) -> Fusing | None:
    """How a study's trials train together; None when each trains by itself."""
    if not keys.can_fuse(spec):
        return None
    return Fusing(spec.resources.fuse, keys.key, partial(run_fused_attempt, lanes=spec.resources.fuse))


def run_fused_attempt(placement: Placement, channel: Channel, *, lanes: int) -> Outcome:
    """Run a placement as one lane of its process's batch; called in a thread of its own.

    Stdout, generators and environment belong to the process, so they can't be one attempt's: its log has a line for
    each report, and the traceback when it fails. The environment is the study's, the same for each lane, and stays.

    Args:
        placement: one that has a key (`sweep.training.fused.keys`).
        channel: its own.
        lanes: how many the process has.

    Returns:
        As `sweep.training.attempt.run_attempt`.

    Raises:
        TrainingError: its config is wrong, or its loss became NaN; the other lanes go on.
        FusionError: the batch failed, and so did all its lanes.
        MemoryShareError: so it did because the share of the GPU was too small.
    """
    with opened(TrialPaths(Path(placement.trial_dir)).attempt_log(placement.attempt)) as log:
        log.line(f"one of up to {lanes} fused trials of process {os.getpid()}")
        try:
            os.environ.update(placement.env)
            return _train(placement, Noted(channel, placement.time_attr, log), lanes)
        except BaseException as error:
            log.text(trace(error))
            raise


def run_alone(placement: Placement, channel: Channel) -> Outcome:
    """Run a placement that has no key, in a process for itself; see `run_attempt`. Its log says why it isn't fused."""
    with opened(TrialPaths(Path(placement.trial_dir)).attempt_log(placement.attempt)) as log:
        log.line(f"not fused with others: {keys.refusal(placement)}")
    return run_attempt(placement, channel)


def _train(placement: Placement, channel: Noted, lanes: int) -> Outcome:
    from sweep.training.fused.engine import out_of_memory
    from sweep.training.fused.lane import Generators, Lane

    together = engine(placement, lanes)
    with together.arriving():
        generators = Generators(placement.seed)
        ctx = Context(placement, channel, generators)
        try:
            lane = Lane(ctx, generators)
        except Exception as error:
            if (short := exhausted(error)) is not None:
                raise out_of_memory(ctx.where(), short) from error
            raise
        together.join(lane)
    try:
        with delivered(channel):
            for _ in range(ctx.t, min(lane.settings.epochs, ctx.max_t)):
                ctx.report(together.epoch(lane), checkpoint=lane.state)
    except StopTrial as stop:
        return stop.decision.outcome or "returned"
    finally:
        if placement.gpu:
            # Of the whole process, which has the share.
            channel.measure()
        together.leave(lane)
    return "returned"


_engines: dict[str, Engine] = {}
_lock = threading.Lock()


def engine(placement: Placement, lanes: int) -> Engine:
    """This process's engine for attempts of the placement's key.

    Raises:
        TrainingError: it has none.
    """
    from sweep.training.fused.engine import Engine

    key = keys.key(placement)
    if key is None:
        raise TrainingError(f"Trial {placement.trial} can't be fused: {keys.refusal(placement)}.")
    with _lock:
        if key not in _engines:
            _engines[key] = Engine(lanes, partial(torch_settings, placement))
        return _engines[key]
