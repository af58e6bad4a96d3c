"""An attempt of a script: what it prints or says becomes reports, what is decided on them becomes its end."""

from __future__ import annotations

import math
import queue
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweep.core.events import Outcome
from sweep.core.metric_lines import MetricLines
from sweep.core.protocols import Channel, Decision, GpuMemory, LeavingChannel, MeasuringChannel, Placement
from sweep.errors import MemoryShareError, TrainingError
from sweep.store import checkpoints
from sweep.training import memory
from sweep.training.scripts import surroundings
from sweep.training.scripts.folder import ScriptFolder
from sweep.training.scripts.listener import Listener, Message
from sweep.training.scripts.process import Process

GRACE_S = 10.0
"""How long a script may take to end after SIGTERM; and to end by itself once it was told to."""

FINISH_S = 45.0
"""How long it may go on after its last report, or FACTOR times its longest step: to save, or to test what it made.
An executor waits for a minute, or five times that step."""

FACTOR = 4.0

POLL_S = 0.5

LAST_LINES = 20
"""Lines of output that a failure is told with."""

LAST = " Its last lines:"

MOST_WAITING = 4096
"""Lines that wait to be read for metrics; a script that prints more waits."""


@dataclass(frozen=True)
class _Said:
    """A line of output, the report that it completes, and whether the script stands still until that is delivered."""

    line: str
    metrics: dict[str, float] | None
    frozen: bool = False


@dataclass(frozen=True)
class _Asked:
    """A message on the socket, and the way of its answer."""

    message: Message
    answer: Callable[[Message], None]


@dataclass(frozen=True)
class _Ended:
    """The script is over: its exit status, or why it never began."""

    how: int | str


def supervise(placement: Placement, channel: Channel) -> Outcome:
    """Run a placement's command to its end; deliver what it reports, and end it when that is decided.

    Whatever happens, no process of it is left afterwards.

    Returns:
        As `sweep.training.attempt.run_attempt`.

    Raises:
        TrainingError: it couldn't be started, or ended with another status than 0 before anything was decided.
        MemoryShareError: it did so because memory ran out.
    """
    inbox: queue.Queue[_Said | _Asked | _Ended] = queue.Queue(MOST_WAITING)
    with ExitStack() as afterwards:
        folder = ScriptFolder(placement)
        afterwards.callback(folder.remove)
        listener = Listener(lambda message, answer: inbox.put(_Asked(message, answer)))
        afterwards.callback(listener.close)
        command = surroundings.command(placement, folder)
        sys.stdout.write(f"$ {shlex.join(command)}\n")
        reader = _Reader(placement, folder, inbox)
        process = Process(
            command,
            cwd=surroundings.working_dir(placement),
            env=surroundings.environment(placement, folder, listener.path),
            said=reader.said,
            ended=lambda how: inbox.put(_Ended(how)),
        )
        afterwards.callback(_close, process, inbox)
        reader.process = process
        process.listen()
        return _Supervisor(placement, channel, folder, process, reader).run(inbox)


class _Reader:
    """Takes in a script's output, in the thread that reads it.

    Attributes:
        process: of the script.
        speaks: whether the script has spoken on the socket: then what it prints is no report.
    """

    process: Process

    def __init__(self, placement: Placement, folder: ScriptFolder, inbox: queue.Queue[Any]) -> None:
        self.speaks = False
        self.lines = MetricLines(placement.metrics, placement.time_attr, t=folder.t, from_zero=folder.from_zero)
        self._placement = placement
        self._folder = folder
        self._inbox = inbox
        self._write = sys.stdout.write

    def said(self, line: str) -> None:
        """A line has come."""
        metrics = None if self.speaks else self.lines.take(line)
        early = metrics is not None and metrics[self._placement.time_attr] < self._placement.max_t
        if frozen := early and self._folder.used:
            # What it has saved is to be what it has reported.
            self.process.freeze()
        self._write(line + "\n")
        self._inbox.put(_Said(line, metrics, frozen))


def _close(process: Process, inbox: queue.Queue[Any]) -> None:
    """End the process; its threads must not wait for somebody to read what they say."""
    with inbox.not_full:
        inbox.maxsize = sys.maxsize
        inbox.not_full.notify_all()
    process.close()


