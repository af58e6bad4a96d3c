"""What a person may ask of a study, whether it can be done, and what it changes.

`consider` reads and answers in words; `apply` does it, when the event that tells of it is taken in. Both see the same
state, so a replay does what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sweep.core.commands import Command, EndAttempt, Relearn
from sweep.core.ending import Cause, Ending
from sweep.core.events import Request
from sweep.core.fates import MAX_BATCH_SPLIT
from sweep.core.protocols import Decision
from sweep.core.trial import Trial, TrialState

if TYPE_CHECKING:
    from sweep.core.study import StudyMachine

_NEEDS: dict[Cause, tuple[str, str]] = {
    "trials": ("trials", "--trials +N"),
    "time": ("time_s", "--time +1h"),
    "gpu_hours": ("gpu_hours", "--gpu-hours +N"),
    "cost": ("cost", "--cost +N"),
}
"""Which part of an extension lifts which end."""


class Verdict(NamedTuple):
    """Whether a request is granted, and what is said to whoever asked."""

    accepted: bool
    answer: str


def consider(study: StudyMachine, request: Request) -> Verdict:
    """What becomes of a request, as the study stands."""
    if request.trial is not None:
        return _one_trial(study, request, request.trial)
    answers: dict[str, Callable[[StudyMachine, Request], Verdict]] = {
        "stop": _stop, "cancel": _cancel, "pause": _pause, "resume": _resume, "retry": _retry, "extend": _extend,
    }  # fmt: skip
    return answers[request.verb](study, request)


def _refused(text: str) -> Verdict:
    return Verdict(accepted=False, answer=text)


def _granted(text: str) -> Verdict:
    return Verdict(accepted=True, answer=text)


def _counted(count: int, what: str = "trial") -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _one_trial(study: StudyMachine, request: Request, number: int) -> Verdict:
    trial = study.trials.get(number)
    if trial is None:
        last = len(study.trials) - 1
        there = f"It has 0 to {last}." if last >= 0 else "It has none yet."
        return _refused(f"study {study.spec.name!r} has no trial {number}. {there}")
    if trial.state.final:
        return _refused(f"trial {number} has ended: it is {trial.state.value} ({trial.reason}).")
    if trial.state is not TrialState.RUNNING or study.run is None:
        return _granted(f"trial {number} is stopped; it wasn't at work")
    when = "at its next report" if request.verb == "stop" else "now"
    return _granted(f"trial {number} ends {when}")


def _over(study: StudyMachine, verb: str) -> Verdict | None:
    """The refusal of what only a study that isn't over can do."""
    if study.ended is not None and study.ended.complete:
        return _refused(f"study {study.spec.name!r} has ended: {study.ended.reason}. There is nothing left to {verb}.")
    ending = study.ending
    if study.run is not None and ending is not None and ending.kind != "drain":
        return _refused(f"study {study.spec.name!r} is ending already: {ending.reason}.")
    return None


def _stop(study: StudyMachine, request: Request) -> Verdict:
    refusal = _over(study, request.verb)
    if refusal:
        return refusal
    books = study.books
    if study.run is not None:
        count = len(books.running) + len(books.placed)
        return _granted(f"no new trials; {_counted(count)} at work go{'es' if count == 1 else ''} to the end")
    begun = [trial for trial in study.trials.values() if not trial.state.final and trial.attempts]
    if not begun:
        return _granted("the study is over: none of its trials was under way")
    text = f"no new trials; {_counted(len(begun))} had begun: sweep resume {study.spec.name} takes them to their ends"
    return _granted(text)


def _cancel(study: StudyMachine, request: Request) -> Verdict:
    if study.run is not None and study.ending is not None and study.ending.kind == "halt":
        # What waits for its next report, and may never come to it, can still be ended now.
        return _granted(f"{_counted(len(study.books.running))} at work end{'s' * (len(study.books.running) == 1)} now")
    refusal = _over(study, request.verb)
    if refusal:
        return refusal
    left = sum(not trial.state.final for trial in study.trials.values())
    return _granted(f"the study is cancelled: {_counted(left)} end{'s' if left == 1 else ''} now")


