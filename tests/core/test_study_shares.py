"""Shares of GPUs: those that grow when memory runs out, and those that are measured."""

from small_spec import small_spec
from study_runs import Asked, Run

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.pool import Node
from sweep.core.spec import Budget, Resources, Retries
from sweep.core.study import replay
from sweep.core.trial import TrialState

GPUS = [Node("a", 8, 2)]


def test_grow_doubles_the_share_up_to_a_whole_gpu_and_costs_no_retry():
    run = Run(small_spec(budget=Budget(trials=1), retries=Retries(max=1, on_oom="grow")), nodes=GPUS, gpu=0.3)
    run.begin()
    shares = []
    for _ in range(4):
        shares.append(run.starts[0].demand.gpu)
        run.end(*run.start(), "failed", "CUDA out of memory", "gpu_memory")
    # A whole GPU doesn't hold it either: that attempt's one retry, and the end.
    assert shares == [0.3, 0.6, 1, 1]
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].failures == 2
    assert [attempt.gpu for attempt in replay(run.machine.spec, run.history).trials[0].attempts] == shares


def test_grown_share_stays_with_the_trial_alone_and_goes_on_from_its_checkpoint():
    run = Run(small_spec(budget=Budget(trials=2), retries=Retries(on_oom="grow")), nodes=GPUS, gpu=0.25)
    run.begin()
    trial, attempt = run.start()
    run.handle(
        ev.Reported(
            time=run.tick(), trial=trial, attempt=attempt, metrics={"epoch": 1, "loss": 1.0}, checkpoint="trials/c"
        )
    )
    run.end(trial, attempt, "failed", "CUDA out of memory", "gpu_memory")
    assert [(start.trial, start.demand.gpu) for start in run.starts] == [(1, 0.25), (0, 0.5)]
    assert run.starts[1].checkpoint == "trials/c"
    run.start()
    run.end(*run.start(), "lost", "its node died")
    assert run.starts[0].demand.gpu == 0.5
    run.begin()
    assert {start.trial: start.demand.gpu for start in run.starts} == {0: 0.5, 1: 0.25}, "a resume forgets nothing"


def test_memory_of_the_machine_does_not_grow_with_a_share_of_a_gpu():
    run = Run(small_spec(budget=Budget(trials=1), retries=Retries(on_oom="grow")), nodes=GPUS, gpu=0.25)
    run.begin()
    run.end(*run.start(), "failed", "out of memory", "host_memory")
    assert run.machine.trials[0].state is TrialState.FAILED


def test_where_there_is_no_gpu_a_grown_trial_gets_none():
    run = Run(small_spec(budget=Budget(trials=1), retries=Retries(on_oom="grow")), nodes=GPUS, gpu=0.25)
    run.begin()
    run.end(*run.start(), "failed", "CUDA out of memory", "gpu_memory")
    run.nodes, run.gpu = [Node("laptop", 2, 0)], 0.0
    run.begin()
    assert [start.demand.gpu for start in run.starts] == [0]


def test_trial_that_grew_to_a_whole_gpu_is_not_kept_out_by_new_ones():
    run = Run(small_spec(budget=Budget(trials=50), retries=Retries(on_oom="grow")), nodes=[Node("a", 8, 1)], gpu=0.5)
    run.begin()
    first, second = run.start(), run.start()
    run.end(*first, "failed", "CUDA out of memory", "gpu_memory")
    assert run.starts == [], "trial 0 needs all of the GPU: no new trial takes the half that is free"
    run.report(*second, 9, loss=0.1)
    run.end(*second, "returned")
    assert [(start.trial, start.demand.gpu) for start in run.starts] == [(0, 1)]


def test_attempts_of_different_shares_are_at_work_at_once_and_max_concurrent_holds():
    study = small_spec(resources=Resources(gpu=0.25, max_concurrent=3), retries=Retries(on_oom="grow"))
    run = Run(study, nodes=GPUS, gpu=0.25)
    run.begin()
    assert len(run.starts) == 3
    run.end(*run.start(), "failed", "CUDA out of memory", "gpu_memory")
    assert sorted(start.demand.gpu for start in run.starts) == [0.25, 0.25, 0.5]


GIB = 2**30


def end_measured(run, trial, attempt, *, peak, outcome="returned", cause=None):
    event = ev.AttemptEnded(
        time=run.tick(), trial=trial, attempt=attempt, outcome=outcome, cause=cause,
        peak_memory=int(peak * GIB), gpu_memory=16 * GIB,
    )  # fmt: skip
    if outcome == "returned":
        run.report(trial, attempt, 9, loss=0.5)
    return [command for command in run.handle(event) if isinstance(command, core.ChooseShare)]


def auto(**changes):
    run = Run(small_spec(budget=Budget(trials=50), resources=Resources(gpu="auto")), nodes=GPUS, gpu=1.0, **changes)
    run.begin()
    return run


def test_auto_gives_whole_gpus_until_a_trial_was_measured_and_then_what_it_took_and_a_margin():
    run = auto()
    assert [start.demand.gpu for start in run.starts] == [1, 1]
    first, second = run.start(), run.start()
    (said,) = end_measured(run, *first, peak=3)
    assert said == core.ChooseShare(0.25, 8, "trial 0 took 3.0 of 16.0 GiB")
    # Trial 1 keeps its whole GPU; four share the other.
    assert [start.demand.gpu for start in run.starts] == [0.25] * 4
    assert end_measured(run, *second, peak=2) == [], "less than what is known is no news"


def test_auto_gives_later_trials_more_when_one_came_near_its_share():
    run = auto()
    end_measured(run, *run.start(), peak=3)
    (said,) = end_measured(run, *run.start(), peak=3.5)
    assert said.gpu == 0.3333
    assert run.starts[-1].demand.gpu == 0.3333
    again = replay(run.machine.spec, run.history)
    assert run.machine.trials == again.trials
    run.begin()
    assert {start.demand.gpu for start in run.starts} == {0.3333}, "a resume knows it too"


def test_auto_mends_a_share_that_was_too_small_without_being_told_to():
    run = auto()
    end_measured(run, *run.start(), peak=3)
    run.starts.pop(0)
    trial, attempt = run.start()
    (said,) = end_measured(run, trial, attempt, peak=4, outcome="failed", cause="gpu_memory")
    assert said.gpu == 0.3333
    assert run.machine.trials[trial].state is TrialState.WAITING
    for start in list(run.starts):
        run.start()
        end_measured(run, start.trial, start.attempt, peak=1)
    assert [start.demand.gpu for start in run.starts if start.trial == trial] == [0.5]


def test_auto_without_a_gpu_gives_none():
    run = Run(small_spec(resources=Resources(gpu="auto")), nodes=[Node("laptop", 2, 0)], gpu=0.0)
    run.begin()
    assert [start.demand.gpu for start in run.starts] == [0, 0]


def test_nothing_is_kept_for_a_trial_that_a_person_has_ended_while_it_waited_for_a_larger_share():
    run = Asked(small_spec(budget=Budget(trials=50), retries=Retries(on_oom="grow")))
    run.nodes, run.gpu = [Node("a", 8, 1)], 0.25
    run.begin()
    grown, *others = [run.start() for _ in range(4)]
    run.end(*grown, "failed", "CUDA out of memory", "gpu_memory")
    assert run.starts == [], "the GPU is kept for the half that trial 0 needs now"
    run.ask("stop", trial=0)
    assert [start.demand.gpu for start in run.starts] == [0.25]
    for each in others:
        run.report(*each, 9, loss=0.1)
        run.end(*each, "returned")
    assert [start.demand.gpu for start in run.starts] == [0.25] * 4
