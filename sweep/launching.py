"""The composition root: picks the adapters, turns the loop, promotes what won."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import sweep
from sweep.controlling import take_up
from sweep.core import algorithms, command_preview, feasibility, limits
from sweep.core.events import PromotionsDone
from sweep.core.protocols import Capacity, Executor, RunAttempt, Sampler
from sweep.core.resolved import spec_sha256
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.support import unsupported
from sweep.driver import Driver, Watcher
from sweep.errors import InputError, SpecError, StorageError, SweepError
from sweep.promoting import promote_study, registry_of
from sweep.registry import check_writable
from sweep.samplers.teaching import Learner, teach
from sweep.store import holding, lessons, study_folder
from sweep.store.events import encode
from sweep.store.holding import Hold
from sweep.store.paths import Place, StudyPaths, place, study_paths
from sweep.store.study_folder import StoredStudy
from sweep.training.entrypoints import check as check_entrypoint
from sweep.training.foreign import forms
from sweep.training.fused import keys
from sweep.training.scripts.checking import check as check_command
from sweep.watch.text import counted

if TYPE_CHECKING:
    from sweep.samplers.optuna_journal import OptunaJournal

EXECUTORS = ("ray", "tune", "inline")
"""Names for `--executor`; the first is the default."""

WatcherFactory = Callable[[StoredStudy], list[Watcher]]


def write_to_stderr(text: str) -> None:
    """Say something in a signal handler."""
    os.write(2, f"\nsweep: {text}\n".encode())


@dataclass(frozen=True)
class Options:
    """How a study runs, as opposed to what it is.

    Attributes:
        executor: one of EXECUTORS.
        ray: options of `ray.init`; `address` joins a running cluster.
        watchers: made when the study's folder is there.
        say: told one line at a time, for what happens before and after the run.
        profiled: numbers of the trials whose training is traced.
        announce: told at once, in a signal handler, that the study is stopping; it must not print through Python's
            buffers, for the handler may come in the middle of another print.
    """

    executor: str = EXECUTORS[0]
    ray: Mapping[str, Any] = field(default_factory=dict)
    watchers: WatcherFactory = lambda _: []
    say: Callable[[str], None] = lambda _: None
    announce: Callable[[str], None] = write_to_stderr
    profiled: Collection[int] = ()


def check(spec: StudySpec, base_dir: Path, *, source: str = "") -> str:
    """See that a file can be launched, before anything is made or started.

    Returns:
        The entrypoint, with an absolute path where it names a file; "" where the file has a command.

    Raises:
        InputError: what stands in the way.
    """
    refusals = unsupported(spec) or feasibility.problems(spec)
    if refusals:
        raise SpecError(refusals)
    entrypoint = ""
    if spec.command is not None:
        check_command(spec.command, _working_dir(spec, base_dir))
    elif spec.entrypoint is None:
        raise InputError(f"{source or spec.name}: entrypoint: missing.")
    else:
        entrypoint = check_entrypoint(spec.entrypoint, base_dir, _working_dir(spec, base_dir))
    storage = storage_of(spec, base_dir)
    study_folder.check_storage(storage)
    if not study_folder.exists(study_paths(storage, spec.name)):
        lessons.check(storage, spec)
    if spec.promote is not None:
        check_writable(registry_of(spec.promote, base_dir), spec.promote.model)
    return entrypoint


def storage_of(spec: StudySpec, base_dir: Path) -> Place:
    """What holds the study: what the file names; SWEEP_STORAGE when the file leaves the default."""
    usual = StudySpec.model_fields["storage"].default
    named = os.environ.get("SWEEP_STORAGE", spec.storage) if spec.storage == usual else spec.storage
    return place(named, base_dir)


def _working_dir(spec: StudySpec, base_dir: Path) -> Path:
    return (base_dir / (spec.environment.working_dir or ".")).resolve()


def launch(
    spec: StudySpec, *, base_dir: Path | None = None, options: Options | None = None, source: str = ""
) -> StoredStudy:
    """Run a study to its end; one that exists, made from the same file, goes on where it stopped.

    Args:
        spec: the search file.
        base_dir: what relative paths in it are from; the current folder by default.
        options: how to run.
        source: the file's name, for messages.

    Raises:
        InputError: nothing was started and nothing is left.
    """
    base_dir = (base_dir or Path.cwd()).resolve()
    options = options or Options()
    entrypoint = check(spec, base_dir, source=source)
    storage = storage_of(spec, base_dir)
    paths = study_paths(storage, spec.name)
    if study_folder.exists(paths):
        study_folder.check_same(study_folder.read(paths), spec)
        return resume(paths, options=options)
    executor = _executor(spec, paths, options, base_dir)
    try:
        capacity = _open(executor, spec, base_dir)
        learned = lessons.gather(storage, spec)
        study_folder.create(
            storage,
            spec,
            base_dir=base_dir,
            now=time.time(),
            version=sweep.__version__,
            lessons=lessons.encode(learned) if learned else None,
        )
        for one in learned:
            options.say(one.told())
        with holding.held(paths, options.say) as hold:
            return _run(hold, executor, capacity, entrypoint, options)
    finally:
        executor.close()


def resume(paths: StudyPaths, *, options: Options | None = None) -> StoredStudy:
    """Go on with a study: running trials from their checkpoints, ended ones not again.

    Raises:
        InputError: it can't go on; nothing was started.
    """
    options = options or Options()
    with holding.held(paths, options.say) as hold:
        take_up(hold, options.say)
        stored = study_folder.read(paths)
        if stored.machine.ended is not None and stored.machine.ended.complete:
            options.say(f"{stored.spec.name} is complete: {stored.machine.ended.reason}.")
            _complete_journal(stored, options)
            _promote(hold, options)
            return study_folder.read(paths)
        entrypoint = check(stored.spec, stored.base_dir, source=str(paths.spec))
        options.say(f"{stored.spec.name}: going on after {counted(len(stored.machine.trials), 'trial')}.")
        executor = _executor(stored.spec, paths, options, stored.base_dir)
        try:
            return _run(hold, executor, _open(executor, stored.spec, stored.base_dir), entrypoint, options)
        finally:
            executor.close()


def _executor(spec: StudySpec, paths: StudyPaths, options: Options, base_dir: Path) -> Executor:
    from sweep.training.attempt import no_warm_up, run_attempt, warm_up
    from sweep.training.carrying import carrying
    from sweep.training.fused.attempt import fusing, run_alone

    def attempts(run: RunAttempt) -> RunAttempt:
        return run if paths.url is None else carrying(run, paths.url)

    ray = _ray_options(spec, paths, options, base_dir)
    # What lies in a bucket is reached from everywhere.
    studies = paths.root.parent if paths.url is None else None
    match options.executor:
        case "inline":
            from sweep.executors.inline import InlineExecutor

            return InlineExecutor(attempts(run_attempt), spec.resources)
        case "ray":
            from sweep.executors.warm_executor import WarmExecutor

            together = fusing(spec)
            return WarmExecutor(
                attempts(run_alone if together else run_attempt),
                # A script has a process of its own, to which the GPU's memory belongs.
                no_warm_up if spec.command else warm_up,
                spec.resources,
                study=spec.name,
                ray_options=ray,
                studies=studies,
                fusing=together and replace(together, run_attempt=attempts(together.run_attempt)),
            )
        case "tune":
            from sweep.executors.tune_executor import TuneExecutor

            if paths.url is not None:
                raise InputError(
                    f"executor: tune, with storage {paths.storage}: Ray Tune needs a folder that all nodes share. "
                    "Use --executor ray, which needs none, or name a folder for storage."
                )
            return TuneExecutor(
                run_attempt,
                spec.resources,
                study=spec.name,
                scratch=paths.scratch,
                ray_options=ray,
                studies=studies,
            )
        case other:
            raise InputError(f"executor: {other!r} is unknown. Use one of {', '.join(EXECUTORS)}.")


def _open(executor: Executor, spec: StudySpec, base_dir: Path) -> Capacity:
    """Take hold of the machines; the notes say what becomes of `resources.fuse` and of GPU-hours too."""
    capacity = executor.open()
    notes = (*keys.notes(spec, executor.name), *algorithms.notes(spec), *feasibility.notes(spec))
    form = forms.in_file(spec.entrypoint, base_dir, _working_dir(spec, base_dir))
    notes += (*limits.notes(spec, capacity.gpu), *command_preview.notes(spec), *forms.notes(spec, form))
    return replace(capacity, notes=(*capacity.notes, *notes))


def _run(hold: Hold, executor: Executor, capacity: Capacity, entrypoint: str, options: Options) -> StoredStudy:
    """Drive a study that this process holds to its end, and promote."""
    from sweep.watch.tensorboard import TensorBoard

    paths = hold.paths
    for abandoned in paths.abandoned_scratch():
        shutil.rmtree(abandoned, ignore_errors=True)
    stored = study_folder.read(paths)
    learners = _Learners(paths, options)
    sampler, recorders = learners(stored.machine)
    watchers = [TensorBoard(paths), *_metrics(executor, stored.spec), *options.watchers(stored)]
    log = hold.log()
    driver = Driver(
        stored.machine,
        files=hold.files(stored.spec),
        log=log,
        sampler=sampler,
        recorders=recorders,
        watchers=watchers,
        entrypoint=entrypoint,
        working_dir=_working_dir(stored.spec, stored.base_dir),
        inbox=hold.inbox(),
        learners=learners,
        profiled=options.profiled,
    )
    try:
        with _interruptible(driver, options.announce):
            driver.begin(executor.name, capacity)
            executor.run(driver)
    except StorageError:
        # Nothing more can be written down; the study resumes from what is.
        raise
    except KeyboardInterrupt:
        driver.abandon("ended at once by an interrupt")
        raise
    except BaseException as error:
        driver.abandon(str(error) if isinstance(error, SweepError) else f"the driver failed: {error!r}")
        raise
    finally:
        executor.close()
        for watcher in watchers:
            watcher.close()
        learners.close()
        log.close()
    _promote(hold, options)
    return study_folder.read(paths)


def _metrics(executor: Executor, spec: StudySpec) -> list[Watcher]:
    """What tells Ray of the study's numbers, where a Ray is there."""
    if executor.name == "inline":
        return []
    from sweep.executors.metrics import RayMetrics

    return [RayMetrics(spec.name)]


