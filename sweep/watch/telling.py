"""What a study's events mean to a person, in lines."""

from __future__ import annotations

from sweep.core import events as ev
from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial, TrialState
from sweep.store.paths import StudyPaths
from sweep.watch.tails import Tails, alike, brief
from sweep.watch.tally import Tally, tally_for
from sweep.watch.text import counted, duration, last_line, measured, number, sentence, shown


class Teller:
    """Says of each event what a person would want to know.

    Args:
        paths: where logs lie.
        verbose: say each report and each decision, too.
        last_words: after a failure say how its log ends, the first time that one fails so.
    """

    def __init__(self, paths: StudyPaths, *, verbose: bool = False, last_words: bool = True) -> None:
        self._tails = Tails(paths)
        self._verbose = verbose
        self._last_words_too = last_words
        self._tally: Tally | None = None
        self._pauses: dict[int, str] = {}  # why trials pause, until they do
        self._failed: set[str] = set()  # causes whose log was shown
        self._onward: dict[int, ev.WentOn] = {}  # who was chosen to go on, until it does

    def lines(self, study: StudyMachine, event: ev.AnyEvent) -> list[str]:
        """What the event means, if anything; `study` is the state after it."""
        if self._tally is None:
            self._tally = tally_for(study)
        best = self._tally.best
        self._tally.take(study, event)
        if isinstance(event, ev.Decided) and event.action in ("pause", "move"):
            # What a worker trained meanwhile has a decision too; the first one says why.
            self._pauses.setdefault(event.trial, event.reason)
        elif isinstance(event, ev.WentOn) and study.trials[event.trial].state is not TrialState.RUNNING:
            self._onward[event.trial] = event
        lines = self._told(study, event)
        new = self._tally.best
        if isinstance(event, ev.Reported) and new is not None and (best is None or new.trial != best.trial):
            # Only when another trial takes the lead: one that improves on itself would say so at each report.
            place = f"trial {new.trial} at {study.spec.scheduler.time_attr} {new.t}"
            if study.metric.several:
                lines.append(f"best {study.metric.name} so far: {measured(study.metric.names, new.metrics)}, {place}")
            else:
                lines.append(f"best so far: {study.metric.name} {number(new.value)}, {place}")
        return lines

    def _told(self, study: StudyMachine, event: ev.AnyEvent) -> list[str]:
        match event:
            case ev.RunStarted():
                return self._run_started(study, event)
            case ev.AttemptStarted():
                return [_started(study, event, self._onward.pop(event.trial, None))]
            case ev.Reported() if self._verbose:
                metrics = ", ".join(f"{name} {number(value)}" for name, value in event.metrics.items())
                return [f"trial {event.trial}: {metrics}"]
            case ev.Decided() if self._verbose:
                place = f"{study.spec.scheduler.time_attr} {event.t}"
                return [f"trial {event.trial}: {event.action} at {place}: {event.reason}"]
            case ev.AttemptEnded():
                return self._ended(study, event)
            case _:
                return _told_of_study(study, event)

    def _run_started(self, study: StudyMachine, event: ev.RunStarted) -> list[str]:
        slots = f"{counted(event.slots, 'trial')} at once"
        again = f", going on after {counted(len(study.trials), 'trial')}" if study.trials else ""
        lines = [f"study {study.spec.name} started on {event.executor}: {slots}{again}", *event.notes]
        return [*lines, f"dashboard: {event.dashboard}"] if event.dashboard else lines

    def _ended(self, study: StudyMachine, event: ev.AttemptEnded) -> list[str]:
        trial = study.trials[event.trial]
        name = f"trial {trial.number}"
        if trial.state is TrialState.FAILED:
            return [f"{name} failed: {self._cause(trial, event)}", *self._last_words(trial, event)]
        if trial.state.final:
            value = _measured(study, trial)
            # The reason is the decision's: a line of its own for that would say it twice.
            place = f"{study.spec.scheduler.time_attr} {trial.t}"
            top = self._tally.best if self._tally else None
            what = f"best {study.metric.name}" if study.metric.several else "best"
            best = f", the {what} so far" if top and top.trial == trial.number else ""
            return [f"{name} {trial.state.value} at {place}: {value}{best}; {trial.reason}"]
        if event.outcome in ("failed", "lost"):
            again = f"{name}, attempt {event.attempt} {event.outcome}, will be tried again"
            return [f"{again}: {self._cause(trial, event)}", *self._last_words(trial, event)]
        waits = self._pauses.pop(trial.number, None)
        if waits is not None and event.outcome == "moved":
            return [f"{name} moves at {study.spec.scheduler.time_attr} {trial.t}: {waits}"]
        if waits is not None and trial.state is TrialState.PAUSED:
            value = _measured(study, trial)
            return [f"{name} pauses at {study.spec.scheduler.time_attr} {trial.t}: {value}; {waits}"]
        return [f"{name}, attempt {event.attempt} {event.outcome}: the trial is {trial.state.value}"]

    def _cause(self, trial: Trial, event: ev.AttemptEnded) -> str:
        """Why, in a line, what the attempt died of where that is something else, and the log's path."""
        died = last_line(event.error or "")
        reason = trial.reason or died or f"the attempt was {event.outcome}"
        text = f"{reason.removesuffix('.')} ({died})" if died and died not in reason else reason
        log, _ = self._tails.of(trial.number, event.attempt)
        return f"{sentence(text)} Log: {log}"

    def _last_words(self, trial: Trial, event: ev.AttemptEnded) -> list[str]:
        """How the log ends, of the first attempt that fails so."""
        told = last_line(event.error or "") or trial.reason
        if not self._last_words_too or alike(told) in self._failed:
            return []
        self._failed.add(alike(told))
        return [f"  {line}" for line in brief(self._tails.of(trial.number, event.attempt)[1], told)]