def _pause(study: StudyMachine, request: Request) -> Verdict:
    name = study.spec.name
    refusal = _over(study, request.verb)
    if refusal:
        return refusal
    if study.run is None:
        return _refused(f"nobody is at work on study {name!r}, so nothing is started until sweep resume {name}.")
    if study.paused:
        return _refused(f"study {name!r} is paused already.")
    count = len(study.books.running)
    at_work = f"{_counted(count)} at work go{'es' if count == 1 else ''} on; " if count else ""
    return _granted(f"no trial is started; {at_work}sweep resume {name} goes on")


def _resume(study: StudyMachine, _: Request) -> Verdict:
    if study.run is not None and study.paused:
        return _granted("trials are started again")
    return _refused(f"study {study.spec.name!r} isn't paused.")


def _retry(study: StudyMachine, request: Request) -> Verdict:
    found = to_retry(study, request)
    if not found:
        failed = study.books.failed
        what = "failed for lack of memory" if request.which == "oom" else "failed"
        others = f" ({_counted(failed)} failed otherwise: --failed)" if failed else ""
        return _refused(f"no trial of study {study.spec.name!r} has {what}{others}.")
    spent = study.limits.spent()
    if spent is not None:
        return _refused(f"{spent[1]}. Extend it first: sweep extend {study.spec.name} {_NEEDS[spent[0]][1]}")
    if study.run is not None and study.ending is not None and study.ending.kind != "drain":
        return _refused(f"study {study.spec.name!r} is ending ({study.ending.reason}). Retry when it has ended.")
    numbers = ", ".join(str(trial.number) for trial in found)
    return _granted(f"{_counted(len(found))} get{'s' if len(found) == 1 else ''} a further attempt: {numbers}")


def to_retry(study: StudyMachine, request: Request) -> list[Trial]:
    """The failed trials that are meant."""
    failed = [trial for trial in study.trials.values() if trial.state is TrialState.FAILED]
    if request.which == "oom":
        return [trial for trial in failed if trial.attempt is not None and trial.attempt.cause is not None]
    return failed


def _extend(study: StudyMachine, request: Request) -> Verdict:
    name, limits, ending = study.spec.name, study.limits, study.ending
    live = study.run is not None
    if ending is not None and ending.cause == "space":
        return _refused(f"study {name!r} can't be extended: {ending.reason}.")
    if live and ending is not None and ending.kind != "drain":
        return _refused(f"study {name!r} is ending ({ending.reason}). Extend it when it has ended.")
    for given, limit, key in (
        (request.time_s, limits.time_s, "time"),
        (request.gpu_hours, limits.gpu_hours, "gpu_hours"),
        (request.cost, limits.cost, "cost"),
        (request.trials, limits.trials if ending is None else 0, "trials"),
    ):
        if given is not None and limit is None:
            return _refused(f"study {name!r} has no limit in budget.{key} that could be extended.")
    after = _Extended(study, request)
    for cause, (field, option) in _NEEDS.items():
        if after.spent(cause) and getattr(request, field) is None:
            return _refused(f"study {name!r} would end at once: budget.{cause} is used up. Add {option}")
    parts = [f"{limits_text} in all" for limits_text in after.texts()]
    return _granted(f"the study may take {', '.join(parts)}")


class _Extended:
    """The limits of a study as they would be."""

    def __init__(self, study: StudyMachine, request: Request) -> None:
        self._created = study.books.proposed
        self._limits = study.limits
        self.trials = study.limits.trials
        if request.trials is not None:
            self.trials = request.trials + (_counted_from(study))
        self._request = request

    def spent(self, cause: Cause) -> bool:
        if cause == "trials":
            return self.trials is not None and self._created >= self.trials
        spent = self._limits.spent()
        return spent is not None and spent[0] == cause

    def texts(self) -> list[str]:
        request, limits = self._request, self._limits
        texts = [] if request.trials is None or self.trials is None else [_counted(self.trials)]
        if request.time_s is not None and limits.time_s is not None:
            texts.append(f"{max(limits.time_s, limits.elapsed_s) + request.time_s:.0f} s")
        if request.gpu_hours is not None and limits.gpu_hours is not None:
            texts.append(f"{max(limits.gpu_hours, limits.gpu_s / 3600) + request.gpu_hours:g} GPU-hours")
        if request.cost is not None and limits.cost is not None:
            texts.append(f"a cost of {max(limits.cost, limits.paid) + request.cost:g}")
        return texts


