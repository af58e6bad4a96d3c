"""GPU-hours: what is counted, what ends a study, and what is said where there is no GPU."""

import pytest
from small_spec import small_spec
from study_runs import Asked

from sweep.core import events as ev
from sweep.core import limits
from sweep.core.spec import DEFAULT_TRIALS, Budget, Resources


def begun(budget, gpu=0.5, slots=2):
    run = Asked(small_spec(budget=budget, resources=Resources(gpu=gpu)), slots, gpu=gpu)
    run.begin()
    return run


def test_gpu_hours_are_hours_times_the_shares_held():
    run = begun(Budget(trials=9, gpu_hours=100))
    run.start()
    run.tick(1799)
    run.start()
    run.tick(3599)
    run.handle(ev.Ticked(time=run.tick()))
    # Trial 0 for 5400 s and trial 1 for 3600 s, half a GPU each; the events between take a second each.
    assert run.machine.limits.gpu_s == pytest.approx(0.5 * (5400 + 3600), abs=3)


def test_used_up_gpu_hours_end_trials_at_their_next_report_and_the_study():
    run = begun(Budget(trials=9, gpu_hours=1), slots=1)
    run.start()
    run.tick(7000)
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    assert not run.machine.overdue(run.now)
    assert run.machine.overdue(run.now + 300)
    run.tick(300)
    decision = run.report(0, 1, 2, loss=0.5)
    assert (decision.action, decision.reason) == ("stop", "budget.gpu_hours is used up: 1.01 of 1")
    run.end(0, 1, "stopped")
    run.finish()
    assert run.machine.ended.complete


def test_time_between_two_drivers_costs_no_gpu_hours():
    run = begun(Budget(trials=9, gpu_hours=1), slots=1)
    run.start()
    run.report(0, 1, 1, loss=0.5)
    before = run.machine.limits.gpu_s
    run.tick(100_000)
    run.begin()
    assert run.machine.limits.gpu_s == before
    assert run.machine.ending is None


def test_idle_slots_cost_no_gpu_hours():
    run = begun(Budget(trials=9, gpu_hours=1))
    run.tick(100_000)
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.limits.gpu_s == 0


def test_without_a_gpu_the_default_of_trials_ends_a_study_that_names_gpu_hours_alone():
    study = small_spec(budget=Budget(gpu_hours=3))
    assert study.budget.trials is None
    (line,) = limits.notes(study, 0.0)
    assert line == "budget.gpu_hours can't be reached here: trials hold no GPU, so the study ends after 50 trials"
    run = Asked(study, 1)
    run.begin()
    assert run.machine.limits.trials == DEFAULT_TRIALS


def test_without_a_gpu_other_limits_are_left_as_they_are():
    (line,) = limits.notes(small_spec(budget=Budget(gpu_hours=3, trials=7)), 0.0)
    assert line == "budget.gpu_hours can't be reached here: trials hold no GPU"
    assert limits.trial_limit(small_spec(budget=Budget(gpu_hours=3, time=60.0)), 0.0) is None


def test_with_a_gpu_nothing_needs_to_be_said():
    assert limits.notes(small_spec(budget=Budget(gpu_hours=3)), 0.5) == ()
    assert limits.notes(small_spec(), 0.0) == ()


def test_clock_that_was_put_back_takes_no_time_twice():
    run = begun(Budget(trials=9, time=10_000.0), slots=1)
    run.start()
    run.tick(100)
    run.handle(ev.Ticked(time=run.tick()))
    before = run.machine.elapsed_s
    run.now -= 50
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.elapsed_s == before
