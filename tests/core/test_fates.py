"""Where trials go when their attempts end: retries, losses, memory that ran out."""

import pytest
from small_spec import small_spec
from study_runs import Run

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.fates import MAX_LOSSES_IN_A_ROW
from sweep.core.spec import Budget, Retries
from sweep.core.study import replay
from sweep.core.trial import TrialState


def test_metric_that_was_never_reported_fails_the_trial_and_names_the_nearest():
    run = Run(small_spec())
    run.begin()
    run.start()
    run.report(0, 1, 1, los=1.0, accuracy=0.5)
    run.end(0, 1, "stopped")
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].reason == (
        "the metric loss was never reported; it reported accuracy, los. Did you mean metric.name: los?"
    )


def test_decision_stands_when_the_process_dies_after_it():
    run = Run(small_spec(), slots=1)
    run.begin()
    run.start()
    run.report(0, 1, 9, loss=0.1)
    run.begin()
    assert run.machine.trials[0].state is TrialState.COMPLETE
    assert [start.trial for start in run.starts] == [1]


def test_lost_trial_goes_on_from_its_checkpoint_under_its_number():
    run = Run(small_spec(), slots=1)
    run.begin()
    run.start()
    run.handle(
        ev.Reported(
            time=run.tick(), trial=0, attempt=1, metrics={"epoch": 1, "loss": 0.5}, checkpoint="trials/0000/epoch-1"
        )
    )
    run.begin()
    assert run.starts == [core.StartAttempt(0, 2, "trials/0000/epoch-1")]


def test_failed_attempt_is_retried_as_often_as_the_file_says():
    run = Run(small_spec(retries=Retries(max=1), budget=Budget(trials=1)), slots=1)
    run.begin()
    run.start()
    run.end(0, 1, "failed", "ValueError: first")
    assert run.start() == (0, 2)
    run.end(0, 2, "failed", "Traceback\nValueError: second")
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].reason == "ValueError: second"


def test_trial_that_kills_every_node_fails_in_the_end():
    run = Run(small_spec(budget=Budget(trials=1)), slots=1)
    run.begin()
    for attempt in range(1, MAX_LOSSES_IN_A_ROW + 1):
        run.start()
        run.end(0, attempt, "lost", "its process died")
    assert run.machine.trials[0].state is TrialState.FAILED


@pytest.mark.parametrize("cause", ["gpu_memory", "host_memory"])
def test_shrink_batch_doubles_the_parts_up_to_its_limit_and_costs_no_retry(cause):
    run = Run(small_spec(budget=Budget(trials=1), retries=Retries(max=1, on_oom="shrink_batch")), slots=1)
    run.begin()
    splits = []
    for attempt in range(1, 9):
        splits.append(run.starts[0].batch_split)
        trial, number = run.start()
        assert number == attempt
        run.end(trial, attempt, "failed", "out of memory", cause)
    # 64 parts don't fit either: that attempt's one retry, and the end.
    assert splits == [1, 2, 4, 8, 16, 32, 64, 64]
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].failures == 2


def test_split_stays_with_the_trial_and_goes_on_from_its_checkpoint():
    run = Run(small_spec(budget=Budget(trials=1), retries=Retries(on_oom="shrink_batch")), slots=1)
    run.begin()
    trial, attempt = run.start()
    run.handle(
        ev.Reported(
            time=run.tick(), trial=trial, attempt=attempt, metrics={"epoch": 1, "loss": 1.0}, checkpoint="trials/c"
        )
    )
    run.end(trial, attempt, "failed", "out of memory", "gpu_memory")
    assert (run.starts[0].batch_split, run.starts[0].checkpoint) == (2, "trials/c")
    trial, attempt = run.start()
    run.end(trial, attempt, "lost", "its node died")
    assert run.starts[0].batch_split == 2
    assert replay(run.machine.spec, run.history).trials[0].batch_split == 2


def test_memory_that_runs_out_is_an_ordinary_failure_unless_the_file_says_otherwise():
    run = Run(small_spec(budget=Budget(trials=1)), slots=1)
    run.begin()
    run.end(*run.start(), "failed", "out of memory", "gpu_memory")
    assert run.machine.trials[0].state is TrialState.FAILED