def _ray_options(spec: StudySpec, paths: StudyPaths, options: Options, base_dir: Path) -> dict[str, Any]:
    """What Ray is told at its start: the study is a job with a name, and says what it is."""
    registry = registry_of(spec.promote, base_dir) if spec.promote else None
    metadata = {
        "job_name": f"sweep {spec.name}",
        "study": spec.name,
        "spec_sha256": spec_sha256(spec),
        "storage": str(paths.url or paths.root.parent),
        **({"registry": str(registry)} if registry else {}),
    }
    return {"metadata": metadata, **options.ray}


def _complete_journal(stored: StoredStudy, options: Options) -> None:
    """Write Optuna's journal anew if a killed driver left it behind the study."""
    from sweep.samplers.optuna_journal import is_current

    if not is_current(stored.paths.optuna_journal, stored.machine):
        learners = _Learners(stored.paths, options)
        teach(stored.machine, learners.recorders(stored.machine))
        learners.close()


class _Learners:
    """Makes the sampler and Optuna's journal, and tells them what is known of the study; again when trials reopen.

    The journal is a copy, so what goes wrong with it is said, and doesn't end a study.
    """

    def __init__(self, paths: StudyPaths, options: Options) -> None:
        self._paths = paths
        self._options = options
        self._journal: OptunaJournal | None = None

    def __call__(self, machine: StudyMachine) -> tuple[Sampler, list[Learner]]:
        from sweep.samplers.guided_sampler import make_sampler

        self.close()
        sampler = make_sampler(machine.spec, lessons.read(self._paths, machine.spec))
        recorders = self.recorders(machine)
        teach(machine, [sampler, *recorders])
        return sampler, recorders

    def recorders(self, machine: StudyMachine) -> list[Learner]:
        """Optuna's journal, empty as yet; none where it can't be made."""
        from sweep.samplers.optuna_journal import OptunaJournal

        self._journal = None
        try:
            self._journal = OptunaJournal(self._paths.optuna_journal, machine.spec)
        except OSError as error:
            self._tell(error)
            return []
        return [self._journal]

    def close(self) -> None:
        """Finish Optuna's journal."""
        if self._journal is None:
            return
        try:
            self._journal.close()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        self._options.say(f"Optuna's journal is incomplete ({error}); the study itself isn't. A resume writes it anew.")


