"""Whole studies by each algorithm, on simulated workers: they end as they should, and a crash changes nothing."""

import pytest

from sweep.core.loading import load
from sweep.executors.simulated import Course
from sweep.simulating import simulate

TEXT = """
name: s
entrypoint: m:f
metric: {name: loss, goal: minimize}
parameters:
  a: {min: 1, max: 6}
  b: [x, y]
  c: {values: [1, 2, 3], when: {b: y}}
constraints: ["a != 5"]
scheduler: {max_t: 9}
"""


def course(config):
    floor = abs(config["a"] - 3) + config.get("c", 2) / 3
    return Course({"loss": [floor + 1 / t for t in range(1, 10)]}, seconds=config["a"])


def spec(algorithm, trials=None):
    budget = f"budget: {{trials: {trials}}}\n" if trials else ""
    return load(TEXT + budget, source="s.yaml", overrides=[f"search.algorithm={algorithm}"])


def configs(done):
    return [trial.config for trial in done.machine.trials.values()]


def test_a_grid_without_a_budget_is_gone_through_and_ends_the_study():
    done = simulate(spec("grid"), course, slots=3)
    assert done.machine.ended.complete
    assert done.machine.ending.cause == "space"
    assert len({str(config) for config in configs(done)}) == len(configs(done)) == 20


@pytest.mark.parametrize("algorithm", ["grid", "qmc", "random", "cmaes", "nsga2", "tpe"])
def test_a_study_that_crashed_tries_what_it_would_have_tried(algorithm):
    whole = simulate(spec(algorithm, 15), course, slots=1)
    log = None
    for crash_at_s in (20.5, 61.0, 90.5, None):
        done = simulate(spec(algorithm, 15), course, slots=1, log=log, crash_at_s=crash_at_s)
        log = done.log
    assert configs(done) == configs(whole)
    assert done.machine.ended.complete