class _Supervisor:
    """What is known of a script that runs."""

    def __init__(
        self, placement: Placement, channel: Channel, folder: ScriptFolder, process: Process, reader: _Reader
    ) -> None:
        self._placement = placement
        self._channel = channel
        self._folder = folder
        self._process = process
        self._reader = reader
        self._t = folder.t
        self._held: dict[str, float] | None = None
        self._verdict: Decision | None = None
        self._deadline: float | None = None
        self._cut = False
        self._since = time.monotonic()
        self._longest_s = 0.0
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._split_seen = any("{batch_split}" in word for word in placement.command)
        self._memory: GpuMemory | None = None

    def run(self, inbox: queue.Queue[_Said | _Asked | _Ended]) -> Outcome:
        """Take in what comes until the script is over."""
        while True:
            try:
                item = inbox.get(timeout=POLL_S)
            except queue.Empty:
                item = None
            if isinstance(item, _Ended):
                return self._over(item.how)
            if isinstance(item, _Said):
                self._said(item.line, item.metrics)
                if item.frozen:
                    self._process.thaw()
            elif isinstance(item, _Asked):
                self._asked(item.message, item.answer)
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._end()

    def _end(self) -> None:
        self._cut = True
        self._process.end(GRACE_S)

    # Reports

    def _said(self, line: str, metrics: dict[str, float] | None) -> None:
        if line.strip():
            self._last.append(line)
        if metrics is None:
            return
        if self._held is not None or self._verdict is not None:
            # It goes on beyond its end.
            self._end()
        elif metrics[self._placement.time_attr] >= self._placement.max_t:
            # Nothing but its end follows from this report, and it may save what it has made after it.
            self._held = metrics
            self._stepped()
            self._let_finish()
        else:
            decision = self._report(metrics, None)
            if decision.action != "advance":
                self._verdict = decision
                self._end()

    def _asked(self, message: Message, answer: Callable[[Message], None]) -> None:
        kind = message.get("kind")
        if kind == "hello":
            self._reader.speaks = True
            answer({"placement": asdict(self._placement)})
        elif kind == "leaving":
            answer({"leaving": self._leaving})
        elif kind == "split":
            self._split_seen = True
            answer({})
        elif kind == "report":
            self._reader.speaks = True
            self._answer(message, answer)
        else:
            answer({"error": f"kind is {kind!r}. Say hello, leaving, split or report."})

    def _answer(self, message: Message, answer: Callable[[Message], None]) -> None:
        metrics, problem = _metrics(message.get("metrics"), self._placement.time_attr)
        if problem:
            answer({"error": problem})
            return
        checkpoint = message.get("checkpoint")
        if checkpoint is not None and not checkpoints.is_complete(Path(str(checkpoint))):
            answer({"error": f"checkpoint: {checkpoint} is no folder of a complete checkpoint."})
            return
        match message.get("memory"):
            case {"peak": int(peak), "total": int(total)}:
                self._memory = GpuMemory(peak, total)
        if self._verdict is None:
            decision = self._report(metrics, checkpoint)
            if decision.action == "advance":
                answer(asdict(decision))
                return
            self._verdict = decision
            if decision.action == "finish" and metrics[self._placement.time_attr] >= self._placement.max_t:
                # It comes to its own end, where it may save or test what it has made.
                answer(asdict(Decision("advance", decision.reason)))
                self._let_finish()
                return
        answer(asdict(self._verdict))
        self._deadline = time.monotonic() + GRACE_S

    def _report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """Deliver a report; with what is in the checkpoint folder, where a checkpoint is due and it has none."""
        t = int(metrics[self._placement.time_attr])
        if checkpoint is None and (self._placement.saves(self._t, t) or self._leaving):
            checkpoint, why = self._folder.keep(metrics, self._process, from_zero=self._reader.lines.from_zero)
            if why:
                sys.stdout.write(f"{self._placement.time_attr} {t}: no checkpoint: {why}\n")
        self._t = t
        self._stepped()
        return self._channel.report(metrics, checkpoint)

    @property
    def _leaving(self) -> bool:
        return isinstance(self._channel, LeavingChannel) and self._channel.leaving

    def _stepped(self) -> None:
        now = time.monotonic()
        self._longest_s, self._since = max(self._longest_s, now - self._since), now

    def _let_finish(self) -> None:
        self._deadline = time.monotonic() + max(FINISH_S, FACTOR * self._longest_s)

    # The end

    def _over(self, how: int | str) -> Outcome:
        if self._memory is not None and isinstance(self._channel, MeasuringChannel):
            self._channel.measured(self._memory)
        failed = how != 0 and not self._cut
        if self._held is not None and not failed:
            held, self._held = self._held, None
            self._verdict = self._report(held, None)
        if self._verdict is None and how != 0:
            raise self._failure(how)
        if failed:
            sys.stdout.write(f"the script ended with {_how(how)} after its last report\n")
        return (self._verdict.outcome if self._verdict else None) or "returned"

    def _failure(self, how: int | str) -> TrainingError:
        where = f"Trial {self._placement.trial}, attempt {self._placement.attempt}"
        where += f", {self._placement.time_attr} {self._t + 1}"
        if isinstance(how, str):
            return TrainingError(f"{where}: {shlex.join(self._placement.command)} could not be started: {how}.")
        last = "\n".join(self._last)
        short = memory.in_words(last)
        told = f"{where}: the script ended with {_how(how)}."
        if short is None:
            # The last of the lines is the reason that tables show.
            return TrainingError(f"{told}{LAST}\n{last}" if last else f"{told} It printed nothing.")
        what = "CUDA out of memory" if short == "gpu_memory" else "the machine's memory ran out"
        told = f"{told}{LAST}\n{last}\n{where}: {what}."
        if self._placement.batch_split > 1 and not self._split_seen:
            return TrainingError(
                f"{told} The batch was to be computed in {self._placement.batch_split} parts (retries.on_oom: "
                "shrink_batch), but the script never asks. Pass {batch_split} in the command, use "
                "sweep.context().parts, or set on_oom: fail."
            )
        return MemoryShareError(f"{told} Lower batch_size, or give the trial a larger share.", short)


def _metrics(told: object, time_attr: str) -> tuple[dict[str, float], str]:
    """A message's metrics, or what is wrong with them: another program than ours may have sent them."""
    if not isinstance(told, dict):
        return {}, "metrics is no object of names and numbers."
    wrong = [name for name, value in told.items() if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        return {}, f"metrics: {', '.join(wrong)}: not a number."
    t = told.get(time_attr)
    if t is None or not math.isfinite(t) or t != int(t) or t < 1:
        return {}, f"metrics: {time_attr}: expected a whole number from 1."
    return {name: float(value) for name, value in told.items()}, ""


def _how(status: int | str) -> str:
    if status == -signal.SIGKILL:
        return "SIGKILL, as the kernel sends when memory runs out"
    if isinstance(status, int) and status < 0:
        return f"signal {-status}"
    return f"status {status}"
