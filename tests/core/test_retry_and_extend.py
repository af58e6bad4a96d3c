"""Failed trials that people retry, and ended studies to which they grant more."""

from small_spec import small_spec
from study_runs import Asked, begun

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Resources, Retries
from sweep.core.trial import TrialState

# Retry


def failed(run, cause=None):
    trial, attempt = run.start()
    run.end(trial, attempt, "failed", "ValueError: no", cause)
    run.finish()


def test_failed_trials_of_an_ended_study_get_a_further_attempt_and_it_creates_no_others():
    run = begun(slots=1, budget=Budget(trials=2))
    failed(run)
    run.complete()
    assert run.states() == ["failed", "complete"]
    assert run.ask("retry", which="failed") == (True, "1 trial gets a further attempt: 0")
    assert run.machine.ended is None, "there is something to resume"
    run.begin()
    assert [(start.trial, start.attempt) for start in run.starts] == [(0, 2)]
    run.complete(loss=0.1)
    assert run.states() == ["complete", "complete"]
    assert run.machine.best.number == 0
    assert len(run.ended()) == 2
    assert run.machine.counts()[TrialState.FAILED] == 0


def test_retry_on_a_live_study_tells_the_driver_to_teach_its_sampler_anew():
    run = begun(slots=1, budget=Budget(trials=4))
    failed(run)
    run.ask("retry", which="failed")
    assert core.Relearn() in run.commands


def test_retried_trial_has_its_retries_again():
    run = begun(slots=1, budget=Budget(trials=1), retries=Retries(max=1))
    failed(run)
    failed(run)
    assert run.states() == ["failed"]
    run.ask("retry", which="failed")
    run.begin()
    failed(run)
    assert run.states() == ["waiting"]


def test_study_that_its_failures_ended_goes_on_with_its_search():
    run = begun(slots=1, budget=Budget(trials=9, failures=2))
    failed(run)
    failed(run)
    assert run.machine.ended.reason == "budget.failures is used up: 2 trials failed"
    run.ask("retry", which="failed")
    run.begin()
    for _ in range(3):
        run.complete()
    assert len(run.machine.trials) > 3


def test_oom_retries_get_a_larger_share_and_others_are_left_alone():
    run = Asked(small_spec(budget=Budget(trials=2), resources=Resources(gpu=0.25)), slots=1, gpu=0.25)
    run.begin()
    failed(run, "gpu_memory")
    failed(run)
    assert run.ask("retry", which="oom") == (True, "1 trial gets a further attempt: 0")
    run.begin()
    assert [(start.trial, start.demand.gpu) for start in run.starts] == [(0, 0.5)]


def test_oom_retries_without_a_share_to_grow_split_the_batch():
    run = begun(slots=1, budget=Budget(trials=1))
    failed(run, "host_memory")
    run.ask("retry", which="oom")
    run.begin()
    assert [start.batch_split for start in run.starts] == [2]


def test_nothing_to_retry_is_refused_in_words():
    run = begun(slots=1, budget=Budget(trials=9))
    assert run.ask("retry", which="failed") == (False, "no trial of study 's' has failed.")
    failed(run)
    refusal = "no trial of study 's' has failed for lack of memory (1 trial failed otherwise: --failed)."
    assert run.ask("retry", which="oom") == (False, refusal)


# Extend


def test_extended_study_that_had_ended_goes_on_to_its_new_limit():
    run = begun(slots=1, budget=Budget(trials=2))
    run.complete()
    run.complete()
    assert run.ask("extend", trials=3) == (True, "the study may take 5 trials in all")
    run.begin()
    for _ in range(3):
        run.complete()
    assert len(run.machine.trials) == 5
    assert run.ended()[-1] == core.EndRun("budget.trials is used up: 5 trials", complete=True)


def test_live_study_is_extended_even_when_its_last_trials_are_at_work():
    run = begun(slots=1, budget=Budget(trials=1))
    run.start()
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.ending.cause == "trials"
    run.ask("extend", trials=1)
    assert run.machine.ending is None
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    assert [start.trial for start in run.starts] == [1]


def test_stopped_study_is_extended_from_the_trials_it_has():
    run = begun(slots=1, budget=Budget(trials=50))
    run.start()
    run.ask("stop")
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    run.finish()
    assert run.ask("extend", trials=2) == (True, "the study may take 3 trials in all")


def test_extension_must_lift_what_ended_the_study():
    run = begun(slots=1, budget=Budget(trials=1, time=600.0))
    run.complete()
    refusal = "study 's' would end at once: budget.trials is used up. Add --trials +N"
    assert run.ask("extend", time_s=60.0) == (False, refusal)


def test_study_that_its_time_ended_is_extended_in_time():
    run = begun(slots=1, budget=Budget(trials=9, time=60.0))
    run.start()
    run.tick(100)
    assert run.report(0, 1, 1, loss=0.5).action == "stop"
    run.end(0, 1, "stopped")
    run.finish()
    assert run.ask("extend", trials=5)[0] is False
    assert run.ask("extend", time_s=60.0)[0]
    run.begin()
    assert run.starts


def test_limit_that_the_file_doesnt_have_cant_be_extended():
    run = begun()
    assert run.ask("extend", gpu_hours=1.0) == (
        False,
        "study 's' has no limit in budget.gpu_hours that could be extended.",
    )


def test_reached_target_ends_an_extended_study_no_more():
    run = begun(slots=1, metric=Metric(name="loss", goal="minimize", target=0.5), budget=Budget(trials=9))
    run.start()
    run.report(0, 1, 1, loss=0.4)
    run.end(0, 1, "returned")
    run.finish()
    assert run.machine.ended.complete
    run.ask("extend", trials=2)
    run.begin()
    run.start()
    assert run.report(1, 1, 1, loss=0.3).action == "advance"


def test_exhausted_space_cant_be_extended():
    run = begun(slots=1)
    run.start()
    run.handle(ev.SpaceExhausted(time=run.tick()))
    assert run.ask("extend", trials=5)[0] is False
