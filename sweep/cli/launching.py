"""The verbs that check and run a search: launch, resume, preview, validate."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from sweep.cli.options import STORAGE, AsJson, Storage, StudyName, colourless, console, echo_json, find_study
from sweep.errors import InputError, ResourceError, SpecError

if TYPE_CHECKING:
    from sweep.core.spec import StudySpec
    from sweep.driver import Watcher
    from sweep.launching import Options
    from sweep.store.paths import StudyPaths
    from sweep.store.study_folder import StoredStudy
    from sweep.training.foreign.forms import Form as Written
    from sweep.watch.view import View

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The search file.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one key of the file, e.g. scheduler.max_t=9.")
]
ExecutorName = Annotated[
    str, typer.Option(help="ray: warm processes; tune: Ray Tune, a process a trial; inline: in this process.")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="auto or HOST:6379: a Ray cluster that this machine is part of; local: a Ray of its own. http://HOST:8265 "
        "or a cluster's file: one elsewhere, on which the verb then runs. By default the Ray that runs here, or a new "
        "one."
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="On a cluster elsewhere: don't wait for the end.")]
Profile = Annotated[
    list[int] | None,
    typer.Option("--profile", metavar="TRIAL", help="Trace a trial's training between its first two reports."),
]
Tracking = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="Write runs into MLflow, too: http://HOST:5000, or sqlite:///FILE."),
]
RunJson = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        envvar="SWEEP_LOG_FORMAT", help="json: for log collectors, lines and what trials print as JSON objects."
    ),
]
Form = Literal["people", "events", "records"]
"""Whom standard output is for: people, programs (--json) or collectors of logs (--log-format json)."""

WORK_FAILED = 1
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (launch, resume, preview, validate):
        app.command()(verb)


def launch(
    spec: SpecFile,
    name: Annotated[str | None, typer.Option(help="The study's name; the file's by default.")] = None,
    overrides: Overrides = None,
    trials: Annotated[int | None, typer.Option(min=1, help="As --set budget.trials=N.")] = None,
    executor: ExecutorName = "ray",
    address: Address = None,
    detach: Detach = False,
    profile: Profile = None,
    mlflow: Tracking = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before the start.")] = False,
    as_json: RunJson = False,
    log_format: LogFormat = "text",
) -> None:
    """Run a study to its end. Ctrl-C once: trials end at their next report; twice: now."""
    from sweep import launching

    loaded = _load(spec, overrides, name=name, trials=trials)
    base_dir = _here()
    launching.check(loaded, base_dir, source=str(spec))
    if executor not in launching.EXECUTORS:
        raise InputError(f"executor: {executor!r} is unknown. Use one of {', '.join(launching.EXECUTORS)}.")
    form = form_of(as_json, log_format)
    if form == "people":
        _print_plan(loaded, executor, address)
        if not yes and sys.stdin.isatty() and sys.stdout.isatty():
            typer.confirm("Start?", default=True, abort=True)
    if profile and loaded.command is not None:
        raise InputError("--profile: a script is a process of its own. Let it trace itself: torch.profiler.profile.")
    if profile and loaded.resources.fuse > 1:
        raise InputError("--profile: trials that are fused train in one process. Add --set resources.fuse=1.")
    tracking = _tracking(mlflow, loaded.name)
    options = replace(_options(executor, address, form, tracking), profiled=profile or ())
    with _only_lines(form):
        stored = launching.launch(loaded, base_dir=base_dir, options=options, source=str(spec))
    _finish(stored, form)


def resume(
    study: StudyName,
    storage: Storage = STORAGE,
    executor: ExecutorName = "ray",
    address: Address = None,
    detach: Detach = False,
    as_json: RunJson = False,
    log_format: LogFormat = "text",
) -> None:
    """Go on with a study that was paused, interrupted, or whose driver died."""
    from sweep.store import holding, study_folder

    paths = find_study(storage, study)
    if holding.is_at_work(paths) and study_folder.read(paths).machine.paused:
        from sweep import controlling

        reply = controlling.granted(paths, "resume")
        if reply.live:
            typer.echo(f"{study}: {reply.answer}", err=reply.accepted is None)
            raise typer.Exit(WORK_FAILED if reply.accepted is None else 0)
    go_on(paths, executor, address, form_of(as_json, log_format))


def form_of(as_json: bool, log_format: str) -> Form:
    """Whom standard output is for; --json says so by itself, whatever the environment has."""
    return "events" if as_json else "records" if log_format == "json" else "people"


def go_on(paths: StudyPaths, executor: str, address: str | None, form: Form) -> None:
    """Drive a study that is there to its end."""
    from sweep import launching

    options = _options(executor, address, form)
    with _only_lines(form):
        stored = launching.resume(paths, options=options)
    _finish(stored, form)


def preview(spec: SpecFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what a study would do and cost on this machine; starts nothing."""
    from sweep import launching

    loaded = _load(spec, overrides)
    launching.check(loaded, _here(), source=str(spec))
    if as_json:
        typer.echo(_plan(loaded).json())
        return
    _print_plan(loaded)


