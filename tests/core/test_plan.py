"""What a study will do, before it does."""

import math
import random

from small_spec import small_spec

from sweep.core import plan
from sweep.core.objectives import Objectives
from sweep.core.schedulers.asha import Asha
from sweep.core.spec import Budget, Metric, Resources, Scheduler, Search
from sweep.core.trial import Report, Trial

LOSS = Objectives([Metric(name="loss", goal="minimize")])


def spec(**changes):
    fields = {"search": Search(), "budget": Budget(trials=27), "resources": Resources(gpu=0.25)}
    return small_spec(**(fields | changes))


def test_upper_bound_is_everyone_to_the_end():
    made = plan.make(spec(), slots=4)
    assert made.longest_t == 27 * 9
    assert made.most_gpu_hours(60) == 27 * 9 * 60 * 0.25 / 3600
    assert made.slots == 4


def test_expectation_is_what_random_arrivals_do():
    made = plan.make(spec(search=Search(algorithm="random")), slots=1)
    spent = []
    for seed in range(300):
        generator, asha = random.Random(seed), Asha(Scheduler(max_t=9), LOSS, seed=0)
        total = 0
        for trial in range(27):
            for t in (1, 3, 9):
                reached = t
                # A trial's rank at one rung says nothing about the next: every order is as likely.
                if t < 9 and asha.report(Trial(trial, {}, 0, 0.0), t, {"loss": generator.random()}).action == "stop":
                    break
            total += reached
        spent.append(total)
    mean = sum(spent) / len(spent)
    assert abs(mean - made.expected_t) / mean < 0.05


def test_without_a_scheduler_everyone_is_trained_to_the_end():
    made = plan.make(spec(scheduler=Scheduler(type="none", max_t=9)), slots=1)
    assert [(rung.t, rung.expected_trials) for rung in made.rungs] == [(9, 27)]
    assert made.expected_t == made.longest_t == 243


def test_a_rungs_best_is_of_the_first_report_at_or_past_it_and_before_the_next():
    def trial(number, *reports):
        found = Trial(number, {}, 0, 0.0)
        found.reports += [Report(t, {"loss": value}, None, 1, 0.0) for t, value in reports]
        return found

    trials = [
        trial(0, (1, 0.9), (2, 0.1), (3, 0.8), (9, 0.5)),
        trial(1, (2, 0.7), (4, 0.85)),
        trial(2, (5, 0.2)),
        trial(3, (1, math.nan), (2, 0.0)),
        trial(4),
    ]
    table = plan.survival(trials, [1, 3, 9], LOSS)
    assert table == [(1, 4, 0.7), (3, 3, 0.2), (9, 1, 0.5)]
    assert plan.survival(trials, [1, 3, 9], Objectives([Metric(name="acc", goal="maximize")]))[0] == (1, 4, None)


def test_study_that_only_time_ends_has_no_bound_in_epochs():
    made = plan.make(spec(budget=Budget(time=60)), slots=1)
    assert made.longest_t is None
    assert made.most_gpu_hours(60) is None
    assert made.time_s == 60
