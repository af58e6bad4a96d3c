"""One study as its pages see it, kept up from its log: a look costs what is new, however many watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sweep.core import events as ev
from sweep.core.study import StudyMachine
from sweep.errors import InputError, StudyError, SweepError
from sweep.store import holding
from sweep.store.following import Follower, ReplacedError
from sweep.store.paths import StudyPaths
from sweep.watch.stories import trial_story
from sweep.watch.tables import study_row
from sweep.watch.tails import Tails
from sweep.watch.tally import Tally, tally_for
from sweep.watch.text import measured
from sweep.watch.ui.rows import Rows
from sweep.watch.ui.standing import standing
from sweep.watch.ui.trial_figure import trial_figure


class Feed:
    """A study that is followed; every method may be called from any thread.

    Args:
        paths: of the study.
        clock: seconds since 1970.

    Attributes:
        revision: grows with each look that has found something.
        epoch: grows when another log was found in its place: what was said before is void.
        problem: why it can't be read any more; empty as long as it can.
    """

    def __init__(self, paths: StudyPaths, clock: Callable[[], float] = time.time) -> None:
        self.paths = paths
        self.revision = self.epoch = 0
        self.problem = ""
        self._clock = clock
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._live = False
        self._tally: Tally | None = None
        self._rows = Rows()
        self._tails = Tails(self.paths, fetching=True)
        self._follower = Follower(self.paths, self._seen)

    def _seen(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        if self._tally is None:
            self._tally = tally_for(study)
        self._tally.take(study, event)
        self._rows.seen(event)

    def look(self) -> bool:
        """Take in what is new; whether anything was."""
        with self._lock:
            problem, news, live = "", 0, self._live
            try:
                # Asked first: a driver that ends in between must not look as if it had died.
                live = holding.is_at_work(self.paths)
                holding.up_to_date(self.paths)
                try:
                    news = self._follower.look()
                except ReplacedError:
                    self._begin()
                    self.epoch += 1
                    news = self._follower.look()
            except SweepError as error:
                problem = str(error)
            changed = bool(news) or live != self._live or problem != self.problem
            self.problem = problem
            if changed:
                self.revision += 1
            if live != self._live:
                # A trial that runs under a driver that is gone waits.
                self._rows.all_changed()
                self._live = live
            if self._readable:
                self._rows.renew(self._follower.machine, self.revision, live=live)
            return changed

    @property
    def live(self) -> bool:
        """Whether a driver was at work at the last look."""
        return self._live

    @property
    def _readable(self) -> bool:
        return self._tally is not None

    def state(self) -> dict[str, Any]:
        """What its page shows above the table of trials."""
        with self._lock:
            if self._tally is None:
                return {"study": self.paths.root.name, "state": "damaged", "problem": self.problem}
            found = standing(self._follower.machine, self._tally, self._tails, live=self._live, now=self._clock())
            return {**found, "path": self.paths.told(self.paths.root), "problem": self.problem}

    def columns(self) -> list[dict[str, Any]]:
        """Of the table of trials."""
        with self._lock:
            return self._rows.columns(self._follower.machine) if self._readable else []

    def rows(self, since: int = 0) -> list[list[Any]]:
        """The table's rows that have changed since a revision, by number."""
        with self._lock:
            return self._rows.since(since)

    def summary(self) -> dict[str, Any]:
        """It in the list of studies.

        Raises:
            StudyError: it can't be read.
        """
        with self._lock:
            if self.problem or not self._readable:
                raise StudyError(self.problem)
            return {**study_row(self._follower.machine, self.paths, live=self._live), "live": self._live}

    def story(self, number: int) -> dict[str, Any]:
        """One trial's.

        Raises:
            InputError: there is no such trial.
        """
        with self._lock:
            if not self._readable:
                raise InputError(self.problem)
            machine = self._follower.machine
            view = trial_story(machine, self.paths, number, live=self._live)
            trial = machine.trials[number]
            best, report = machine.best, trial.best(machine.metric)
            return {
                **view.data,
                "metric": machine.metric.name,
                "others": measured(machine.metric.names[1:], report.metrics) if report else "",
                "time_attr": machine.spec.scheduler.time_attr,
                "max_t": machine.spec.scheduler.max_t,
                "live": self._live,
                "final": trial.state.final,
                "is_best": trial is best,
                "best": best.number if best else None,
                "figure": trial_figure(machine, trial, live=self._live),
            }

    def of_trial(self, number: int) -> int:
        """The revision at which a trial changed last."""
        with self._lock:
            return self._rows.revision(number)
