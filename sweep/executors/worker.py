"""A process that lives from attempt to attempt: torch stays imported, the CUDA context made, the data in place."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import ray

from sweep.core.protocols import Decision, GpuMemory, Placement, RunAttempt
from sweep.errors import FusionError, MemoryShareError, TrainingError
from sweep.executors.messages import Message, failure
from sweep.executors.traces import Traces, Usage
from sweep.machine import mps_settings

MOST_WAITING = 256
"""Messages of an attempt that wait for the driver."""

LONG_STEP_S = 0.5
"""From so long a step on a trial waits at a rung for its decision, which takes some milliseconds, instead of training
on. Shorter steps never do, so that how far a paused trial comes depends on no timing."""

WAIT_PART = 0.2
"""How long it waits, as a part of its last step; a decision that takes longer is heard at the next report."""

_GO_ON = Decision("advance", "no decision to the contrary has come")


class Worker:
    """The actor: one attempt at a time, or several that train together; their words are streamed to the driver.

    A report doesn't wait for its decision: training goes on at once. The decision on a report at a rung is given at the
    next report, which waits for it: a stopped trial does one step too many. A trial that pauses hands that step in, and
    goes on from there. Where steps are long enough that one too many is worth more than a wait, the report at a rung
    waits a little for its decision. Between rungs nobody waits; that the whole study ends is heard at the next report
    after the word has come.
    """

    def __init__(
        self, run_attempt: RunAttempt, warm_up: Callable[[], None], *, gpu: float, run_fused: RunAttempt | None = None
    ) -> None:
        if not gpu:
            # Ray 2.60 leaves all GPUs visible to an actor that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # Read when CUDA starts.
        os.environ.update(mps_settings(gpu))
        if gpu <= 1:
            # A trial of several GPUs runs in processes of its own, to which the memory of all of them belongs.
            warm_up()
        # torch's own objects are here to stay: a collection after each trial need not look at them.
        gc.freeze()
        self._new = Usage.now()
        self._run_attempt = run_attempt
        self._run_fused = run_fused
        self._channels: dict[tuple[int, int], Pipe] = {}

    def attempt(self, placement: Placement, *, fused: bool = False) -> Iterator[list[Message]]:
        """Run an attempt; the generator's items are its messages, in lists as they came; an end is the last.

        Args:
            placement: what to run.
            fused: beside others that are fused too; an attempt that isn't has the process for itself.
        """
        gpus = ray.get_gpu_ids()
        device = "cuda:" + ",".join(map(str, gpus)) if gpus else "cpu"
        channel = self._channels[placement.trial, placement.attempt] = Pipe(placement)
        node_id = ray.get_runtime_context().get_node_id()
        channel.messages.put(Message("hello", node=socket.gethostname(), node_id=node_id, device=device))
        run = self._fused if fused else self._attempted
        thread = threading.Thread(target=self._train, args=(run, placement, channel), name="training", daemon=True)
        thread.start()
        while (messages := channel.take())[-1].kind != "end":
            yield messages
        thread.join()
        del self._channels[placement.trial, placement.attempt]
        yield messages

    def decide(self, trial: int, attempt: int, decision: Decision) -> None:
        """Take the decision on the oldest report that has none; called beside `attempt`."""
        channel = self._channels.get((trial, attempt))
        if channel is not None:
            channel.decisions.put(decision)

    def leave(self, trial: int, attempt: int) -> None:
        """This node is about to go: the attempt is to be ready for that; called beside `attempt`."""
        channel = self._channels.get((trial, attempt))
        if channel is not None:
            channel.leaving = True

    def _train(self, run: Callable[[Placement, Pipe], Message], placement: Placement, channel: Pipe) -> None:
        message = Message("end", outcome="failed", error="its worker could not be cleaned", fit=False)
        try:
            message = run(placement, channel)
        finally:
            # Whatever happens, the driver must hear of the end.
            channel.messages.put(message)

    def _attempted(self, placement: Placement, channel: Pipe) -> Message:
        traces = Traces()
        try:
            outcome = self._run_attempt(placement, channel)
        except BaseException as error:  # noqa: BLE001 - whatever a training function raises is the trial's failure
            return replace(failure(error), memory=channel.memory)
        finally:
            channel.close()
        fit = False
        # Whatever hinders the cleaning isn't the trial's failure.
        with contextlib.suppress(Exception):
            fit = traces.remove() and self._new.is_near(Usage.now())
        return Message("end", outcome=outcome, fit=fit, memory=channel.memory)

    def _fused(self, placement: Placement, channel: Pipe) -> Message:
        if self._run_fused is None:
            raise AssertionError(f"a worker without lanes was given trial {placement.trial} to fuse")
        try:
            outcome = self._run_fused(placement, channel)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the trial's failure
            # A trial's own failure leaves nothing behind that could hurt the others; one of them all may have.
            own = isinstance(error, TrainingError) and not isinstance(error, FusionError | MemoryShareError)
            return replace(failure(error), fit=own, memory=channel.memory)
        finally:
            channel.close()
        return Message("end", outcome=outcome, memory=channel.memory)


class Pipe:
    """The training thread's channel: reports go out at once, and wait at most for the decision on the one before.

    A checkpoint is written in a thread of its own, which sends the report when it is done.

    Attributes:
        leaving: see `sweep.core.protocols.LeavingChannel`.
    """

    def __init__(self, placement: Placement) -> None:
        # Bounded: a function that reports more than the driver can take waits here.
        self.messages: queue.Queue[Message] = queue.Queue(MOST_WAITING)
        self.decisions: queue.Queue[Decision] = queue.Queue()
        self.leaving = False
        self._placement = placement
        self._t = 0
        self._owed = False
        self._since = time.monotonic()
        self.memory: GpuMemory | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        return self._next(metrics, lambda awaited: self._send(metrics, checkpoint, awaited=awaited))

    def report_written(self, metrics: Mapping[str, float], write: Callable[[], str]) -> Decision:
        """See `sweep.core.protocols.WritingChannel`."""

        def start(awaited: bool) -> None:
            self._writing = self._writer.submit(lambda: self._send(metrics, write(), awaited=awaited))

        return self._next(metrics, start)

    def settle(self) -> None:
        """See `sweep.core.protocols.WritingChannel`."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except BaseException:
            # It was never sent: no decision on it will come.
            self._owed = False
            raise

    def measured(self, memory: GpuMemory) -> None:
        """See `sweep.core.protocols.MeasuringChannel`; it goes with the end."""
        self.memory = memory

    def close(self) -> None:
        """End the writer's thread, when it has written."""
        self._writer.shutdown()

    def take(self) -> list[Message]:
        """All messages that there are; waits for the first."""
        messages = [self.messages.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(self.messages.get_nowait())
        return messages

    def _next(self, metrics: Mapping[str, float], deliver: Callable[[bool], None]) -> Decision:
        self.settle()
        earlier = self._earlier()
        if earlier.goes_on:
            # A later attempt goes on from here: what was trained meanwhile need not be trained again.
            deliver(False)
            self.settle()
        if earlier.action != "advance":
            return earlier
        t = int(metrics[self._placement.time_attr])
        leaving = self.leaving
        self._owed, self._t = leaving or self._placement.awaited(self._t, t), t
        step_s = time.monotonic() - self._since
        deliver(self._owed)
        if leaving or t >= self._placement.max_t:
            # Nothing may come after it, so it is worth waiting for.
            self.settle()
            decision = self._earlier()
        else:
            decision = self._soon(WAIT_PART * step_s) if self._owed and step_s >= LONG_STEP_S else _GO_ON
        self._since = time.monotonic()
        return decision

    def _soon(self, seconds: float) -> Decision:
        """The decision that is owed, if it comes in so many seconds; else it is owed still."""
        try:
            decision = self.decisions.get(timeout=seconds)
        except queue.Empty:
            return _GO_ON
        self._owed = False
        return decision

    def _earlier(self) -> Decision:
        """The decision on the report before, if there is one or one is owed."""
        owed, self._owed = self._owed, False
        try:
            return self.decisions.get(block=owed)
        except queue.Empty:
            return _GO_ON

    def _send(self, metrics: Mapping[str, float], checkpoint: str | None, *, awaited: bool) -> None:
        self.messages.put(Message("report", metrics=dict(metrics), checkpoint=checkpoint, awaited=awaited))
