"""The study as a state machine: what it promises whatever happens to it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_runs import Run, spec, told

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.ending import HOPELESS_AFTER
from sweep.core.fates import MAX_LOSSES_IN_A_ROW
from sweep.core.pool import Node
from sweep.core.spec import Budget, Metric, Resources, Retries, Scheduler, Search
from sweep.core.study import StudyMachine, replay
from sweep.core.trial import IllegalTransitionError, TrialState


def test_no_more_attempts_are_placed_than_there_are_slots():
    run = Run(spec(), slots=2)
    run.begin()
    assert [start.trial for start in run.starts] == [0, 1]


def test_trial_that_reaches_max_t_is_complete_with_its_best_value():
    run = Run(spec(budget=Budget(trials=1)))
    run.begin()
    trial, attempt = run.start()
    run.report(trial, attempt, 1, loss=0.5)
    run.report(trial, attempt, 3, loss=0.2)
    assert run.report(trial, attempt, 9, loss=0.3).action == "finish"
    run.end(trial, attempt, "returned")
    assert run.machine.trials[0].state is TrialState.COMPLETE
    assert told(run) == {0: ("complete", 0.2)}
    assert run.ended() == [core.EndRun("budget.trials is used up: 1 trial", complete=True)]


def test_loser_at_a_rung_is_stopped_and_told_so():
    run = Run(spec(), slots=3)
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
    run = Run(spec())
    run.begin()
    run.start()
    metrics = {} if value is None else {"loss": value}
    assert run.report(0, 1, 1, **metrics).action == "stop"


def test_metric_that_was_never_reported_fails_the_trial_and_names_the_nearest():
    run = Run(spec())
    run.begin()
    run.start()
    run.report(0, 1, 1, los=1.0, accuracy=0.5)
    run.end(0, 1, "stopped")
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].reason == (
        "the metric loss was never reported; it reported accuracy, los. Did you mean metric.name: los?"
    )


def test_decision_stands_when_the_process_dies_after_it():
    run = Run(spec(), slots=1)
    run.begin()
    run.start()
    run.report(0, 1, 9, loss=0.1)
    run.begin()
    assert run.machine.trials[0].state is TrialState.COMPLETE
    assert [start.trial for start in run.starts] == [1]


def test_lost_trial_goes_on_from_its_checkpoint_under_its_number():
    run = Run(spec(), slots=1)
    run.begin()
    run.start()
    run.handle(
        ev.Reported(
            time=run.tick(), trial=0, attempt=1, metrics={"epoch": 1, "loss": 0.5}, checkpoint="trials/0000/epoch-1"
        )
    )
    run.begin()
    assert run.starts == [core.StartAttempt(0, 2, "trials/0000/epoch-1")]


def test_rung_judges_a_trial_once_even_when_it_reports_again():
    run = Run(spec(), slots=2)
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
    run = Run(spec(retries=Retries(max=1), budget=Budget(trials=1)), slots=1)
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


def test_failed_attempt_is_retried_as_often_as_the_file_says():
    run = Run(spec(retries=Retries(max=1), budget=Budget(trials=1)), slots=1)
    run.begin()
    run.start()
    run.end(0, 1, "failed", "ValueError: first")
    assert run.start() == (0, 2)
    run.end(0, 2, "failed", "Traceback\nValueError: second")
    assert run.machine.trials[0].state is TrialState.FAILED
    assert run.machine.trials[0].reason == "ValueError: second"


def test_trial_that_kills_every_node_fails_in_the_end():
    run = Run(spec(budget=Budget(trials=1)), slots=1)
    run.begin()
    for attempt in range(1, MAX_LOSSES_IN_A_ROW + 1):
        run.start()
        run.end(0, attempt, "lost", "its process died")
    assert run.machine.trials[0].state is TrialState.FAILED


def test_study_whose_first_trials_all_fail_ends_early():
    run = Run(spec(budget=Budget(trials=50)), slots=1)
    run.begin()
    while run.starts:
        trial, attempt = run.start()
        run.end(trial, attempt, "failed", "ImportError: no module named timm")
    assert len(run.machine.trials) == HOPELESS_AFTER
    assert run.ended()[0].reason.startswith("the first 3 trials all failed")


def test_time_budget_stops_running_trials_at_their_next_report():
    run = Run(spec(budget=Budget(time=60)), slots=1)
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
    run = Run(spec(budget=Budget(time=60)), slots=1)
    run.begin()
    run.start()
    run.tick(100_000)
    run.begin()
    assert run.machine.elapsed_s < 10
    assert run.machine.ending is None


def test_time_of_all_runs_counts_together():
    run = Run(spec(budget=Budget(time=60)), slots=1)
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
    run = Run(spec(metric=Metric(name="loss", goal="minimize", target=0.2)), slots=2)
    run.begin()
    run.start()
    run.start()
    assert run.report(0, 1, 1, loss=0.2).action == "finish"
    assert run.report(1, 1, 1, loss=0.9).action == "stop"
    run.end(0, 1, "returned")
    run.end(1, 1, "stopped")
    assert run.ended() == [core.EndRun("trial 0 reached the target: loss 0.2 (target 0.2)", complete=True)]


def test_interrupt_pauses_running_trials_and_resume_goes_on_with_them():
    run = Run(spec(), slots=2)
    run.begin()
    run.start()
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    assert run.report(0, 1, 1, loss=0.3).action == "pause"
    run.end(0, 1, "interrupted")
    assert run.ended() == [core.EndRun("Ctrl-C", complete=False)]
    run.begin()
    assert [(start.trial, start.attempt) for start in run.starts] == [(0, 2), (1, 1)]


def test_illegal_event_tells_the_trials_story():
    run = Run(spec())
    run.begin()
    run.start()
    run.end(0, 1, "failed", "boom")
    with pytest.raises(IllegalTransitionError, match=r"trial 0: attempt 1 ended\. attempts 1: failed"):
        run.end(0, 1, "returned")


VALUES = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.just(math.nan))
METRICS = st.fixed_dictionaries({}, optional={"loss": VALUES, "size": VALUES})


@st.composite
def specs(draw):
    rule = draw(st.sampled_from(["asha", "hyperband", "median", "pbt", "none"]))
    further = [
        [],
        [Metric(name="size", max=0.0)],
        *([[Metric(name="size", goal="minimize")]] if rule != "median" else []),
    ]
    return spec(
        scheduler=Scheduler(
            type=rule,
            max_t=draw(st.integers(9, 12)),
            reduction_factor=draw(st.integers(2, 3)),
            brackets=draw(st.integers(1, 2)),
            promote=draw(st.booleans()),
        ),
        budget=Budget(
            trials=draw(st.integers(1, 8)),
            failures=draw(st.sampled_from([None, 2])),
            **draw(st.sampled_from([{}, {"time": 40.0}, {"time": 400.0}])),
        ),
        metric=[
            Metric(
                name="loss",
                goal=draw(st.sampled_from(["minimize", "maximize"])),
                target=draw(st.sampled_from([None, 0.0])),
            ),
            *draw(st.sampled_from(further)),
        ],
        retries=Retries(max=draw(st.integers(0, 2))),
        search=Search(algorithm="random", seed=draw(st.integers(0, 5))),
    )


@settings(max_examples=300)
@given(study_spec=specs(), slots=st.integers(1, 4), data=st.data())
def test_any_history_is_legal_loses_no_trial_and_replays_to_the_same_commands(study_spec, slots, data):
    """Random starts, reports, ends, losses, kills and interrupts, until the study ends or patience does."""
    run = Run(study_spec, slots)
    live = {}
    run.begin()
    for _ in range(data.draw(st.integers(0, 80))):
        machine = run.machine
        over = bool(machine.ended) or (run.commands and isinstance(run.commands[-1], core.EndRun))
        moves = ["kill"]
        if not over:
            moves += (
                ["interrupt"] + ["start"] * (3 if run.starts else 0) + ["report", "report", "end"] * (2 if live else 0)
            )
        move = data.draw(st.sampled_from(moves))
        if move == "start":
            trial, attempt = run.start()
            live[trial] = [attempt, machine.trials[trial].t, None]
        elif move == "report":
            trial = data.draw(st.sampled_from(sorted(live)))
            attempt, t, verdict = live[trial]
            t += data.draw(st.integers(1, 3))
            decision = run.report(trial, attempt, t, **data.draw(METRICS))
            if verdict is not None and verdict != "advance":
                assert decision.action != "advance", "a verdict was taken back"
            live[trial] = [attempt, t, decision.action]
        elif move == "end":
            trial = data.draw(st.sampled_from(sorted(live)))
            attempt, _, verdict = live.pop(trial)
            outcomes = {None: ["returned", "failed", "lost"], "advance": ["returned", "failed", "lost"]}
            given_up = {"stop": ["stopped"], "finish": ["returned"], "pause": ["interrupted", "failed", "lost"]}
            run.end(trial, attempt, data.draw(st.sampled_from((outcomes | given_up)[verdict])), "why")
        elif move == "interrupt":
            run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
        else:
            live.clear()
            run.begin()
        assert len(run.machine.running()) == len(live)
        assert len(run.machine.running()) <= slots

    numbers = sorted(run.machine.trials)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) <= study_spec.budget.trials
    final = {number for number, trial in run.machine.trials.items() if trial.state.final}
    told_ends = [command.trial for command in run.commands if isinstance(command, core.TellSampler)]
    assert sorted(told_ends) == sorted(final), "each ended trial is told exactly once"
    if isinstance(run.commands[-1], core.EndRun) and run.commands[-1].complete:
        assert final == set(numbers), "a complete study has no trial left over"

    again = StudyMachine(study_spec)
    commands = [command for event in run.history for command in again.handle(event)]
    assert commands == run.commands


@settings(max_examples=50)
@given(data=st.data())
def test_event_lines_read_back_equal(data):
    event = ev.Reported(time=1.5, trial=3, attempt=1, metrics=data.draw(METRICS))
    back = ev.ANY_EVENT.validate_json(event.model_dump_json(exclude_none=True))
    assert repr(back) == repr(event)


def test_replay_of_a_history_gives_the_same_state():
    run = Run(spec(), slots=1)
    run.begin()
    run.start()
    run.report(0, 1, 1, loss=0.5)
    again = replay(run.machine.spec, run.history)
    assert again.trials == run.machine.trials
    assert again.scheduler.rungs.recorded() == run.machine.scheduler.rungs.recorded() == {1: 1, 3: 0}


@pytest.mark.parametrize("cause", ["gpu_memory", "host_memory"])
def test_shrink_batch_doubles_the_parts_up_to_its_limit_and_costs_no_retry(cause):
    run = Run(spec(budget=Budget(trials=1), retries=Retries(max=1, on_oom="shrink_batch")), slots=1)
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
    run = Run(spec(budget=Budget(trials=1), retries=Retries(on_oom="shrink_batch")), slots=1)
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
    run = Run(spec(budget=Budget(trials=1)), slots=1)
    run.begin()
    run.end(*run.start(), "failed", "out of memory", "gpu_memory")
    assert run.machine.trials[0].state is TrialState.FAILED


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
    run = Run(spec(**changes))
    run.begin()
    assert run.machine.judged(0) == judged


# Shares


GPUS = [Node("a", 8, 2)]


def test_grow_doubles_the_share_up_to_a_whole_gpu_and_costs_no_retry():
    run = Run(spec(budget=Budget(trials=1), retries=Retries(max=1, on_oom="grow")), nodes=GPUS, gpu=0.3)
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
    run = Run(spec(budget=Budget(trials=2), retries=Retries(on_oom="grow")), nodes=GPUS, gpu=0.25)
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
    run = Run(spec(budget=Budget(trials=1), retries=Retries(on_oom="grow")), nodes=GPUS, gpu=0.25)
    run.begin()
    run.end(*run.start(), "failed", "out of memory", "host_memory")
    assert run.machine.trials[0].state is TrialState.FAILED


def test_where_there_is_no_gpu_a_grown_trial_gets_none():
    run = Run(spec(budget=Budget(trials=1), retries=Retries(on_oom="grow")), nodes=GPUS, gpu=0.25)
    run.begin()
    run.end(*run.start(), "failed", "CUDA out of memory", "gpu_memory")
    run.nodes, run.gpu = [Node("laptop", 2, 0)], 0.0
    run.begin()
    assert [start.demand.gpu for start in run.starts] == [0]


def test_trial_that_grew_to_a_whole_gpu_is_not_kept_out_by_new_ones():
    run = Run(spec(budget=Budget(trials=50), retries=Retries(on_oom="grow")), nodes=[Node("a", 8, 1)], gpu=0.5)
    run.begin()
    first, second = run.start(), run.start()
    run.end(*first, "failed", "CUDA out of memory", "gpu_memory")
    assert run.starts == [], "trial 0 needs all of the GPU: no new trial takes the half that is free"
    run.report(*second, 9, loss=0.1)
    run.end(*second, "returned")
    assert [(start.trial, start.demand.gpu) for start in run.starts] == [(0, 1)]


def test_attempts_of_different_shares_are_at_work_at_once_and_max_concurrent_holds():
    study = spec(resources=Resources(gpu=0.25, max_concurrent=3), retries=Retries(on_oom="grow"))
    run = Run(study, nodes=GPUS, gpu=0.25)
    run.begin()
    assert len(run.starts) == 3
    run.end(*run.start(), "failed", "CUDA out of memory", "gpu_memory")
    assert sorted(start.demand.gpu for start in run.starts) == [0.25, 0.25, 0.5]


def test_log_without_nodes_counts_slots():
    run = Run(spec(), slots=2)
    run.begin()
    assert [start.trial for start in run.starts] == [0, 1]


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
    run = Run(spec(budget=Budget(trials=50), resources=Resources(gpu="auto")), nodes=GPUS, gpu=1.0, **changes)
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
    run = Run(spec(resources=Resources(gpu="auto")), nodes=[Node("laptop", 2, 0)], gpu=0.0)
    run.begin()
    assert [start.demand.gpu for start in run.starts] == [0, 0]
