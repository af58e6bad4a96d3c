"""A study as runs of MLflow: one for the study, one nested in it for each trial."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sweep.core import events as ev
from sweep.core.resolved import resolved_yaml, spec_sha256
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial, TrialState
from sweep.errors import InputError, first_line
from sweep.watch.text import shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOG = logging.getLogger(__name__)

NOTE, MOST_TEXT = "mlflow.note.content", 4000
"""A run's description, and how long a tag may be with room to spare."""

STUDY, TRIAL, PARENT = "sweep.study", "sweep.trial", "mlflow.parentRunId"
"""Tags: by the first two a resumed study finds its runs again, by the last MLflow nests them."""

CLOSE_S = 60.0
"""How long the end of a study may wait for the server."""

_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.STOPPED: "KILLED", TrialState.FAILED: "FAILED"}


class Mlflow:
    """A watcher that writes a study into MLflow: configs as parameters, reports as metrics by fidelity.

    The experiment is the study's name. Runs that an earlier driver began go on. A thread of its own writes, so that
    nobody waits for the server; at the study's end `close` waits a minute for what is left. A server that fails is told
    once, and ends the writing but not the study.

    Args:
        tracking: MLflow's tracking URI: http://HOST:5000, or sqlite:///FILE.
        experiment: its name.

    Raises:
        InputError: MLflow isn't installed, or nothing answers there.
    """

    def __init__(self, tracking: str, experiment: str) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise InputError("--mlflow: MLflow isn't installed. Install it: pip install 'sweep[mlflow]'") from error
        try:
            self._client: MlflowClient = MlflowClient(tracking_uri=tracking)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
        except Exception as error:  # MLflow's stores raise what their libraries raise
            raise InputError(f"--mlflow: {tracking!r} can't be used: {first_line(error)}") from error
        self._name, self._study = experiment, ""
        self._runs: dict[int, str] = {}
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._write_all, name="sweep-mlflow", daemon=True)
        self._thread.start()

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Note what the event adds, to be written; the study may change meanwhile."""
        match event:
            case ev.RunStarted():
                self._work.put(partial(self._begin, study.spec, event.time))
            case ev.AttemptStarted():
                trial = study.trials[event.trial]
                self._work.put(partial(self._run_of, trial.number, dict(trial.config), trial.created))
            case ev.Reported():
                self._report(study, event)
            case ev.AttemptEnded():
                self._ended(study.trials[event.trial], event.time)
            case ev.RunEnded():
                for trial in study.trials.values():
                    self._ended(trial, event.time)
                self._finish(study, event)
            case _:
                pass

    def close(self) -> None:
        """Wait until all is written, or for a minute; harmless when called twice."""
        self._work.put(None)
        self._thread.join(CLOSE_S)

    def _write_all(self) -> None:
        broken = False
        while (write := self._work.get()) is not None:
            if broken:
                continue
            try:
                write()
            except Exception as error:  # noqa: BLE001 - MLflow's stores raise what their libraries raise
                broken = True
                _LOG.warning("MLflow is written no more: %s. The study goes on.", first_line(error))

    # Written by the thread

    def _begin(self, spec: StudySpec, time: float) -> None:
        for run in self._known(spec.name):
            number = run.data.tags.get(TRIAL)
            if number is None:
                self._study = run.info.run_id
            else:
                self._runs[int(number)] = run.info.run_id
        if not self._study:
            # As its description, and no artifact: those of a database would land in whatever folder is the current one.
            text = f"```yaml\n{resolved_yaml(spec, defaults=False)[:MOST_TEXT]}\n```"
            tags = {STUDY: spec.name, "mlflow.runName": spec.name, "spec_sha256": spec_sha256(spec), NOTE: text}
            self._study = self._create(tags, time)
        self._client.update_run(self._study, status="RUNNING")

    def _known(self, name: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], filter_string=f"tags.`{STUDY}` = '{name}'", page_token=token, max_results=1000
            )
            found += page
            token = page.token
            if not token:
                return found

    def _create(self, tags: dict[str, str], time: float) -> str:
        run = self._client.create_run(self._experiment, start_time=int(time * 1000), tags=tags)
        return str(run.info.run_id)

    def _run_of(self, number: int, config: dict[str, Any], created: float) -> None:
        if number in self._runs:
            return
        tags = {STUDY: self._name, TRIAL: str(number), PARENT: self._study, "mlflow.runName": f"trial {number}"}
        self._runs[number] = self._create(tags, created)
        for name, value in config.items():
            self._client.log_param(self._runs[number], name, shown(value))

    def _metrics(self, number: int, values: dict[str, float], t: int, at: int) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(self._runs[number], metrics=[Metric(name, each, at, t) for name, each in values.items()])

    def _terminate(self, number: int | None, status: str, at: int, tags: dict[str, str]) -> None:
        run = self._study if number is None else self._runs.get(number)
        if run is None:
            return
        for name, value in tags.items():
            self._client.set_tag(run, name, value)
        self._client.set_terminated(run, status=status, end_time=at)

    # Noted at once

    def _report(self, study: StudyMachine, event: ev.Reported) -> None:
        trial = study.trials[event.trial]
        report = trial.reports[-1] if trial.reports else None
        if report is None or (report.attempt, report.time) != (event.attempt, event.time):
            # Ground that an earlier attempt has covered, or a report after the verdict.
            return
        time_attr = study.spec.scheduler.time_attr
        values = {name: each for name, each in report.metrics.items() if name != time_attr and math.isfinite(each)}
        self._work.put(partial(self._metrics, trial.number, values, report.t, int(report.time * 1000)))

    def _ended(self, trial: Trial, time: float) -> None:
        status = _STATUS.get(trial.state)
        if status is not None:
            tags = {"reason": trial.reason}
            self._work.put(partial(self._terminate, trial.number, status, int(time * 1000), tags))

    def _finish(self, study: StudyMachine, event: ev.RunEnded) -> None:
        best, at, tags = study.best, int(event.time * 1000), {"reason": event.reason}
        value = best.value(study.metric) if best else None
        if best is not None and value is not None:
            name, step = f"best.{study.metric.name}", len(study.trials)
            self._work.put(lambda: self._client.log_metric(self._study, name, value, timestamp=at, step=step))
            tags["best_trial"] = str(best.number)
        self._work.put(partial(self._terminate, None, "FINISHED" if event.complete else "KILLED", at, tags))
