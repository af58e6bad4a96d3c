"""What comes of a report: judged once, whatever is reported again."""

import math

import pytest
from small_spec import small_spec
from study_runs import Run, told

from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Retries, Scheduler


def test_loser_at_a_rung_is_stopped_and_told_so():
    run = Run(small_spec(), slots=3)
    run.begin()
    for number in range(3):
        run.start()
        decision = run.report(number, 1, 1, loss=float(number))
        assert decision.action == ("advance" if number == 0 else "stop"), decision
    run.end(1, 1, "stopped")
    assert told(run) == {1: ("stopped", 1.0)}
    assert "2 of 2 at rung 1" in run.machine.trials[1].reason


@pytest.mark.parametrize("value", [math.nan, None])
def test_nan_and_missing_values_never_advance(value):
    run = Run(small_spec())
    run.begin()
    run.start()
    metrics = {} if value is None else {"loss": value}
    assert run.report(0, 1, 1, **metrics).action == "stop"


def test_rung_judges_a_trial_once_even_when_it_reports_again():
    run = Run(small_spec(), slots=2)
    run.begin()
    run.start()
    run.start()
    run.report(0, 1, 1, loss=0.5)
    run.end(0, 1, "lost", "node died")
    run.report(1, 1, 1, loss=0.1)
    trial, attempt = run.start()
    # The second attempt starts afresh and reports epoch 1 again: now 0.5 would be 2 of 2.
    assert run.report(trial, attempt, 1, loss=0.5).action == "advance"
    assert len(run.machine.trials[0].reports) == 1


def test_epoch_that_was_trained_anew_has_the_value_of_its_checkpoint():
    """The checkpoint of an epoch is the later attempt's: with the earlier one's value it would be a lie."""
    run = Run(small_spec(retries=Retries(max=1), budget=Budget(trials=1)), slots=1)
    run.begin()
    for value, checkpoint in ((0.1, "a/epoch-1"), (5.0, "b/epoch-1")):
        trial, attempt = run.start()
        run.handle(
            ev.Reported(
                time=run.tick(),
                trial=trial,
                attempt=attempt,
                metrics={"epoch": 1, "loss": value},
                checkpoint=checkpoint,
            )
        )
        run.end(trial, attempt, "failed" if attempt == 1 else "returned", "ValueError: x")
    best = run.machine.trials[0].best(run.machine.metric)
    assert (best.metrics["loss"], best.checkpoint) == (5.0, "b/epoch-1")


@pytest.mark.parametrize(
    ("changes", "judged"),
    [
        ({"scheduler": Scheduler(type="asha", max_t=27, grace_period=3, reduction_factor=3)}, (3, 9)),
        ({"scheduler": Scheduler(type="none", max_t=27)}, ()),
        ({"metric": Metric(name="loss", goal="minimize", target=0.1)}, None),
    ],
    ids=["asha", "none", "a target"],
)
def test_study_says_where_a_trial_can_be_judged(changes, judged):
    run = Run(small_spec(**changes))
    run.begin()
    assert run.machine.judged(0) == judged
