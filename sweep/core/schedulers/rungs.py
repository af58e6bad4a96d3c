"""Rungs: the fidelities where trials are compared, and who stood where on them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.core import spec
from sweep.core.objectives import Objectives
from sweep.core.protocols import Decision
from sweep.core.ranking import Ranking
from sweep.core.seeds import derive
from sweep.core.trial import Trial


def ladder(scheduler: spec.Scheduler, bracket: int = 0) -> list[int]:
    """The rungs of a bracket below max_t, ascending; bracket b starts at grace_period * reduction_factor**b."""
    rungs = []
    rung = scheduler.grace_period * scheduler.reduction_factor**bracket
    while rung < scheduler.max_t:
        rungs.append(rung)
        rung *= scheduler.reduction_factor
    return rungs


def brackets(scheduler: spec.Scheduler) -> int:
    """How many ladders there are: as many as the file says; else 1, and all that there can be for Hyperband."""
    if scheduler.brackets is not None:
        return scheduler.brackets
    # The last has no rung left: its trials run to max_t.
    return len(ladder(scheduler)) + 1 if scheduler.type == "hyperband" else 1


def weights(scheduler: spec.Scheduler) -> list[int]:
    """The shares of trials that Hyperband gives to the brackets (Li et al. 2018, algorithm 1), the lowest first."""
    top = brackets(scheduler) - 1
    return [math.ceil((top + 1) / (top - b + 1)) * scheduler.reduction_factor ** (top - b) for b in range(top + 1)]


def draw_bracket(scheduler: spec.Scheduler, seed: int, trial: int) -> int:
    """A trial's bracket, drawn from the study's seed and the trial's number, as likely as Hyperband's shares."""
    generator = random.Random(derive(seed, "bracket", trial))  # noqa: S311
    return generator.choices(range(brackets(scheduler)), weights(scheduler))[0]


@dataclass(frozen=True)
class Standing:
    """How a trial stands at a rung that it has just come to.

    Attributes:
        rung: the fidelity.
        place: its place among all that have been there so far, from 1.
        seen: how many these are, itself included.
        note: the bounds that it breaks, in parentheses; empty when there are none.
    """

    rung: int
    place: int
    seen: int
    note: str

    def __str__(self) -> str:
        return f"{self.place} of {self.seen} at rung {self.rung}{self.note}"


class Rungs:
    """The ladders of a study, and what was recorded at each rung.

    Each rung judges a trial once, by the first report at or past it; a report that passes several is judged at the
    highest alone, as its value would be unfair to those who stood at the lower ones.
    """

    def __init__(self, scheduler: spec.Scheduler, metric: Objectives) -> None:
        self.time_attr = scheduler.time_attr
        self._metric = metric
        self._ladders = [tuple(ladder(scheduler, bracket)) for bracket in range(brackets(scheduler))]
        self._rankings: dict[tuple[int, int], Ranking] = {}
        self._settled: dict[int, int] = {}

    def ladder(self, bracket: int) -> tuple[int, ...]:
        """The rungs of a bracket, ascending."""
        return self._ladders[bracket]

    def recorded(self, bracket: int = 0) -> dict[int, int]:
        """How many trials each rung of a bracket has ranked."""
        return {rung: len(self._rankings.get((bracket, rung), ())) for rung in self._ladders[bracket]}

    def descending(self) -> list[tuple[int, int, Ranking]]:
        """The rungs that somebody has come to, the highest first: bracket, fidelity, and who stands there."""
        keys = sorted(self._rankings, key=lambda key: (-key[1], key[0]))
        return [(*key, self._rankings[key]) for key in keys]

    def arrive(self, trial: Trial, t: int, metrics: Mapping[str, float]) -> Standing | Decision:
        """Rank a report where it comes to a rung; else, and for one that can't be ranked, the decision on it."""
        settled = self._settled.get(trial.number, 0)
        reached = [rung for rung in self._ladders[trial.bracket] if settled < rung <= t]
        if not reached:
            return Decision("advance", f"no rung to pass at {self.time_attr} {t}")
        rung = self._settled[trial.number] = reached[-1]
        problem = self._metric.problem(metrics)
        if problem is not None:
            return Decision("stop", f"{problem} at rung {rung}: it can't advance", rung)
        ranking = self._rankings.setdefault((trial.bracket, rung), Ranking())
        ranking.add(trial.number, self._metric.score(metrics))
        broken = self._metric.broken(metrics)
        return Standing(rung, ranking.place(trial.number), len(ranking), f" ({broken})" if broken else "")

    def forget(self, trial: int) -> None:
        """Take a trial out of all rungs."""
        for ranking in self._rankings.values():
            ranking.discard(trial)
