"""What comes of a trial's report: taken in once, judged by the study's own end, the target and the scheduler."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.core import events as ev
from sweep.core.books import Books
from sweep.core.commands import Answer, Command, ReportToSampler
from sweep.core.ending import Endings
from sweep.core.objectives import objectives
from sweep.core.progress import Progress
from sweep.core.protocols import Decision
from sweep.core.schedulers.scheduler import Scheduler
from sweep.core.spec import StudySpec
from sweep.core.trial import Report, Trial


class Judge:
    """Answers the reports of trials at work, and says beforehand at which an answer can end one."""

    def __init__(
        self, spec: StudySpec, *, books: Books, scheduler: Scheduler, progress: Progress, endings: Endings
    ) -> None:
        self._rules = spec.scheduler
        self._metric = objectives(spec)
        self._books = books
        self._scheduler = scheduler
        self._progress = progress
        self._endings = endings

    def judged(self, number: int) -> tuple[int, ...] | None:
        """The fidelities below max_t at which a trial's report can end it; None for any.

        The study's own end comes at any time, and isn't among them.
        """
        trial = self._books.get(number)
        if trial.repeat_of is not None:
            return ()
        return None if self._endings.targeted else self._scheduler.judged(trial)

    def saved(self, number: int) -> tuple[int, ...]:
        """The fidelities at which a trial may pause, and so writes a checkpoint whatever `checkpoint.every` says."""
        trial = self._books.get(number)
        return () if trial.repeat_of is not None else self._scheduler.saved(trial)

    def report(self, trial: Trial, event: ev.Reported) -> tuple[list[Command], Answer]:
        """Take in a report of the trial's latest attempt, and answer it; the verdict on the trial stays as it is."""
        t = int(event.metrics[self._rules.time_attr])
        commands: list[Command] = []
        if trial.verdict is not None:
            # On warm workers training runs ahead: what a trial that goes on later has done meanwhile isn't done again.
            decision = trial.verdict
            if decision.goes_on and not self._decides(trial, t):
                commands += self._take_in(trial, t, event)
                meanwhile = f"trained meanwhile: it goes on from {self._rules.time_attr} {t}"
                decision = Decision(decision.action, meanwhile)
        elif t <= trial.t:
            # A later attempt goes over ground that an earlier one has covered: it was judged there already.
            _replace(trial, t, event)
            decision = Decision("advance", f"{self._rules.time_attr} {t} was judged in an earlier attempt")
        else:
            commands += self._take_in(trial, t, event)
            decision = self._judge(trial, t, event.metrics)
        return commands, Answer(trial.number, t, self._moved(trial, event, self._overrule(decision)))

    def _take_in(self, trial: Trial, t: int, event: ev.Reported) -> list[Command]:
        trial.reports.append(Report(t, dict(event.metrics), event.checkpoint, event.attempt, event.time))
        result = self._metric.result(event.metrics)
        if result is None or trial.repeat_of is not None:
            return []
        self._progress.reported(trial.number, self._metric.score(event.metrics))
        # What it shows with another's config says nothing of the one that was proposed.
        return [] if trial.lineage else [ReportToSampler(trial.number, t, result)]

    def _decides(self, trial: Trial, t: int) -> bool:
        """Whether more could follow from a report at `t` than that the trial goes on; so also one that isn't new."""
        judged = self.judged(trial.number)
        if judged is None or t <= trial.t or t >= self._rules.max_t:
            return True
        return any(trial.t < rung <= t for rung in judged)

    def _judge(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Decision:
        """The scheduler's word on a new report, and the target's."""
        reached = self._endings.look_at_target(trial, metrics)
        if reached is not None:
            return Decision("finish", reached)
        if t >= self._rules.max_t:
            return Decision("finish", f"reached max_t ({self._rules.time_attr} {t})")
        if trial.repeat_of is not None:
            return Decision("advance", f"a repeat of trial {trial.repeat_of}: it isn't judged")
        return self._scheduler.report(trial, t, metrics)

    def _moved(self, trial: Trial, event: ev.Reported, decision: Decision) -> Decision:
        """A trial that goes on does so elsewhere when its node is about to go, and it has a checkpoint to go on from.

        Without one it stays: it may still come to its end there.
        """
        node = trial.attempts[-1].node
        if decision.action != "advance" or event.checkpoint is None or node not in self._books.draining:
            return decision
        why = f"node {node} drains, {reason}" if (reason := self._books.draining[node]) else f"node {node} drains"
        before = f"{decision.reason}; " if decision.rung is not None else ""
        return Decision("move", f"{before}{why}: it goes on elsewhere", decision.rung)

    def _overrule(self, decision: Decision) -> Decision:
        """The study's own end comes before the scheduler's word, except for a trial that is through."""
        ending = self._endings.ending
        if decision.action != "advance" or ending is None or ending.kind == "drain":
            return decision
        return Decision("stop" if ending.kind == "halt" else "pause", ending.reason)


def _replace(trial: Trial, t: int, event: ev.Reported) -> None:
    """Note that fidelity `t` was reached anew: its checkpoint is now the later attempt's, and so are its metrics.

    Without a checkpoint the earlier report stands, for its own may still be there.
    """
    if event.checkpoint is None:
        return
    for index, report in enumerate(trial.reports):
        if report.t == t:
            trial.reports[index] = Report(t, dict(event.metrics), event.checkpoint, event.attempt, event.time)
