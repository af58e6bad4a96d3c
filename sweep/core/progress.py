"""Whether a study still gets better: patience, and what the rest of its budget would likely buy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sweep.core.convergence import CONFIDENCE, MIN_TRIALS, Outlook, Record, outlook
from sweep.core.objectives import Objectives, Score, objectives
from sweep.core.ranking import beats
from sweep.core.spec import StudySpec
from sweep.core.trial import Trial, TrialState

_LOOK_AGAIN = 1.05
"""What more trials would buy is estimated anew when there are so many times the trials of the last time."""


class Progress:
    """The scores of a study's trials in the order in which they ended, and how long ago the best one came.

    Of one objective a trial is better that ranks before all others: within the bounds, or as long as none is, nearer to
    them. It counts as soon as it has reported that. Of several objectives a trial is better that has a place on the
    front when it ends: before that its own later reports may beat it.

    Attributes:
        fruitless: trials in a row that have ended since, none of them better.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._metric = objectives(spec)
        self._patience = spec.budget.patience
        self._min_improvement = spec.budget.min_improvement
        # By trial, in the order in which they ended or paused first.
        self._records: dict[int, Record] = {}
        self._best: tuple[Score, int] | None = None
        # Of several objectives, those of the trials that no other one has beaten.
        self._front: list[Score] = []
        self._next_look = float(MIN_TRIALS)
        self.fruitless = 0

    @property
    def ended(self) -> int:
        """How many trials have ended, or paused."""
        return len(self._records)

    def reported(self, trial: int, score: Score) -> None:
        """A trial reported finite values."""
        if not self._metric.several and (self._best is None or score < self._best[0]):
            self._best = (score, trial)
            self.fruitless = 0

    def finished(self, trial: Trial) -> None:
        """A trial came to its end, or to a pause."""
        again = trial.number in self._records
        best = trial.best(self._metric) if trial.state is not TrialState.FAILED else None
        if best is None:
            # A failed trial says nothing of what can be found.
            self._records[trial.number] = Record()
            return
        self._records[trial.number] = _record(trial, self._metric)
        if self._metric.several and self._joins(self._metric.score(best.metrics)):
            self.fruitless = 0
        elif not again and (self._metric.several or not self.leads(trial.number)):
            self.fruitless += 1

    def _joins(self, score: Score) -> bool:
        """Take a score onto the front, if none there is as good; of those beyond the bounds the nearest is alone."""
        if any(_at_least(other, score) for other in self._front):
            return False
        self._front = [other for other in self._front if not _at_least(score, other)] + [score]
        return True

    def leads(self, trial: int) -> bool:
        """Whether the best score so far is this trial's, which hasn't ended well; of several objectives it never is."""
        return self._best is not None and self._best[1] == trial

    def correct(self, best: Sequence[Trial]) -> None:
        """The best so far has failed, and its score doesn't count: now the first of these leads, or nobody."""
        self._best = None
        for trial in best[:1]:
            report = trial.best(self._metric)
            self._best = (self._metric.score(report.metrics), trial.number) if report else None

    def restart(self) -> None:
        """A person has extended the study: it gets as much patience again."""
        self.fruitless = 0
        self._next_look = max(self._next_look, float(self.ended + MIN_TRIALS))

    def exhausted(self, limit: int | None) -> tuple[Literal["patience", "converged"], str] | None:
        """Which rule says that the study gets no better, and the words; asked when a trial has ended.

        Args:
            limit: trials that the study has in all, if that is limited.
        """
        if self._patience is not None and self.fruitless >= self._patience and (self._best or self._front):
            words = f"{self.fruitless} trial{'s' if self.fruitless != 1 else ''} in a row, none {self._unmatched()}"
            return "patience", f"budget.patience is used up: {words}"
        return self._converged(limit)

    def _unmatched(self) -> str:
        """What none of the last trials was, in words."""
        if self._best is None:
            return "nearer to the bounds" if self._front[0].excess else "on the front"
        score, trial = self._best
        if score.excess:
            return f"nearer to the bounds than trial {trial}"
        return f"better than {self._metric.name} {_told(self._metric, score):g} of trial {trial}"

    def _converged(self, limit: int | None) -> tuple[Literal["patience", "converged"], str] | None:
        if self._min_improvement is None or self.ended < self._next_look:
            return None
        self._next_look = max(self.ended + 1, self.ended * _LOOK_AGAIN)
        left = self.ended if limit is None else limit - self.ended
        found = self.outlook(left) if left > 0 else None
        if found is None or found.high >= self._min_improvement:
            return None
        words = f"{left} more trial{'s' if left != 1 else ''} would improve {self._metric.name} by less than"
        sure = f"{(1 + CONFIDENCE) / 2:.0%} sure to be below {found.high:.2g}"
        return "converged", f"converged: {words} budget.min_improvement {self._min_improvement:g} ({sure})"

    def outlook(self, trials: int | None = None) -> Outlook | None:
        """What so many more trials would likely buy; as many again as have ended, when no number is given."""
        return outlook(list(self._records.values()), self.ended if trials is None else trials)


def _record(trial: Trial, metric: Objectives) -> Record:
    """How a trial's first objective fell within the bounds, lower is better."""
    bests: list[tuple[int, float]] = []
    for report in trial.reports:
        score = metric.rated(report.metrics)
        if score is not None and not score.excess and (not bests or score.values[0] < bests[-1][1]):
            bests.append((report.t, score.values[0]))
    return Record(trial.t, tuple(bests))


def _told(metric: Objectives, score: Score) -> float:
    """The first objective in the user's own direction."""
    return score.values[0] if metric.goal == "minimize" else -score.values[0]


def _at_least(a: Score, b: Score) -> bool:
    """Whether `a` is as good as `b` or better: in the bounds, and among those that keep them in every objective."""
    if a.excess or b.excess:
        return a.excess <= b.excess
    return a.values == b.values or beats(a.values, b.values)
