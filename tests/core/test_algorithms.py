"""What `auto` takes, and what is said of it."""

import pytest
from spec_files import MINIMAL

from sweep.core import algorithms, plan
from sweep.core.loading import load
from sweep.errors import SpecError

TWO = "[{name: loss, goal: minimize}, {name: latency, goal: minimize}]"
FOUR = "[{name: a, goal: minimize}, {name: b, goal: minimize}, {name: c, goal: maximize}, {name: d, goal: minimize}]"
FINITE = MINIMAL.replace("{min: 1e-5, max: 1e-1, log: true}", "[1, 2]") + "  n: {min: 1, max: 5}\n"


def _spec(addition="", text=MINIMAL, metric=None):
    if metric:
        text = "\n".join(f"metric: {metric}" if line.startswith("metric") else line for line in text.split("\n"))
    return load(text + addition, source="vit.yaml")


@pytest.mark.parametrize(
    ("spec", "algorithm", "reason"),
    [
        (_spec("search: {algorithm: cmaes}\n"), "cmaes", "as the file says"),
        (_spec(), algorithms.ONE_OBJECTIVE, "one objective, by a model"),
        (_spec("budget: {time: 1h}\n"), algorithms.ONE_OBJECTIVE, "one objective, by a model"),
        (_spec("budget: {trials: 5000}\n"), "tpe", "one objective and 5000 trials, too many"),
        (_spec(text=FINITE), "grid", "the budget of 50 trials is enough for all 10 configs"),
        (_spec("budget: {trials: 10}\n", FINITE), "grid", "enough for all 10 configs"),
        (_spec("budget: {trials: 9}\n", FINITE), algorithms.ONE_OBJECTIVE, "one objective, by a model"),
        (_spec("search: {warm_start: [a]}\n", FINITE), algorithms.ONE_OBJECTIVE, "one objective, by a model"),
        (_spec("budget: {trials: 8}\nresources: {max_concurrent: 8}\n"), "qmc", "all 8 trials run at once"),
        (_spec(metric=TWO), "tpe", "2 objectives and 50 trials, too few for generations"),
        (_spec("budget: {trials: 1000}\n", metric=TWO), "nsga2", "2 objectives"),
        (_spec("budget: {trials: 1000}\n", metric=FOUR), "nsga3", "4 objectives"),
        (_spec(metric="[{name: a, goal: minimize}, {name: b, max: 5}]"), "tpe", "one objective within bounds"),
        (
            _spec("scheduler: {type: pbt, explore: [n]}\nbudget: {trials: 20}\n", FINITE),
            algorithms.ONE_OBJECTIVE,
            "one objective, by a model",
        ),
    ],
)
def test_auto_takes_what_fits_and_says_why(spec, algorithm, reason):
    chosen = algorithms.choose(spec)
    assert chosen.algorithm == algorithm
    assert reason in chosen.reason


def test_what_was_chosen_is_said_before_the_start():
    assert algorithms.notes(_spec(text=FINITE)) == (
        "search: grid, for the budget of 50 trials is enough for all 10 configs",
    )
    assert algorithms.notes(_spec("search: {algorithm: random}\n")) == ()
    assert algorithms.notes(_spec("search: {algorithm: grid}\n", FINITE)) == (
        "search: the grid has 10 configs; the study ends when all were tried",
    )
    assert algorithms.notes(_spec("search: {algorithm: grid}\nbudget: {trials: 4}\n", FINITE)) == (
        "search: the grid has 10 configs, and the budget is enough for 4 of them",
    )


def test_cmaes_says_what_it_cannot_move():
    more = (
        "  act: [relu, gelu]\n  size: {values: [1, 2], ordered: true}\n  m: {min: 0.1, max: 1.0, when: {act: relu}}\n"
    )
    assert algorithms.notes(_spec(more + "search: {algorithm: cmaes}\n")) == (
        "search: cmaes moves ranges that all trials have; TPE proposes act, m beside it",
    )


def test_the_plan_counts_the_trials_of_a_grid():
    assert plan.make(_spec("search: {algorithm: grid}\n", FINITE), slots=2).trials == 10
    assert plan.make(_spec("search: {algorithm: grid}\nbudget: {trials: 4}\n", FINITE), slots=2).trials == 4
    assert plan.make(_spec(text=FINITE), slots=2).trials == 10


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            ("search: {algorithm: cmaes}\n", MINIMAL, TWO),
            "cmaes is for one objective, and metric has loss and latency.",
        ),
        (("search: {algorithm: nsga3}\n", MINIMAL, None), "nsga3 spreads trials over the front of several objectives"),
        (
            ("search: {algorithm: cmaes}\n", MINIMAL.replace("{min: 1e-5, max: 1e-1, log: true}", "[1, 2]"), None),
            "cmaes searches ranges and ordered lists, and no parameter that all trials have is one.",
        ),
    ],
)
def test_an_algorithm_that_cannot_search_a_space_is_refused_with_its_line(spec, line):
    with pytest.raises(SpecError) as caught:
        _spec(*spec)
    (problem,) = caught.value.problems
    assert problem.startswith("vit.yaml:5:21: search.algorithm: " + line)
