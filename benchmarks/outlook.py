"""Does the outlook at a study's end hold: what more trials would likely buy, and in how many of 100 cases?

    python benchmarks/outlook.py [--seeds 2] [--trials 120] [--tasks digits hartmann3-good ...] [--sides ...]

Whole studies on the tasks of `search_quality.py`, on a simulated clock with 4 workers. When a quarter and a half of the
trials have ended or paused, the study's own estimate is asked what the rest will buy; at its end it is known what they
did: by how much the best value fell, that of trials at work included. Gains are in parts of the way from a task's best
value to that of the median random config. In `held` of 100 cases the real gain was within what was said in 90 of 100;
else it was above (or, hardly ever, below). Where nobody is stopped, noise at low fidelities changes nothing, so one
Hartmann function in each dimension counts there.

The estimate was chosen on half of the tasks, those of CHOSEN_ON; the others check it. About 8 minutes on one idle core.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

os.environ.setdefault("OMP_NUM_THREADS", "1")

from search_quality import SIDES, Task, tasks
from sweep.core import events as ev
from sweep.core.convergence import Outlook
from sweep.core.spec import Budget, Metric, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.simulating import simulate

WORKERS = 4
PARTS = (4, 2)
CHOSEN_ON = ("hartmann3-good", "hartmann3-terrible", "hartmann6-bad", "digits", "hpobench-segment")
ALIKE = ("hartmann3-bad", "hartmann3-terrible", "hartmann6-bad", "hartmann6-terrible")
OURS = (
    "gp, guided", "TPE, stopping ASHA", "TPE, pausing ASHA", "TPE, nobody stopped",
    "random, stopping ASHA", "random, nobody stopped",
)  # fmt: skip


@dataclass
class Asked:
    """Asks for the outlook to the end when so many trials have ended or paused; see `sweep.driver.Watcher`."""

    at: list[int]
    trials: int
    found: dict[int, tuple[Outlook | None, float]] = field(default_factory=dict)

    def event(self, study: StudyMachine, _: ev.AnyEvent) -> None:
        """Something has happened."""
        while self.at and study.progress.ended >= self.at[0]:
            self.found[self.at.pop(0)] = (study.progress.outlook(self.trials - study.progress.ended), best(study))

    def close(self) -> None:
        """The run is over."""


@dataclass(frozen=True)
class Case:
    """What was said, and what came; in the task's own unit."""

    gain: float
    said: float
    low: float
    high: float

    @property
    def held(self) -> bool:
        """Whether the interval holds what came."""
        return self.low - 1e-9 <= self.gain <= self.high + 1e-9


def best(study: StudyMachine) -> float:
    """The lowest value that any trial has shown."""
    values = (trial.value(study.metric) for trial in study.trials.values())
    return min(value for value in values if value is not None)


def cases(task: Task, side: str, *, seed: int, trials: int) -> dict[int, Case | None]:
    """One study, by the part of its budget at which it was asked; None where it couldn't say."""
    search, scheduler = SIDES[side]
    spec = StudySpec(
        name="replayed",
        entrypoint="replayed:train",
        metric=Metric(name="error", goal="minimize"),
        parameters=dict(task.parameters),
        search=Search(seed=seed, **search),
        scheduler=Scheduler(**{"max_t": task.max_t, "grace_period": task.grace_period, **scheduler}),
        budget=Budget(trials=trials),
    )
    asked = Asked([trials // part for part in PARTS], trials)
    end = best(simulate(spec, task.course, slots=WORKERS, watchers=[asked]).machine)
    unit = task.reference - task.optimum
    found: dict[int, Case | None] = {}
    for part in PARTS:
        outlook, before = asked.found[trials // part]
        found[part] = outlook and Case(
            (before - end) / unit, outlook.gain / unit, outlook.low / unit, outlook.high / unit
        )
    return found


def table(found: dict[tuple[str, int], list[Case | None]], sides: Sequence[str]) -> None:
    """Print a line for each side and part, and one for all."""
    print(f"{'':24} {'at':>4} | studies | held | above | gain: mean, median | said: mean, median | high, median |")
    rows = [(f"{side:24} {f'1/{part}':>4}", found[side, part]) for side in sides for part in PARTS]
    for name, asked in [*rows, (f"{'all':29}", [case for _, row in rows for case in row])]:
        told = [case for case in asked if case is not None]
        if not told:
            continue
        held = statistics.fmean(case.held for case in told)
        above = statistics.fmean(case.gain > case.high for case in told)
        pairs = [
            f"{statistics.fmean(part):8.3f} {statistics.median(part):7.3f}"
            for part in ([case.gain for case in told], [case.said for case in told])
        ]
        high = statistics.median(case.high for case in told)
        cells = (f"{len(told):3} /{len(asked):3}", f"{held:4.0%}", f"{above:5.0%}", *(f"  {pair}" for pair in pairs))
        print(f"{name} | {' | '.join(cells)} | {high:12.3f} |")
    print(flush=True)


def main() -> None:
    """Print a table for the tasks that the estimate was chosen on, and one for the others."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--tasks", nargs="*", default=[])
    parser.add_argument("--sides", nargs="*", default=list(OURS), choices=list(SIDES))
    options = parser.parse_args()
    known = tasks(options.tasks)
    for head, names in (
        ("chosen on", [name for name in known if name in CHOSEN_ON]),
        ("checked on", [name for name in known if name not in CHOSEN_ON]),
    ):
        found: dict[tuple[str, int], list[Case | None]] = defaultdict(list)
        for side in options.sides:
            for name in names:
                if side.endswith("nobody stopped") and name in ALIKE:
                    continue
                for seed in range(options.seeds):
                    for part, case in cases(known[name], side, seed=seed, trials=options.trials).items():
                        found[side, part].append(case)
        print(f"{head} {', '.join(names)}; {options.seeds} seeds, {options.trials} trials")
        table(found, options.sides)


if __name__ == "__main__":
    main()