def _counted_from(study: StudyMachine) -> int:
    """The number of trials that an extension is added to."""
    ending = study.ending
    planned = study.limits.trials
    if planned is None or (ending is not None and ending.cause not in ("trials", "interrupt")):
        # The plan was given up, or there was none: what there is counts.
        return study.books.proposed
    return planned


def apply(study: StudyMachine, request: Request) -> list[Command]:
    """Change the study as a granted request says, and say what to do about it."""
    if request.trial is not None:
        return _dismiss(study, study.books.get(request.trial), request)
    match request.verb:
        case "stop":
            return _do_stop(study)
        case "cancel":
            return _do_cancel(study)
        case "pause":
            study.paused = True
        case "resume":
            study.paused = False
        case "retry":
            return _do_retry(study, request)
        case "extend":
            study.limits.extend(request, base=_counted_from(study))
            study.go_on()
    return []


def _dismiss(study: StudyMachine, trial: Trial, request: Request) -> list[Command]:
    """End one trial: at its next report, now, or, where it isn't at work, without a word to anybody but the sampler."""
    reason = "stopped by a person" if request.verb == "stop" else "cancelled by a person"
    if trial.state.final:
        # Its driver had died: what it had been told then ended it when the request was taken up.
        return []
    trial.dismissal = Decision("stop", reason)
    if trial.state is TrialState.RUNNING:
        trial.verdict = trial.dismissal
        return [EndAttempt(trial.number, len(trial.attempts))] if request.verb == "cancel" else []
    if trial.number in study.books.placed:
        # Its attempt is on its way, and is ended when it begins.
        return []
    return _leave(study, trial, reason)


def _leave(study: StudyMachine, trial: Trial, reason: str) -> list[Command]:
    """A trial that isn't at work is over."""
    study.books.move(trial, TrialState.STOPPED, reason)
    return study.closed(trial)


def _do_stop(study: StudyMachine) -> list[Command]:
    study.paused = False
    study.endings.ending = Ending("drain", "stop", "stopped by a person")
    unbegun = [trial for trial in study.books.unplaced() if not trial.attempts]
    return [command for trial in unbegun for command in _leave(study, trial, "stopped by a person before it began")]


def _do_cancel(study: StudyMachine) -> list[Command]:
    study.paused = False
    study.endings.ending = ending = Ending("halt", "cancel", "cancelled by a person")
    verdict = Decision("stop", ending.reason)
    commands: list[Command] = []
    for trial in study.running():
        if trial.verdict is None or trial.verdict.action != "finish":
            trial.dismissal = trial.verdict = verdict
        commands.append(EndAttempt(trial.number, len(trial.attempts)))
    if study.run is None:
        for trial in [*study.books.waiting.values(), *study.books.resting.values()]:
            commands += _leave(study, trial, verdict.reason)
    return commands


def _do_retry(study: StudyMachine, request: Request) -> list[Command]:
    for trial in to_retry(study, request):
        if request.which == "oom" and trial.attempt is not None:
            # The same again would run out again.
            held = study.held(trial)
            if trial.attempt.cause == "gpu_memory" and 0 < held < 1:
                trial.gpu = min(1.0, 2 * held)
            else:
                trial.batch_split = min(MAX_BATCH_SPLIT, 2 * trial.batch_split)
        trial.failures = trial.losses = 0
        trial.verdict = trial.dismissal = None
        study.books.move(trial, TrialState.WAITING)
    study.reopen()
    if study.ending is not None and study.ending.cause == "failures":
        study.endings.ending = None
    elif study.ending is not None and study.ending.kind == "halt":
        study.endings.ending = Ending("drain", study.ending.cause, study.ending.reason)
    return [Relearn()]
