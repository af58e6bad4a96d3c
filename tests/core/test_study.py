"""The study as a state machine: what it promises whatever happens to it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_spec import small_spec
from study_runs import Run, told

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Resources, Retries, Scheduler, Search
from sweep.core.study import StudyMachine, replay
from sweep.core.trial import IllegalTransitionError, TrialState


def test_no_more_attempts_are_placed_than_there_are_slots():
    run = Run(small_spec(), slots=2)
    run.begin()
    assert [start.trial for start in run.starts] == [0, 1]


def test_trial_that_reaches_max_t_is_complete_with_its_best_value():
    run = Run(small_spec(budget=Budget(trials=1)))
    run.begin()
    trial, attempt = run.start()
    run.report(trial, attempt, 1, loss=0.5)
    run.report(trial, attempt, 3, loss=0.2)
    assert run.report(trial, attempt, 9, loss=0.3).action == "finish"
    run.end(trial, attempt, "returned")
    assert run.machine.trials[0].state is TrialState.COMPLETE
    assert told(run) == {0: ("complete", 0.2)}
    assert run.ended() == [core.EndRun("budget.trials is used up: 1 trial", complete=True)]


def test_illegal_event_tells_the_trials_story():
    run = Run(small_spec())
    run.begin()
    run.start()
    run.end(0, 1, "failed", "boom")
    with pytest.raises(IllegalTransitionError, match=r"trial 0: attempt 1 ended\. attempts 1: failed"):
        run.end(0, 1, "returned")


VALUES = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.just(math.nan))


METRICS = st.fixed_dictionaries({}, optional={"loss": VALUES, "size": VALUES})


@st.composite
def specs(draw, *, guided=False):
    rule = "asha" if guided else draw(st.sampled_from(["asha", "hyperband", "median", "pbt", "none"]))
    further = [
        [],
        [Metric(name="size", max=0.0)],
        *([[Metric(name="size", goal="minimize")]] if rule != "median" else []),
    ]
    return small_spec(
        scheduler=Scheduler(
            type=rule,
            max_t=draw(st.integers(9, 12)),
            reduction_factor=draw(st.integers(2, 3)),
            brackets=draw(st.integers(1, 2)),
            promote=guided or draw(st.booleans()),
        ),
        budget=Budget(
            trials=12 if guided else draw(st.integers(1, 8)),
            failures=None if guided else draw(st.sampled_from([None, 2])),
            **draw(st.sampled_from([{}, {"time": 400.0} if guided else {"time": 40.0}, {"time": 400.0}])),
        ),
        metric=[
            Metric(
                name="loss",
                goal=draw(st.sampled_from(["minimize", "maximize"])),
                target=draw(st.sampled_from([None, 0.0])),
            ),
            *([] if guided else draw(st.sampled_from(further))),
        ],
        retries=Retries(max=draw(st.integers(0, 2))),
        search=Search(algorithm="gp" if guided else "random", seed=draw(st.integers(0, 5))),
    )


@settings(max_examples=300)
@given(study_spec=specs(), slots=st.integers(1, 4), data=st.data())
def test_any_history_is_legal_loses_no_trial_and_replays_to_the_same_commands(study_spec, slots, data):
    steps = data.draw(st.integers(0, 80))
    any_history(study_spec, slots, steps, lambda some: data.draw(st.sampled_from(some)), lambda: data.draw(METRICS))


@settings(max_examples=300)
@given(study_spec=specs(guided=True), slots=st.integers(2, 4), chance=st.randoms(use_true_random=True))
def test_so_it_is_where_the_sampler_says_which_paused_trial_goes_on(study_spec, slots, chance):
    """Several have to be at their rungs at a time, which histories that hypothesis draws seldom come to."""
    any_history(
        study_spec,
        slots,
        120,
        chance.choice,
        lambda: {"loss": chance.random()} if chance.random() < 0.9 else {},
        calm=9,
    )


def any_history(study_spec, slots, steps, pick, metrics, *, calm=1):
    """Random starts, reports, ends, losses, kills and interrupts, until the study ends or patience does."""
    run = Run(study_spec, slots)
    live = {}
    run.begin()
    for _ in range(steps):
        machine = run.machine
        over = bool(machine.ended) or (run.commands and isinstance(run.commands[-1], core.EndRun))
        moves = ["kill"]
        if not over:
            at_work = ["start"] * (3 if run.starts else 0) + ["report", "report", "end"] * (2 if live else 0)
            moves += ["interrupt", *at_work * calm]
        move = pick(moves)
        if move == "start":
            trial, attempt = run.start()
            live[trial] = [attempt, machine.trials[trial].t, None]
        elif move == "report":
            trial = pick(sorted(live))
            attempt, t, verdict = live[trial]
            t += pick([1, 2, 3])
            decision = run.report(trial, attempt, t, **metrics())
            if verdict is not None and verdict != "advance":
                assert decision.action != "advance", "a verdict was taken back"
            live[trial] = [attempt, t, decision.action]
        elif move == "end":
            trial = pick(sorted(live))
            attempt, _, verdict = live.pop(trial)
            outcomes = {None: ["returned", "failed", "lost"], "advance": ["returned", "failed", "lost"]}
            given_up = {"stop": ["stopped"], "finish": ["returned"], "pause": ["interrupted", "failed", "lost"]}
            run.end(trial, attempt, pick((outcomes | given_up)[verdict]), "why")
        elif move == "interrupt":
            run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
        else:
            live.clear()
            run.begin()
        assert len(run.machine.running()) == len(live)
        assert len(run.machine.running()) <= slots
        assert len(live) <= run.machine.wanted <= study_spec.budget.trials

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
    run = Run(small_spec(), slots=1)
    run.begin()
    run.start()
    run.report(0, 1, 1, loss=0.5)
    again = replay(run.machine.spec, run.history)
    assert again.trials == run.machine.trials
    assert again.scheduler.rungs.recorded() == run.machine.scheduler.rungs.recorded() == {1: 1, 3: 0}


def test_a_study_wants_room_for_all_trials_that_wait_or_may_still_come():
    run = Run(small_spec(budget=Budget(trials=5)), slots=2)
    assert run.machine.wanted == 0, "nobody drives it"
    run.begin()
    assert run.machine.wanted == 5
    run.start()
    run.end(0, 1, "returned")
    assert run.machine.wanted == 4
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    assert run.machine.wanted == 0, "nothing is started any more"


def test_a_study_wants_no_more_than_max_concurrent_and_without_a_limit_any_number():
    run = Run(small_spec(resources=Resources(max_concurrent=3)), slots=2)
    run.begin()
    assert run.machine.wanted == 3
    run = Run(small_spec(budget=Budget(time=3600.0)), slots=2)
    run.begin()
    assert run.machine.wanted == math.inf


def test_log_without_nodes_counts_slots():
    run = Run(small_spec(), slots=2)
    run.begin()
    assert [start.trial for start in run.starts] == [0, 1]


def test_attempt_whose_driver_left_no_word_ends_no_earlier_than_it_began():
    run = Run(small_spec(budget=Budget(trials=1)), 1)
    run.begin()
    first = run.start()
    run.report(*first, 1, loss=1.0)
    run.end(*first, "lost")
    run.tick(100)
    run.start()
    run.begin()
    trial = run.machine.trials[0]
    assert trial.attempts[1].ended == trial.attempts[1].started
    assert trial.duration_s > 0


def test_attempt_that_ends_after_the_clock_was_put_back_took_no_less_than_no_time():
    run = Run(small_spec(budget=Budget(trials=1)), 1)
    run.begin()
    first = run.start()
    run.tick(-3600)
    run.end(*first, "lost")
    assert run.machine.trials[0].duration_s == 0