def _promote(hold: Hold, options: Options) -> None:
    """Promote as the file says, once the study is complete and it wasn't done."""
    stored = study_folder.read(hold.paths)
    ended = stored.machine.ended
    if ended is None or not ended.complete or stored.machine.promotions_done:
        return
    if stored.spec.promote and stored.machine.ending and stored.machine.ending.cause == "cancel":
        options.say(f"cancelled: nothing is promoted unasked. By hand: sweep promote {stored.spec.name}")
        return
    log = hold.log()
    try:
        # Killed in the middle, it is done again from the start: the registry makes no version twice.
        lines = promote_study(stored, log)
        log.append(encode(PromotionsDone(time=time.time(), lines=lines)))
        log.sync()
    finally:
        log.close()
    for line in lines:
        options.say(line)


@contextmanager
def _interruptible(driver: Driver, announce: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM or a closed terminal once: running trials end at their next report. Twice: everything ends now.

    Outside the main thread Python lets nobody set handlers; there the caller's own stay. Under nohup a closed terminal
    changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []

    def handler(number: int, _: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            # It ends `run`, and what is closed after that ends the attempts. Not from here: a handler may stand in the
            # middle of a call of Ray's, which doesn't take another.
            raise KeyboardInterrupt
        announce("running trials end at their next report. Ctrl-C again ends everything now.")
        driver.request_stop(f"{signal.Signals(number).name}: running trials end at their next report")

    _handled.update(_SIGNALS)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        _handled.discard(signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in _handled}
    try:
        yield
    finally:
        _handled.clear()
        for number, old in before.items():
            signal.signal(number, old)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_handled: set[signal.Signals] = set()


_masks = threading.local()


def _hold_back() -> None:
    """Let signals wait while a process forks: one that came to the child before it is as usual there would be lost."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _let_come() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _as_usual_in_a_child() -> None:
    """In a process that a training function forked a signal means that process: it dies of it, as any does.

    A handler in Python wouldn't do: a child that waits for a lock which no thread of it holds never comes to run one.
    """
    for number in _handled:
        signal.signal(number, signal.SIG_DFL)
    _handled.clear()
    _let_come()


os.register_at_fork(before=_hold_back, after_in_parent=_let_come, after_in_child=_as_usual_in_a_child)