def validate(
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Search files.", show_default=False)],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check search files; every problem of each is told."""
    results = [_validated(path, overrides) for path in specs]
    problems = [problem for result in results for problem in result["problems"]]
    if as_json:
        echo_json(results)
        if problems:
            raise typer.Exit(2)
        return
    for result in results:
        if not result["problems"]:
            verdict = "right, but this version can't launch it." if result["warnings"] else "fine."
            typer.echo(f"{result['file']}: {verdict} {result['summary']}")
        for warning in result["warnings"]:
            typer.echo(warning, err=True)
    if problems:
        raise SpecError(problems)


def _here() -> Path:
    """The current folder.

    Raises:
        InputError: it was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the current folder is gone. Change to one that exists.") from error


def _validated(path: Path, overrides: list[str] | None) -> dict[str, Any]:
    from sweep.core import feasibility
    from sweep.core.space import varying
    from sweep.core.support import unsupported
    from sweep.watch.text import counted

    result: dict[str, Any] = {"file": str(path), "problems": [], "warnings": [], "summary": ""}
    try:
        spec = _load(path, overrides)
    except SpecError as error:
        result["problems"] = error.problems
    except InputError as error:
        result["problems"] = [str(error)]
    else:
        ends = counted(spec.budget.trials, "trial") if spec.budget.trials else "no limit of trials"
        told = _written(spec).told
        runs = f" {spec.entrypoint} runs {told}." if told else ""
        result["summary"] = f"{counted(len(varying(spec)), 'parameter')}, {ends}, max_t {spec.scheduler.max_t}.{runs}"
        result["problems"] = feasibility.problems(spec)
        result["warnings"] = unsupported(spec)
    return result


def _load(path: Path, overrides: list[str] | None, *, name: str | None = None, trials: int | None = None) -> StudySpec:
    from sweep.core.flow import flow
    from sweep.store.spec_file import read_spec

    changes = list(overrides or [])
    changes += [f"name={flow(name)}"] if name else []
    changes += [f"budget.trials={trials}"] if trials else []
    return read_spec(path, changes)


def _plan(spec: StudySpec, executor: str = "ray", address: str | None = None) -> View:
    """The plan on this machine; a cluster may offer more slots.

    Raises:
        ResourceError: this machine can't hold a trial, and no cluster at an address is to do so.
    """
    from sweep.core import algorithms, command_preview, feasibility, limits, plan
    from sweep.core.capacity import Grant, at_once, grant
    from sweep.machine import this_machine
    from sweep.training.foreign import forms
    from sweep.training.fused import keys
    from sweep.watch.plan import plan_view

    try:
        granted = grant(spec.resources, [this_machine(memory=spec.resources.gpu_memory is not None)])
    except ResourceError:
        if address is None:
            raise
        elsewhere = f"This machine can't hold a trial; whether the cluster at {address} can is seen at the start."
        share = spec.resources.gpu
        granted = Grant(1, 0.0 if share == "auto" else share, spec.resources.cpu, (elsewhere,))
    slots = 1 if executor == "inline" else granted.slots
    lanes = spec.resources.fuse if executor == "ray" and keys.can_fuse(spec) else 1
    made = plan.make(spec, slots=at_once(spec.resources, slots, lanes), gpu=granted.gpu)
    notes = (*keys.notes(spec, executor), *algorithms.notes(spec), *feasibility.notes(spec))
    form = _written(spec)
    notes += (*limits.notes(spec, granted.gpu), *command_preview.notes(spec), *forms.notes(spec, form))
    return plan_view(spec, made, (*granted.notes, *notes), form.told)


def _written(spec: StudySpec) -> Written:
    """For whom the training function was written, as far as a file of the user's tells."""
    from sweep.training.foreign import forms

    return forms.in_file(spec.entrypoint, Path(), Path(spec.environment.working_dir or "."))


def _print_plan(spec: StudySpec, executor: str = "ray", address: str | None = None) -> None:
    console().print(_plan(spec, executor, address))


def _tracking(mlflow: str | None, name: str) -> list[Watcher]:
    if mlflow is None:
        return []
    from sweep.watch.mlflow import Mlflow

    return [Mlflow(mlflow, name)]


def _options(executor: str, address: str | None, form: Form, also: Sequence[Watcher] = ()) -> Options:
    from sweep.launching import Options, write_to_stderr

    stdout = sys.stdout
    watchers: list[Watcher] = []

    def watch(stored: StoredStudy) -> list[Watcher]:
        watchers.append(watcher(stored.spec, stored.paths, form, stream=stdout))
        return [*also, *watchers]

    def announce(text: str) -> None:
        # The live view owns the terminal's cursor, so the word goes through it.
        note = getattr(watchers[-1], "note", None) if watchers else None
        (note or write_to_stderr)(text)

    return Options(
        executor=executor,
        ray={"address": address} if address else {},
        watchers=watch,
        announce=announce,
        say=lambda line: say(line, form, stdout),
    )


def say(line: str, form: Form, stream: TextIO | None = None) -> None:
    """Say what is no event of a study."""
    if form == "records":
        from sweep.watch.records import said

        line = said(line, time.time())
    out = stream or sys.stdout
    if form == "people" and out.isatty():
        from rich.console import Console

        from sweep.watch.text import glyphs_for
        from sweep.watch.view import note

        # Folded between words; the path at its end stays whole.
        Console(file=out, soft_wrap=True).print(note(line, glyphs_for(out.encoding)))
        return
    typer.echo(line, file=sys.stderr if form == "events" else stream)


def _only_lines(form: Form) -> AbstractContextManager[Any]:
    """Send what training functions print in this process to stderr, where stdout is for lines of JSON alone."""
    return nullcontext() if form == "people" else redirect_stdout(sys.stderr)


def watcher(spec: StudySpec, paths: StudyPaths, form: Form, *, stream: TextIO, screen: bool = False) -> Watcher:
    """How a study is shown on a stream: as JSON, as a live view on a terminal, as lines elsewhere.

    Args:
        spec: of the study.
        paths: its files.
        form: whom the stream is for.
        stream: where to.
        screen: whether a live view may take the whole terminal.
    """
    if form == "events":
        from sweep.watch.lines import JsonLines

        return JsonLines(stream)
    if form == "records":
        from sweep.watch.records import Records

        return Records(stream, paths)
    if stream.isatty() and not colourless():
        from rich.console import Console

        from sweep.core import plan
        from sweep.watch.live import LiveView

        return LiveView(Console(), plan.make(spec, slots=1), paths=paths, screen=screen)
    from sweep.watch.lines import LineLog

    return LineLog(stream, paths=paths)


def _finish(stored: StoredStudy, form: Form) -> None:
    """Say how it ended; exit code 1 when the work failed, 130 when it was interrupted."""
    machine = stored.machine
    if form == "people":
        from sweep.watch.summary import summary

        console().print(summary(machine, stored.paths))
    if machine.ended is not None and not machine.ended.complete:
        raise typer.Exit(INTERRUPTED)
    if machine.best is None:
        typer.echo(
            f"sweep: no trial of {stored.spec.name} came to a value; see sweep trials {stored.spec.name}", err=True
        )
        raise typer.Exit(WORK_FAILED)
