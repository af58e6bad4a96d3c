"""Patience and the estimate of what is left to gain: when they end a study, and what doesn't count."""

import random

import pytest
from study_runs import spec
from test_control import Asked

from sweep.core.spec import Budget, Metric


def complete(run, *losses):
    for loss in losses:
        run.complete(loss=loss)
    return run


def begun(budget, goal="minimize", slots=1):
    run = Asked(spec(metric=Metric(name="loss", goal=goal), budget=budget), slots)
    run.begin()
    return run


def test_patience_ends_the_study_and_says_why():
    run = complete(begun(Budget(trials=50, patience=3)), 0.5, 0.4, 0.6, 0.4, 0.7)
    reason = "budget.patience is used up: 3 trials in a row, none better than loss 0.4 of trial 1"
    assert run.machine.ended.reason == reason
    assert run.machine.ended.complete


def test_better_trial_gives_the_patience_back():
    run = complete(begun(Budget(trials=50, patience=2)), 0.5, 0.6, 0.4, 0.6, 0.3, 0.9)
    assert run.machine.ending is None
    complete(run, 0.9)
    assert run.machine.ending.cause == "patience"


def test_patience_goes_by_the_metrics_own_direction():
    run = complete(begun(Budget(trials=50, patience=2), goal="maximize"), 0.1, 0.2, 0.3, 0.1)
    assert run.machine.ending is None
    complete(run, 0.2)
    assert "none better than loss 0.3 of trial 2" in run.machine.ended.reason


def test_failed_trials_cost_no_patience():
    run = complete(begun(Budget(trials=50, patience=1, failures=9)), 0.5)
    for _ in range(3):
        trial, attempt = run.start()
        run.end(trial, attempt, "failed", "no luck")
    assert run.machine.ending is None
    assert run.machine.progress.fruitless == 0


def test_lead_of_a_trial_that_failed_doesnt_count():
    run = begun(Budget(trials=50, patience=2, failures=9))
    trial, attempt = run.start()
    run.report(trial, attempt, 1, loss=0.0)
    run.end(trial, attempt, "failed", "no luck")
    complete(run, 0.5, 0.4, 0.3, 0.2)
    assert run.machine.ending is None, "each was better than the one before"


def test_patience_lets_trials_at_work_come_to_their_ends():
    run = begun(Budget(trials=50, patience=1), slots=2)
    run.start(), run.start()
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    run.start()
    run.report(1, 1, 9, loss=0.6)
    run.end(1, 1, "returned")
    assert run.machine.ending.cause == "patience"
    assert run.report(2, 1, 1, loss=0.7).action == "advance"
    run.report(2, 1, 9, loss=0.4)
    run.end(2, 1, "returned")
    run.finish()
    assert run.machine.ended.complete
    assert run.machine.best.number == 2


def test_extension_gives_as_much_patience_again():
    run = complete(begun(Budget(trials=50, patience=2)), 0.1, 0.5, 0.5)
    assert run.machine.ended.complete
    run.ask("extend", trials=10)
    run.begin()
    complete(run, 0.5)
    assert run.machine.ending is None
    complete(run, 0.5)
    assert run.machine.ending.cause == "patience"


def test_trials_that_a_person_ended_say_nothing_about_progress():
    run = complete(begun(Budget(trials=50, patience=1)), 0.1)
    run.start()
    run.report(1, 1, 1, loss=0.5)
    run.ask("cancel", trial=1)
    assert run.machine.ending is None
    assert run.machine.progress.ended == 1


def test_study_ends_when_the_rest_would_gain_less_than_was_asked_for():
    run = begun(Budget(trials=60, min_improvement=0.5))
    generator = random.Random(1)
    while run.machine.ended is None:
        run.complete(loss=generator.random())
    assert run.machine.ending.cause == "converged"
    assert 20 <= len(run.machine.trials) < 60
    left = 60 - run.machine.progress.ended
    start = f"converged: {left} more trials would improve loss by less than budget.min_improvement 0.5 (95% sure"
    assert run.machine.ended.reason.startswith(start)


def test_study_that_may_still_gain_goes_on_until_its_last_trials_could_hardly():
    run = begun(Budget(trials=60, min_improvement=1e-9))
    generator = random.Random(1)
    while run.machine.ended is None:
        run.complete(loss=generator.random())
    assert len(run.machine.trials) > 55


@pytest.mark.parametrize("ended", [5, 30])
def test_outlook_is_told_when_enough_trials_have_ended(ended):
    run = begun(Budget(trials=50))
    generator = random.Random(2)
    complete(run, *(generator.random() for _ in range(ended)))
    found = run.machine.progress.outlook()
    assert (found is None) == (ended == 5)
    if found:
        assert found.trials == 30
