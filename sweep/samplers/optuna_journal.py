"""Optuna's journal of a study, for optuna-dashboard and Optuna's own analyses; written off the driver's path.

It is a copy: `events.jsonl` is the truth, and a resume writes the journal anew. A thread of its own does the writing,
for Optuna waits for the disk at each value (several milliseconds), which no trial should wait for.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep.core.objectives import Result, objectives
from sweep.core.space import Space
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.samplers.optuna_space import STATES, constraints, directions, running_trial

_Write = tuple[Literal["add"], int, dict[str, Any]] | tuple[Literal["report"], int, int, float]
_Tell = tuple[Literal["tell"], int, TrialState, Result | None]


def is_current(path: Path, machine: StudyMachine) -> bool:
    """Whether the journal has the trials of a study, in the states that they have."""
    if not path.is_file():
        return False
    storage = JournalStorage(JournalFileBackend(str(path)))
    try:
        study = optuna.load_study(study_name=machine.spec.name, storage=storage)
    except KeyError:
        return False
    written = Counter(trial.state for trial in study.get_trials(deepcopy=False))
    wanted = Counter(
        STATES[trial.end] if trial.end is not None else TrialState.RUNNING
        for trial in machine.trials.values()
        if trial.repeat_of is None
    )
    return written == wanted


class OptunaJournal:
    """Writes what the sampler learns into `path`; a file that is there already is replaced.

    Trials have the same numbers in Optuna as here, until there are repeats, which it isn't told of. A trial's Optuna
    state is RUNNING until it ends.
    """

    def __init__(self, path: Path, spec: StudySpec) -> None:
        self._spec = spec
        self._metric = objectives(spec)
        path.unlink(missing_ok=True)
        # A writer that was killed leaves its lock, and would make the next one wait for ever.
        for stale in path.parent.glob(f"{path.name}.lock*"):
            with contextlib.suppress(FileNotFoundError):
                stale.unlink()
        self._storage = JournalStorage(JournalFileBackend(str(path)))
        optuna.create_study(storage=self._storage, study_name=spec.name, directions=directions(self._metric))
        self._study_id = self._storage.get_study_id_from_name(spec.name)
        self._space = Space(spec)
        self._ids: dict[int, int] = {}
        self._queue: queue.Queue[_Write | _Tell | None] = queue.Queue()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._write_all, name="optuna-journal", daemon=True)
        self._thread.start()

    def add(self, trial: int, config: Mapping[str, Any]) -> None:
        """A trial was created."""
        self._queue.put(("add", trial, dict(config)))

    def report(self, trial: int, t: int, result: Result) -> None:
        """An intermediate value; of several objectives Optuna's records have none."""
        if not self._metric.several:
            self._queue.put(("report", trial, t, result.value))

    def pause(self, trial: int, *, paused: bool) -> None:
        """A paused trial is RUNNING in the journal: Optuna has no word for it."""

    def tell(self, trial: int, state: Literal["complete", "stopped", "failed"], result: Result | None) -> None:
        """The trial's end."""
        self._queue.put(("tell", trial, STATES[state], result))

    def close(self) -> None:
        """Wait until all is written.

        Raises:
            OSError: the disk refused a write; the study itself is unharmed.
        """
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                try:
                    self._write(item)
                except OSError as error:
                    self._failure = error

    def _write(self, item: _Write | _Tell) -> None:
        match item:
            case ("add", trial, config):
                template = running_trial(self._space, config)
                self._ids[trial] = self._storage.create_new_trial(self._study_id, template_trial=template)
            case ("report", trial, t, value):
                self._storage.set_trial_intermediate_value(self._ids[trial], t, value)
            case ("tell", trial, state, result):
                trial_id = self._ids.pop(trial)
                for name, excess in constraints(self._metric, result).items():
                    self._storage.set_trial_system_attr(trial_id, f"constraints:{name}", excess)
                values = list(result.values) if state is TrialState.COMPLETE and result is not None else None
                self._storage.set_trial_state_values(trial_id, state, values)
