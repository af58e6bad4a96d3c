"""Patience and the estimate of what is left to gain: when they end a study, and what doesn't count."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_spec import small_spec
from study_runs import Asked

from sweep.core.spec import Budget, Metric, Scheduler


def complete(run, *losses):
    for loss in losses:
        run.complete(loss=loss)
    return run


def begun(budget, goal="minimize", slots=1):
    run = Asked(small_spec(metric=Metric(name="loss", goal=goal), budget=budget), slots)
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


LOSS = Metric(name="loss", goal="minimize")
LATENCY = Metric(name="latency", max=5.0)
SIZE = Metric(name="size", goal="minimize")


def begun_with(metric, budget):
    run = Asked(small_spec(metric=metric, budget=budget), 1)
    run.begin()
    return run


def test_patience_goes_by_the_best_within_the_bounds():
    run = begun_with([LOSS, LATENCY], Budget(trials=50, patience=3))
    run.complete(loss=0.5, latency=1.0)
    for loss in (0.1, 0.2):
        run.complete(loss=loss, latency=9.0)
    assert run.machine.progress.fruitless == 2, "a lower loss beyond the bound is none better"
    run.complete(loss=0.4, latency=5.0)
    assert run.machine.progress.fruitless == 0
    for _ in range(3):
        run.complete(loss=0.1, latency=6.0)
    words = "3 trials in a row, none better than loss 0.4 of trial 3"
    assert run.machine.ended.reason == f"budget.patience is used up: {words}"


def test_as_long_as_no_trial_keeps_within_the_bounds_a_nearer_one_is_better():
    run = begun_with([LOSS, LATENCY], Budget(trials=50, patience=2))
    for latency in (9.0, 9.5, 8.0, 8.5):
        run.complete(loss=0.1, latency=latency)
    assert run.machine.ending is None
    run.complete(loss=0.01, latency=8.5)
    words = "2 trials in a row, none nearer to the bounds than trial 2"
    assert run.machine.ended.reason == f"budget.patience is used up: {words}"


def test_lead_of_a_trial_that_failed_goes_to_the_next_within_the_bounds():
    run = begun_with([LOSS, LATENCY], Budget(trials=50, patience=3, failures=9))
    run.complete(loss=0.1, latency=9.0)
    run.complete(loss=0.5, latency=1.0)
    trial, attempt = run.start()
    run.report(trial, attempt, 1, loss=0.2, latency=1.0)
    run.end(trial, attempt, "failed", "no luck")
    assert run.machine.progress.leads(1)


def test_outlook_is_of_the_trials_within_the_bounds():
    generator = random.Random(4)
    run = begun_with([LOSS, LATENCY], Budget(trials=90))
    for place in range(38):
        run.complete(loss=1 + generator.random() if place % 2 else 0.1, latency=1.0 if place % 2 else 9.0)
    assert run.machine.progress.outlook() is None, "19 trials say nothing yet, whatever the others are"
    for _ in range(9):
        run.complete(loss=1 + generator.random(), latency=1.0)
    found = run.machine.progress.outlook()
    assert 0 < found.high < 0.5, "the low losses beyond the bound are no part of it"


def test_of_several_objectives_patience_counts_trials_without_a_place_on_the_front():
    run = begun_with([LOSS, SIZE], Budget(trials=50, patience=2))
    for loss, size in ((0.5, 5.0), (0.6, 6.0), (0.9, 1.0), (0.9, 1.0), (0.4, 4.0), (0.5, 5.0)):
        run.complete(loss=loss, size=size)
    assert run.machine.ending is None
    run.complete(loss=0.9, size=1.0)
    assert run.machine.ended.reason == "budget.patience is used up: 2 trials in a row, none on the front"
    assert [trial.number for trial in run.machine.front()] == [4, 2, 3, 6]


def test_of_several_objectives_the_first_within_the_bounds_is_better_than_any_beyond():
    run = begun_with([LOSS, SIZE, LATENCY], Budget(trials=50, patience=2))
    for latency in (9.0, 8.0, 8.5):
        run.complete(loss=0.1, size=0.1, latency=latency)
    assert run.machine.progress.fruitless == 1
    run.complete(loss=0.9, size=0.9, latency=1.0)
    assert run.machine.progress.fruitless == 0
    run.complete(loss=0.1, size=0.1, latency=7.0)
    assert run.machine.progress.fruitless == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(4, 7)), min_size=1, max_size=14))
def test_a_trial_is_fruitless_exactly_when_the_front_lacks_it_or_had_its_like(rows):
    run = begun_with([LOSS, SIZE, LATENCY], Budget(trials=50))
    for number, (loss, size, latency) in enumerate(rows):
        before, front = run.machine.progress.fruitless, run.machine.front()
        nearest = min((max(0, other[2] - 5) for other in rows[:number]), default=9)
        run.complete(loss=float(loss), size=float(size), latency=float(latency))
        like = any(rows[trial.number][:2] == (loss, size) for trial in front)
        joined = [trial.number for trial in run.machine.front() if trial.number == number] and not like
        nearer = not front and 0 < latency - 5 < nearest
        assert run.machine.progress.fruitless == (0 if joined or nearer else before + 1)


def paused(run, loss):
    """The next trial pauses at its first rung with this loss."""
    trial, attempt = run.start()
    assert run.report(trial, attempt, 1, loss=loss).action == "pause"
    run.end(trial, attempt, "interrupted")
    return trial


def goes_on(run, number):
    """That trial takes the place, and pauses at the next rung without a better value."""
    trial, attempt = run.start()
    assert (trial, attempt) == (number, 2)
    run.report(trial, attempt, 3, loss=0.6)
    run.end(trial, attempt, "interrupted")


def pausing(**budget):
    run = Asked(small_spec(scheduler=Scheduler(max_t=9, promote=True), budget=Budget(**budget)), 1)
    run.begin()
    return run


def test_trials_that_pause_cost_patience_when_they_pause_and_once():
    run = pausing(trials=50, patience=6)
    for loss in (0.1, 0.5, 0.5):
        paused(run, loss)
    assert (run.machine.progress.ended, run.machine.progress.fruitless) == (3, 2)
    goes_on(run, 0)
    for loss in (0.4, 0.5, 0.5):
        paused(run, loss)
    assert run.machine.progress.fruitless == 5
    goes_on(run, 3)
    assert (run.machine.progress.ended, run.machine.progress.fruitless) == (6, 5)
    paused(run, 0.5)
    assert run.machine.ending.cause == "patience"


def test_paused_trial_that_fails_later_came_to_nothing():
    run = pausing(trials=50, failures=9)
    for loss in (0.1, 0.2, 0.3):
        paused(run, loss)
    trial, attempt = run.start()
    run.end(trial, attempt, "failed", "no luck")
    assert run.machine.progress.ended == 3
    assert run.machine.progress.leads(1)


def test_population_pauses_without_losing_patience():
    run = Asked(small_spec(scheduler=Scheduler(max_t=9, type="pbt"), budget=Budget(trials=4, patience=1)), 4)
    run.begin()
    for loss in (0.1, 0.2, 0.3, 0.4):
        paused(run, loss)
    assert (run.machine.progress.ended, run.machine.ending.cause) == (0, "trials")


def test_outlook_compares_trials_where_ten_of_them_came_to():
    run = Asked(small_spec(scheduler=Scheduler(type="none", max_t=9), budget=Budget(trials=90)), 1)
    run.begin()
    generator = random.Random(8)
    for place in range(30):
        trial, attempt = run.start()
        run.report(trial, attempt, 1, loss=5 + generator.random())
        if place % 3 == 0:
            run.report(trial, attempt, 9, loss=1 + 0.01 * generator.random())
        run.end(trial, attempt, "returned")
    assert 0 < run.machine.progress.outlook().high < 0.05
