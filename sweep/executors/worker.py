"""A process that lives from attempt to attempt: torch stays imported, the CUDA context made, the data in place."""

from __future__ import annotations

import gc
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import ray

from sweep.core.protocols import Decision, Placement, RunAttempt
from sweep.errors import FusionError, MemoryShareError, TrainingError
from sweep.executors.messages import Message, failure
from sweep.executors.traces import Traces, Usage

_GO_ON = Decision("advance", "no decision to the contrary has come")


class Worker:
    """The actor: one attempt at a time, or several that train together; their words are streamed to the driver.

    A report doesn't wait for its decision: training goes on at once, and the decision on one report is given at the
    next, for which it is waited. So a stopped trial does one step too many at most, and which one depends on no timing.
    """

    def __init__(
        self, run_attempt: RunAttempt, warm_up: Callable[[], None], *, gpu: float, run_fused: RunAttempt | None = None
    ) -> None:
        if not gpu:
            # Ray 2.60 leaves all GPUs visible to an actor that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        warm_up()
        # torch's own objects are here to stay: a collection after each trial need not look at them.
        gc.freeze()
        self._new = Usage.now()
        self._run_attempt = run_attempt
        self._run_fused = run_fused
        self._channels: dict[tuple[int, int], Pipe] = {}

    def attempt(self, placement: Placement, *, fused: bool = False) -> Iterator[Message]:
        """Run an attempt; the generator's items are its messages, an end the last.

        Args:
            placement: what to run.
            fused: beside others that are fused too; an attempt that isn't has the process for itself.
        """
        gpus = ray.get_gpu_ids()
        device = "cuda:" + ",".join(map(str, gpus)) if gpus else "cpu"
        yield Message("hello", node=socket.gethostname(), device=device)
        channel = self._channels[placement.trial, placement.attempt] = Pipe(placement)
        run = self._fused if fused else self._attempted
        thread = threading.Thread(target=self._train, args=(run, placement, channel), name="training", daemon=True)
        thread.start()
        while (message := channel.messages.get()).kind != "end":
            yield message
        thread.join()
        del self._channels[placement.trial, placement.attempt]
        yield message

    def decide(self, trial: int, attempt: int, decision: Decision) -> None:
        """Take the decision on the oldest report that has none; called beside `attempt`."""
        channel = self._channels.get((trial, attempt))
        if channel is not None:
            channel.decisions.put(decision)

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
            return failure(error)
        finally:
            channel.close()
        fit = traces.remove()
        return Message("end", outcome=outcome, fit=fit and self._new.is_near(Usage.now()))

    def _fused(self, placement: Placement, channel: Pipe) -> Message:
        if self._run_fused is None:
            raise AssertionError(f"a worker without lanes was given trial {placement.trial} to fuse")
        try:
            outcome = self._run_fused(placement, channel)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the trial's failure
            # A trial's own failure leaves nothing behind that could hurt the others; one of them all may have.
            own = isinstance(error, TrainingError) and not isinstance(error, FusionError | MemoryShareError)
            return replace(failure(error), fit=own)
        finally:
            channel.close()
        return Message("end", outcome=outcome)


class Pipe:
    """The training thread's channel: reports go out at once, each waits only for the decision on the one before.

    A checkpoint is written in a thread of its own, which sends the report when it is done.
    """

    def __init__(self, placement: Placement) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.decisions: queue.Queue[Decision] = queue.Queue()
        self._time_attr = placement.time_attr
        self._max_t = placement.max_t
        self._reported = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        return self._next(metrics, lambda: self._send(metrics, checkpoint))

    def report_written(self, metrics: Mapping[str, float], write: Callable[[], str]) -> Decision:
        """See `sweep.core.protocols.WritingChannel`."""

        def start() -> None:
            self._writing = self._writer.submit(lambda: self._send(metrics, write()))

        return self._next(metrics, start)

    def settle(self) -> None:
        """See `sweep.core.protocols.WritingChannel`."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except BaseException:
            # It was never sent: no decision on it will come.
            self._reported = False
            raise

    def close(self) -> None:
        """End the writer's thread, when it has written."""
        self._writer.shutdown()

    def _next(self, metrics: Mapping[str, float], deliver: Callable[[], None]) -> Decision:
        if self._reported:
            earlier = self._answer()
            if earlier.action != "advance":
                return earlier
        self._reported = True
        deliver()
        if metrics[self._time_attr] >= self._max_t:
            # Nothing comes after it, so it is worth waiting for.
            return self._answer()
        return _GO_ON

    def _answer(self) -> Decision:
        self.settle()
        return self.decisions.get()

    def _send(self, metrics: Mapping[str, float], checkpoint: str | None) -> None:
        self.messages.put(Message("report", metrics=dict(metrics), checkpoint=checkpoint))
