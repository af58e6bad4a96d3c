"""TensorBoard's files of each trial: its curves, and its row on the HParams page."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from sweep.core import events as ev
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.store.paths import StudyPaths
from sweep.watch.event_file import EventFile

_LOG = logging.getLogger(__name__)


class TensorBoard:
    """A watcher that writes each report's metrics as scalars at its fidelity, and the config at a trial's end.

    A trial that goes on in a later attempt, or under a later driver, goes on in the same folder; what an earlier
    attempt has reported isn't written twice. A disk error is logged once, and ends the writing but not the study.

    Args:
        paths: of the study.
    """

    def __init__(self, paths: StudyPaths) -> None:
        self._paths = paths
        self._files: dict[int, EventFile] = {}
        self._unfinished: set[int] = set()
        self._broken = False

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Write what the event adds."""
        if self._broken:
            return
        try:
            self._take(study, event)
        except OSError as error:
            self._broken = True
            _LOG.warning("TensorBoard files are written no more: %s. The study goes on.", error)
            self._let_go()

    def close(self) -> None:
        """Close what is open."""
        self._let_go()

    def _take(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        match event:
            case ev.RunStarted():
                self._unfinished = {number for number, trial in study.trials.items() if _left_open(trial)}
                self._finish_those_left(study, event.time)
            case ev.AttemptStarted():
                self._unfinished.add(event.trial)
            case ev.Reported():
                self._report(study, event)
            case ev.AttemptEnded():
                self._attempt_ended(study, event)
            case ev.RunEnded():
                self._finish_those_left(study, event.time)
            case _:
                pass

    def _report(self, study: StudyMachine, event: ev.Reported) -> None:
        trial = study.trials[event.trial]
        report = trial.reports[-1] if trial.reports else None
        if report is None or (report.attempt, report.time) != (event.attempt, event.time):
            # Ground that an earlier attempt has covered, or a report after the verdict: it isn't in the study.
            return
        file = self._file(study, trial)
        file.scalars([*_charted(report.metrics, study.spec), *_best(study, trial)], report.t, report.time)
        file.flush()

    def _file(self, study: StudyMachine, trial: Trial) -> EventFile:
        """The trial's open file; a folder without one of ours also gets the reports that came before."""
        if trial.number in self._files:
            return self._files[trial.number]
        folder = self._paths.trial(trial.number).tensorboard
        empty = not any(folder.glob("events.out.tfevents.*.metrics"))
        file = EventFile(folder, trial.reports[-1].time, f"attempt-{len(trial.attempts)}.metrics")
        self._files[trial.number] = file
        if empty:
            # A row of the HParams page from now on; how it ends is added then.
            file.hparams(study.spec, trial)
            for report in trial.reports[:-1]:
                file.scalars(_charted(report.metrics, study.spec), report.t, report.time)
        return file

    def _attempt_ended(self, study: StudyMachine, event: ev.AttemptEnded) -> None:
        file = self._files.pop(event.trial, None)
        if file is not None:
            file.close()
        self._finish(study, study.trials[event.trial], event.time)

    def _finish_those_left(self, study: StudyMachine, now: float) -> None:
        """Some trials end without an event of their own: waiting ones when the study ends, judged ones at a resume."""
        for number in list(self._unfinished):
            self._finish(study, study.trials[number], now)

    def _finish(self, study: StudyMachine, trial: Trial, now: float) -> None:
        """Write the row of the HParams page, once the trial has come to its end."""
        if not trial.state.final:
            return
        self._unfinished.discard(trial.number)
        name = f"attempt-{len(trial.attempts)}.params"
        folder = self._paths.trial(trial.number).tensorboard
        if any(folder.glob(f"events.out.tfevents.*.{name}")):
            return
        file = EventFile(folder, now, name)
        try:
            file.hparams(study.spec, trial, now)
            file.scalars(_best(study, trial), trial.t, now)
        finally:
            file.close()

    def _let_go(self) -> None:
        for file in self._files.values():
            try:
                file.close()
            except OSError:
                # Its buffer didn't fit on the disk either; that was said already.
                continue
        self._files.clear()


def _left_open(trial: Trial) -> bool:
    """Whether the trial may still end, or may have done so just now, when a new driver took over."""
    return bool(trial.attempts) and (not trial.state.final or trial.attempts[-1].outcome == "lost")


def _best(study: StudyMachine, trial: Trial) -> list[tuple[str, float]]:
    """The trial's best value so far, as the HParams page wants it."""
    value = trial.value(study.metric)
    return [] if value is None else [(f"hparam/{study.metric.name}", value)]


def _charted(metrics: Mapping[str, float], spec: StudySpec) -> list[tuple[str, float]]:
    """The finite metrics; the fidelity is the axis and needs no curve."""
    time_attr = spec.scheduler.time_attr
    return [(name, value) for name, value in metrics.items() if name != time_attr and math.isfinite(value)]
