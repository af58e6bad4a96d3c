"""One attempt, from its placement to its outcome: the function that every executor sends to its workers."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sweep.core.events import Outcome
from sweep.core.protocols import Channel, Decision, Placement, WritingChannel
from sweep.errors import TrainingError
from sweep.store.paths import TrialPaths
from sweep.training import entrypoints, memory, process_state, ranks
from sweep.training.context import Context, StopTrial, activate, deactivate
from sweep.training.foreign.calling import call
from sweep.training.group import Group
from sweep.training.logs import AttemptLog, tee, trace
from sweep.training.passing import PassingChannel
from sweep.training.profiling import profiled
from sweep.training.scripts.supervisor import LAST
from sweep.training.scripts.supervisor import supervise as supervise_script


def run_attempt(placement: Placement, channel: Channel) -> Outcome:
    """Run a placement's training function to its end, or its script: see `sweep.training.scripts`.

    Its output goes to the attempt's log too, with a traceback when it raises. Environment, `sys.path` and torch's
    process-wide settings are afterwards what they were, for a process runs many attempts. A trial of several GPUs runs
    in processes of its own, one for each: see `sweep.training.ranks`.

    Returns:
        "stopped" when the driver decided so; "returned" when the function came to its end or was ended at `max_t`;
        "interrupted" when it is to go on in a later attempt, "moved" when that is to be on another node.

    Raises:
        EntrypointError: the training function can't be imported.
        MemoryShareError: its share of the GPU's memory, or the machine's, was too small; chained to the original error.
        TrainingError: it called `sys.exit` with anything but 0, or its last checkpoint can't be written.
        Exception: whatever the training function raised.
    """
    path = TrialPaths(Path(placement.trial_dir)).attempt_log(placement.attempt)
    with tee(path) as log:
        noted = Noted(channel, placement.time_attr, log)
        try:
            if placement.command:
                return supervise_script(placement, noted)
            if ranks.count(placement) > 1:
                return ranks.supervise(placement, noted)
            with (
                _environment(placement.env),
                entrypoints.user_modules(placement.entrypoint, placement.working_dir),
                entrypoints.search_path(placement.entrypoint, placement.working_dir),
            ):
                return train(placement, noted, log.text, Group())
        except BaseException as error:
            # What a script printed is there already, and where its supervisor was is of no use to its author.
            in_words = placement.command and isinstance(error, TrainingError)
            log.text(f"failed: {str(error).partition(LAST)[0]}" if in_words else trace(error))
            raise


def no_warm_up() -> None:
    """What a process needs that only supervises scripts."""


def warm_up() -> None:
    """Import what takes long, and make the CUDA context: once in a process that many attempts will run in.

    It also makes a first attempt like every later one: torch's generator is seeded only where torch is imported.
    """
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")


class Noted(PassingChannel):
    """A channel that leaves a line in the attempt's log for each report, so that the log tells how training went.

    Only the attempt's own process has a driver that waits for its reports.
    """

    def __init__(self, channel: Channel, time_attr: str, log: AttemptLog) -> None:
        super().__init__(channel)
        self._time_attr = time_attr
        self._log = log
        self._process = os.getpid()

    def report(self, metrics: Mapping[str, float], checkpoint: str | None) -> Decision:
        """See `sweep.core.protocols.Channel`."""
        self._note(metrics)
        return self._noted(super().report(metrics, checkpoint))

    def report_written(self, metrics: Mapping[str, float], write: Callable[[], str]) -> Decision:
        """See `sweep.core.protocols.WritingChannel`."""
        self._note(metrics)
        return self._noted(super().report_written(metrics, write))

    def measure(self) -> None:
        """Say what the attempt took of its GPU, to a channel that takes it."""
        # After some errors of CUDA's no question to it is answered.
        with suppress(RuntimeError):
            if (taken := memory.used()) is not None:
                self.measured(taken)

    def _note(self, metrics: Mapping[str, float]) -> None:
        check_process(self._process)
        values = ", ".join(f"{name} {value:.6g}" for name, value in metrics.items() if name != self._time_attr)
        self._log.text(f"{self._time_attr} {metrics[self._time_attr]:g}: {values}\n")

    def _noted(self, decision: Decision) -> Decision:
        if decision.action != "advance":
            self._log.text(f"ended: {decision.reason}\n")
        return decision


def check_process(process: int) -> None:
    """Refuse a report that doesn't come from the trial's own process.

    Raises:
        TrainingError: this is another one.
    """
    if os.getpid() != process:
        raise TrainingError(
            f"report was called in process {os.getpid()}, a child of the trial's process {process}. "
            "Hand the numbers to the parent and report them there."
        )


def train(placement: Placement, channel: Channel, say: Callable[[str], object], group: Group) -> Outcome:
    """Call a placement's training function in this process, one of its group's.

    Args:
        placement: what to train; `cpu` is this process's part.
        channel: takes its reports.
        say: takes the traceback of a child that it forked.
        group: the processes that train this trial.

    Returns:
        As `run_attempt`, and raises what that raises.
    """
    function = entrypoints.resolve(placement.entrypoint, placement.working_dir)
    with ExitStack() as settings:
        if "torch" in sys.modules:
            settings.enter_context(torch_settings(placement))
        process_state.seed(placement.seed)
        context = Context(placement, channel, group=group)
        activate(context)
        settings.callback(deactivate, context)
        if placement.gpu and isinstance(channel, Noted):
            settings.callback(channel.measure)
        if placement.profile and context.is_main:
            folder = TrialPaths(Path(placement.trial_dir)).profiles
            settings.enter_context(profiled(folder, f"attempt-{placement.attempt}", context.after_reports))
        try:
            with delivered(channel), _children_end(say):
                call(function, context, placement)
        except StopTrial as stop:
            return stop.decision.outcome or "returned"
        except SystemExit as end:
            if not _is_success(end):
                raise TrainingError(
                    f"{context.where()}: the training function called sys.exit({end.code!r}). "
                    "Return when training has ended well, raise an error that says why when it hasn't."
                ) from end
        except Exception as error:
            if (short := memory.exhausted(error)) is not None:
                raise memory.shortage(context, placement.gpu, short) from error
            raise
        return "returned"


@contextmanager
def delivered(channel: Channel) -> Iterator[None]:
    """Wait at the end for a checkpoint that is still being written, so that the trial can go on from it.

    What the training function raised comes before what became of the checkpoint.
    """
    settle = channel.settle if isinstance(channel, WritingChannel) else lambda: None
    try:
        yield
    except BaseException:
        with suppress(Exception):
            settle()
        raise
    settle()


@contextmanager
def _children_end(say: Callable[[str], object]) -> Iterator[None]:
    """End a forked child of the training function where it leaves the function.

    Above are the executor and, inline, the driver itself: the child would go on as a second one.
    """
    process = os.getpid()
    status = 0
    try:
        yield
    except BaseException as error:
        status = 0 if isinstance(error, SystemExit) and _is_success(error) else 1
        if status and os.getpid() != process:
            say(traceback.format_exc())
        raise
    finally:
        if os.getpid() != process:
            os._exit(status)


def _is_success(end: SystemExit) -> bool:
    return end.code is None or end.code == 0


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def torch_settings(placement: Placement) -> Iterator[None]:
    """Keep the attempt within its share of the machine, and undo what it sets for the whole process."""
    import torch

    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(max(1, int(placement.cpu)))
    capped = 0 < placement.gpu < 1 and placement.device != "cpu" and torch.cuda.is_available()
    if capped:
        # Ray's half a GPU is bookkeeping, not a wall: without a cap one trial could take its neighbour's memory.
        # What the allocator keeps of an attempt before would count as used.
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(memory.allocator_fraction(placement.gpu, total))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul)
        if capped:
            torch.cuda.set_per_process_memory_fraction(1.0)
