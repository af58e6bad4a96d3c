"""The verbs that change what a study does: stop, cancel, pause, retry, extend; `resume` is beside `launch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli import launching as verbs
from sweep.cli.launching import Address, Detach, ExecutorName, Form, LogFormat, RunJson
from sweep.cli.options import STORAGE, AsJson, Elsewhere, Storage, StudyName, echo_json, find_study
from sweep.errors import InputError

if TYPE_CHECKING:
    from sweep.controlling import Reply
    from sweep.core.events import Verb

TrialNumber = Annotated[
    int | None, typer.Argument(metavar="TRIAL", help="One trial's number; the whole study without it.")
]
UNANSWERED = 1


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (stop, cancel, pause, retry, extend):
        app.command()(verb)


def stop(
    study: StudyName,
    trial: TrialNumber = None,
    storage: Storage = STORAGE,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """Create no new trials; those at work go to their ends. One trial ends at its next report."""
    _say(_ask(storage, study, "stop", trial=trial), study, as_json)


def cancel(
    study: StudyName,
    trial: TrialNumber = None,
    storage: Storage = STORAGE,
    address: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """End the study now, and what is at work with it. One trial: its attempt alone."""
    _say(_ask(storage, study, "cancel", trial=trial), study, as_json)


def pause(study: StudyName, storage: Storage = STORAGE, address: Elsewhere = None, as_json: AsJson = False) -> None:
    """Start nothing until `sweep resume`; trials at work go to their ends."""
    _say(_ask(storage, study, "pause"), study, as_json)


def retry(
    study: StudyName,
    failed: Annotated[bool, typer.Option("--failed", help="All trials that failed.")] = False,
    oom: Annotated[bool, typer.Option("--oom", help="Those that ran out of memory, with more of it.")] = False,
    storage: Storage = STORAGE,
    executor: ExecutorName = "ray",
    address: Address = None,
    detach: Detach = False,
    as_json: RunJson = False,
    log_format: LogFormat = "text",
) -> None:
    """Give failed trials a further attempt; a study that nobody works on goes on here."""
    if failed == oom:
        raise InputError(f"sweep retry {study}: say which trials: --failed, or --oom.")
    reply = _ask(storage, study, "retry", which="failed" if failed else "oom")
    _go_on(reply, study, storage, executor, address, verbs.form_of(as_json, log_format))


def extend(
    study: StudyName,
    trials: Annotated[str | None, typer.Option(metavar="+N", help="So many more trials.")] = None,
    time: Annotated[str | None, typer.Option(metavar="+1h30m", help="So much more time.")] = None,
    gpu_hours: Annotated[str | None, typer.Option(metavar="+N", help="So many more GPU-hours.")] = None,
    cost: Annotated[str | None, typer.Option(metavar="+N", help="So much more money.")] = None,
    storage: Storage = STORAGE,
    executor: ExecutorName = "ray",
    address: Address = None,
    detach: Detach = False,
    as_json: RunJson = False,
    log_format: LogFormat = "text",
) -> None:
    """Enlarge the budget; a study that has ended goes on here."""
    more = {
        "trials": _more(trials, "--trials", whole=True),
        "time_s": _more_time(time),
        "gpu_hours": _more(gpu_hours, "--gpu-hours"),
        "cost": _more(cost, "--cost"),
    }
    if not any(more.values()):
        raise InputError(f"sweep extend {study}: say by what: --trials +50, --time +1h, --gpu-hours +8 or --cost +20.")
    reply = _ask(storage, study, "extend", **more)
    _go_on(reply, study, storage, executor, address, verbs.form_of(as_json, log_format))


def _more(text: str | None, option: str, *, whole: bool = False) -> float | None:
    """A number with its plus sign.

    Raises:
        InputError: it isn't one.
    """
    if text is None:
        return None
    kind = "a whole number" if whole else "a number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = 0
    if not text.startswith("+") or not 0 < value < float("inf"):
        hint = f" Write {option} +{text}: so many more." if value > 0 else ""
        raise InputError(f"{option}: expected + and {kind} above 0, got {text!r}.{hint}")
    return value


def _more_time(text: str | None) -> float | None:
    from sweep.core.units import parse_duration

    if text is None:
        return None
    hint = f" Write --time +{text}: so much more." if text[:1].isdigit() else ""
    if not text.startswith("+"):
        raise InputError(f"--time: expected + and a duration, got {text!r}.{hint}")
    try:
        return parse_duration(text[1:])
    except ValueError as error:
        raise InputError(f"--time: {error}.") from error


def _ask(storage: str, study: str, verb: Verb, **arguments: Any) -> Reply:
    from sweep import controlling

    return controlling.granted(find_study(storage, study), verb, **arguments)


def _say(reply: Reply, study: str, as_json: bool) -> None:
    """Say what was answered; exit code 1 when nobody did."""
    if as_json:
        echo_json({
            "study": study,
            "verb": reply.request.verb,
            "trial": reply.request.trial,
            "accepted": reply.accepted,
            "answer": reply.answer,
            "live": reply.live,
        })  # fmt: skip
    else:
        typer.echo(f"{study}: {reply.answer}", err=reply.accepted is None)
    if reply.accepted is None:
        raise typer.Exit(UNANSWERED)


def _go_on(reply: Reply, study: str, storage: str, executor: str, address: str | None, form: Form) -> None:
    """Say the answer; where no driver is there to act on it, become one."""
    if reply.live:
        _say(reply, study, form == "events")
        return
    verbs.say(f"{study}: {reply.answer}", form)
    verbs.go_on(find_study(storage, study), executor, address, form)