def _measured(study: StudyMachine, trial: Trial) -> str:
    """A trial's best report, in each objective."""
    report = trial.best(study.metric)
    return measured(study.metric.names, report.metrics if report else {})


def _started(study: StudyMachine, event: ev.AttemptStarted, chosen: ev.WentOn | None) -> str:
    trial = study.trials[event.trial]
    where = ", ".join(part for part in (event.device, event.node) if part)
    place = f" on {where}" if where else ""
    if chosen is not None:
        to = f"{study.spec.scheduler.time_attr} {chosen.until}"
        return f"trial {trial.number} goes on to {to}, attempt {event.attempt}{place}: {chosen.reason}"
    if event.attempt > 1:
        return f"trial {trial.number} started again, attempt {event.attempt}{place}"
    same = constants(study.spec)
    if trial.repeat_of is not None:
        return f"trial {trial.number} started{place}: a repeat of trial {trial.repeat_of} with another seed"
    config = ", ".join(f"{name}={shown(value)}" for name, value in trial.config.items() if name not in same)
    return f"trial {trial.number} started{place}" + (f": {config}" if config else "")


def _told_of_study(study: StudyMachine, event: ev.AnyEvent) -> list[str]:
    match event:
        case ev.NodeChanged():
            return [_node_changed(event)]
        case ev.Delayed():
            return [f"{counted(event.attempts, 'trial')} can't begin: {event.reason}"]
        case ev.ShareChosen():
            at_once = f"{counted(event.slots, 'trial')} at once"
            return [f"gpu: auto: a trial gets {event.gpu:g} GPU from now on, {at_once}: {event.reason}"]
        case ev.StopRequested():
            return [f"stopping: {event.reason}"]
        case ev.Controlled():
            return [f"{event.request.verb}{'' if event.accepted else ' refused'}: {event.answer}"]
        case ev.RunEnded():
            return [_run_ended(study, event)]
        case ev.Promoted():
            alias = f", alias {event.alias}" if event.alias else ""
            return [f"trial {event.trial} promoted to {event.model} v{event.version}{alias}: {event.path}"]
        case _:
            return []


def _node_changed(event: ev.NodeChanged) -> str:
    node, at_once = event.node, f"{counted(event.slots, 'trial')} at once from now on"
    match event.change:
        case "joined":
            offers = ", ".join(f"{count:g} {what}" for count, what in ((node.cpu, "CPU"), (node.gpu, "GPU")) if count)
            return f"node {node.name} joined ({offers or 'nothing to offer'}): {at_once}"
        case "barred":
            return f"node {node.name} joined and isn't used: {event.reason}"
        case "draining":
            why = f" ({event.reason})" if event.reason else ""
            return f"node {node.name} drains{why}: its trials go on elsewhere, {at_once}"
        case "left":
            why = f" ({event.reason})" if event.reason else ""
            return f"node {node.name} is gone{why}: {at_once}"


def _run_ended(study: StudyMachine, event: ev.RunEnded) -> str:
    word = "complete" if event.complete else "interrupted"
    counts = ", ".join(f"{count} {state.value}" for state, count in study.counts().items() if count)
    trials = counted(len(study.trials), "trial") + (f" ({counts})" if counts else "")
    return f"study {study.spec.name} {word} after {duration(study.elapsed_s)}, {trials}: {event.reason}"
