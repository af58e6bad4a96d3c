"""What ends a study, and what it does to the trials at work."""

from small_spec import small_spec
from study_runs import Run

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.ending import HOPELESS_AFTER
from sweep.core.spec import Budget, Metric, Scheduler


def test_study_whose_first_trials_all_fail_ends_early():
    run = Run(small_spec(budget=Budget(trials=50)), slots=1)
    run.begin()
    while run.starts:
        trial, attempt = run.start()
        run.end(trial, attempt, "failed", "ImportError: no module named timm")
    assert len(run.machine.trials) == HOPELESS_AFTER
    assert run.ended()[0].reason.startswith("the first 3 trials all failed")


def test_trial_that_has_paused_has_not_failed():
    run = Run(small_spec(budget=Budget(trials=50), scheduler=Scheduler(max_t=9, promote=True)), slots=1)
    run.begin()
    trial, attempt = run.start()
    assert run.report(trial, attempt, 1, loss=0.1).action == "pause"
    run.end(trial, attempt, "stopped")
    for _ in range(HOPELESS_AFTER + 1):
        trial, attempt = run.start()
        run.end(trial, attempt, "failed", "ValueError: lr is too high")
    assert run.machine.ending is None


def test_time_budget_stops_running_trials_at_their_next_report():
    run = Run(small_spec(budget=Budget(time=60)), slots=1)
    run.begin()
    run.start()
    run.tick(100)
    decision = run.report(0, 1, 1, loss=0.1)
    assert decision.action == "stop"
    assert "budget.time is used up" in decision.reason
    run.end(0, 1, "stopped")
    assert run.ended()[0].complete
    assert not run.starts


def test_time_between_a_kill_and_a_resume_is_not_spent():
    run = Run(small_spec(budget=Budget(time=60)), slots=1)
    run.begin()
    run.start()
    run.tick(100_000)
    run.begin()
    assert run.machine.elapsed_s < 10
    assert run.machine.ending is None


def test_time_of_all_runs_counts_together():
    run = Run(small_spec(budget=Budget(time=60)), slots=1)
    for _ in range(3):
        run.begin()
        run.start()
        run.tick(25)
        last = run.report(0, len(run.machine.trials[0].attempts), run.machine.trials[0].t + 1, loss=0.1)
        run.handle(ev.StopRequested(time=run.tick(0), reason="Ctrl-C"))
        run.end(0, len(run.machine.trials[0].attempts), "interrupted")
        run.handle(ev.RunEnded(time=run.tick(0), reason="Ctrl-C", complete=False))
        run.tick(10_000)
    assert last.action == "stop"
    assert "budget.time is used up" in last.reason


def test_target_ends_the_study_and_names_the_trial():
    run = Run(small_spec(metric=Metric(name="loss", goal="minimize", target=0.2)), slots=2)
    run.begin()
    run.start()
    run.start()
    assert run.report(0, 1, 1, loss=0.2).action == "finish"
    assert run.report(1, 1, 1, loss=0.9).action == "stop"
    run.end(0, 1, "returned")
    run.end(1, 1, "stopped")
    assert run.ended() == [core.EndRun("trial 0 reached the target: loss 0.2 (target 0.2)", complete=True)]


def test_interrupt_pauses_running_trials_and_resume_goes_on_with_them():
    run = Run(small_spec(), slots=2)
    run.begin()
    run.start()
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    assert run.report(0, 1, 1, loss=0.3).action == "pause"
    run.end(0, 1, "interrupted")
    assert run.ended() == [core.EndRun("Ctrl-C", complete=False)]
    run.begin()
    assert [(start.trial, start.attempt) for start in run.starts] == [(0, 2), (1, 1)]
