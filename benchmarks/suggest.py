"""How long a proposal takes when a study has many trials: the driver does nothing else meanwhile.

    python benchmarks/suggest.py [--trials 100 1000 10000] [--algorithms tpe ...] [--proposals 5]

The study's trials have four values each, as with rungs at 1, 3, 9 and 27, of which two in three stop at the first. It
is taught to the sampler as a resume does, then asked through the sampler that a driver asks. The first proposal after
that is told apart: there generations and lists are worked out anew. Milliseconds are those of the processor, so that a
busy machine doesn't count; beside them the median on the wall's clock. CPU only, a minute. `tpe2` is TPE with two
objectives.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from sweep.core.drawing import draw
from sweep.core.loading import load
from sweep.core.objectives import Result, objectives
from sweep.core.seeds import generator
from sweep.core.space import Space
from sweep.samplers.optuna_sampler import OptunaSampler

ALGORITHMS = ("auto", "gp", "tpe", "tpe2", "cmaes", "qmc", "random", "grid", "nsga2", "nsga3")
PROMISED_MS = {1_000: 50.0, 10_000: 150.0}

ONE = "{name: loss, goal: minimize}"
TWO = "[{name: loss, goal: minimize}, {name: latency, goal: minimize}]"
PARAMETERS = """
  lr: {min: 1e-5, max: 1e-1, log: true}
  weight_decay: {min: 1e-6, max: 1e-1, log: true}
  momentum: {min: 0.5, max: 0.99}
  dropout: {min: 0.0, max: 0.5}
  width: {min: 16, max: 512, log: true}
  depth: {min: 1, max: 12}
  batch: {values: [16, 32, 64, 128], ordered: true}
  act: [relu, gelu, silu]
"""
GRID = """
  lr: [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03]
  width: {min: 16, max: 512, step: 16}
  depth: {min: 1, max: 12}
  batch: [16, 32, 64, 128]
  act: [relu, gelu, silu]
"""
SPEC = """
name: suggest
entrypoint: m:f
metric: %s
parameters: %s
search: {algorithm: %s}
scheduler: {max_t: 27}
budget: {trials: 20000}
"""


@dataclass(frozen=True)
class Cost:
    """Of one algorithm with so many trials, in milliseconds; teaching in seconds."""

    taught_s: float
    first_ms: float
    median_ms: float
    worst_ms: float
    wall_ms: float


def measure(algorithm: str, trials: int, proposals: int) -> Cost:
    """Teach a study of so many trials and ask."""
    several = algorithm.startswith("nsga") or algorithm == "tpe2"
    parameters = GRID if algorithm == "grid" else PARAMETERS
    text = SPEC % (
        TWO if several else ONE,
        parameters,
        algorithm.removesuffix("2") if algorithm == "tpe2" else algorithm,
    )
    spec = load(text, source="suggest.yaml")
    space, random, goals = Space(spec), generator(1), len(objectives(spec).goals)
    configs = [draw(space, random) for _ in range(trials)]
    sampler = OptunaSampler(spec)
    worked = time.process_time()
    for number, config in enumerate(configs):
        sampler.add(number, config)
        end(sampler, number, random.random(), goals)
    taught = time.process_time() - worked
    walls, took = [], []
    for number in range(trials, trials + proposals + 1):
        began, worked = time.perf_counter(), time.process_time()
        sampler.ask(number)
        walls.append(1000 * (time.perf_counter() - began))
        took.append(1000 * (time.process_time() - worked))
        end(sampler, number, random.random(), goals)
    return Cost(taught, took[0], statistics.median(took[1:]), max(took[1:]), statistics.median(walls[1:]))


def end(sampler: OptunaSampler, number: int, loss: float, goals: int) -> None:
    """Four values and an end, or one and a stop."""
    results = [Result((loss / t, loss * 7919 % 1)[:goals]) for t in (1, 3, 9, 27)]
    whole = number % 3 == 0
    for t, result in zip((1, 3, 9, 27), results if whole else results[:1], strict=False):
        sampler.report(number, t, result)
    sampler.tell(number, "complete" if whole else "stopped", results[-1] if whole else results[0])


def main() -> None:
    """Print a row an algorithm and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS))
    parser.add_argument("--proposals", type=int, default=5)
    options = parser.parse_args()
    print(f"{'algorithm':<10} {'trials':>7} {'taught':>8} {'first':>9} {'median':>9} {'worst':>9} {'wall':>9}")
    for algorithm in options.algorithms:
        for trials in options.trials:
            cost = measure(algorithm, trials, options.proposals)
            limit = PROMISED_MS.get(trials)
            verdict = "" if limit is None else f"  under {limit:g} ms: {'yes' if cost.median_ms < limit else 'NO'}"
            each = "".join(f" {ms:>6.1f} ms" for ms in (cost.first_ms, cost.median_ms, cost.worst_ms, cost.wall_ms))
            print(f"{algorithm:<10} {trials:>7} {cost.taught_s:>6.2f} s{each}{verdict}", flush=True)


if __name__ == "__main__":
    main()
