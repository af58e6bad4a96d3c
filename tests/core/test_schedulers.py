"""What every scheduler owes to the study, on each of them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_spec import small_spec
from study_runs import Run

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Scheduler, Search
from sweep.core.study import StudyMachine
from sweep.core.trial import TrialState

RULES = {
    "asha": {},
    "asha in brackets": {"brackets": 2},
    "asha that pauses": {"promote": True},
    "asha by advice": {},
    "hyperband": {"type": "hyperband"},
    "hyperband that pauses": {"type": "hyperband", "promote": True},
    "median": {"type": "median"},
    "pbt": {"type": "pbt", "grace_period": 2},
    "none": {"type": "none"},
}
JUDGING = [name for name in RULES if name != "none"]
PAUSING = ["asha that pauses", "asha by advice", "hyperband that pauses", "pbt"]


def study(name, *, trials=8, seed=0, **changes):
    return small_spec(
        scheduler=Scheduler(**{"max_t": 9, "type": "asha", **RULES[name]}),
        budget=Budget(trials=trials),
        search=Search(seed=seed, algorithm="gp" if name == "asha by advice" else "random"),
        **changes,
    )


def loss(run, number, t):
    """Better with time, and by the config that the trial has now."""
    x = run.machine.trials[number].config["x"]
    return (x * 37 % 1) + 1 / t


def play(run, data, *, value=loss, faults=True):
    """To the study's end, in an order that `data` draws: who reports, who fails or is lost, when the driver dies."""
    live = {}
    run.begin()
    # Failures and losses are few, so that it ends.
    for _ in range(600):
        if run.machine.ended or run.ended():
            return
        moves = ["start"] * (3 if run.starts else 0) + ["report"] * (6 if live else 0)
        moves += ["lost", "failed", "kill"] if live and faults else []
        move = data.draw(st.sampled_from(moves))
        if move == "start":
            trial, attempt = run.start()
            live[trial] = attempt, run.machine.trials[trial].checkpoint_t
        elif move == "kill":
            live.clear()
            run.begin()
        else:
            trial = data.draw(st.sampled_from(sorted(live)))
            attempt, t = live[trial]
            if move != "report":
                del live[trial]
                run.end(trial, attempt, move, "why")
                continue
            decision = run.report(trial, attempt, t + 1, loss=value(run, trial, t + 1))
            assert decision.reason
            live[trial] = attempt, t + 1
            if decision.action != "advance":
                del live[trial]
                run.end(trial, attempt, decision.outcome)
    raise AssertionError("the study didn't end")


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=25)
@given(seed=st.integers(0, 3), slots=st.integers(1, 3), data=st.data())
def test_any_history_ends_and_replays_to_the_same_commands_and_state(name, seed, slots, data):
    run = Run(study(name, seed=seed), slots)
    play(run, data)
    assert all(trial.state.final for trial in run.machine.trials.values())
    again = StudyMachine(run.machine.spec)
    assert [command for event in run.history for command in again.handle(event)] == run.commands
    assert again.trials == run.machine.trials


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=15)
@given(data=st.data())
def test_every_decision_and_every_end_has_its_reason(name, data):
    run = Run(study(name), 2)
    play(run, data)
    answers = [c.decision for c in run.commands if isinstance(c, core.Answer | core.GoOn)]
    assert all(answer.reason for answer in answers)
    assert all(trial.reason for trial in run.machine.trials.values())


@pytest.mark.parametrize("name", JUDGING)
@settings(max_examples=15)
@given(data=st.data())
def test_nan_never_advances(name, data):
    """A trial that shows no number is never let go on at a comparison, except as a variant of one that does."""

    def value(run, number, t):
        return math.nan if number % 2 else loss(run, number, t)

    run = Run(study(name), 2)
    play(run, data, value=value)
    for event, decision in zip(
        (event for event in run.history if isinstance(event, ev.Reported)),
        (command.decision for command in run.commands if isinstance(command, core.Answer)),
        strict=True,
    ):
        judged = run.machine.judged(event.trial)
        rung = judged is None or any(event.metrics["epoch"] >= t for t in judged)
        if math.isnan(event.metrics["loss"]) and rung and decision.rung is not None:
            assert decision.action != "advance", decision


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=15)
@given(data=st.data())
def test_failed_trials_leave_no_ghost(name, data):
    """At the end the scheduler knows what it would know had the failed ones never been compared."""
    run = Run(study(name, trials=6), 2)
    play(run, data)
    failed = {n for n, trial in run.machine.trials.items() if trial.state is TrialState.FAILED}
    assert not failed & ranked_trials(run.machine.scheduler)


def ranked_trials(scheduler):
    """Whom a scheduler still compares others with."""
    found = set()
    if hasattr(scheduler, "rungs"):
        for _, _, ranking in scheduler.rungs.descending():
            found |= set(ranking.best(len(ranking)))
        found |= set(getattr(scheduler, "_paused", ()))
    return found | set(getattr(scheduler, "_shown", ())) | set(getattr(scheduler, "_curves", ()))


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=15)
@given(data=st.data())
def test_attempts_end_only_where_the_scheduler_said_that_they_can(name, data):
    """Warm workers run ahead between those fidelities."""
    run = Run(study(name), 2)
    play(run, data)
    answers = {(c.trial, c.t): c.decision for c in run.commands if isinstance(c, core.Answer)}
    for (trial, t), decision in answers.items():
        judged = run.machine.judged(trial)
        if decision.action in ("stop", "pause") and judged is not None and decision.rung is not None:
            assert any(rung <= t for rung in judged)
            assert decision.rung in judged
        if decision.action == "pause":
            assert decision.rung in run.machine.saved(trial), "a trial pauses where it has a checkpoint"


@pytest.mark.parametrize("name", PAUSING)
@settings(max_examples=15)
@given(data=st.data())
def test_paused_trials_end_with_the_study_or_go_on_from_their_checkpoints(name, data):
    run = Run(study(name), 1)
    play(run, data, faults=False)
    starts = [c for c in run.commands if isinstance(c, core.StartAttempt) and c.attempt > 1]
    assert starts
    assert all(start.checkpoint for start in starts)
    assert all(trial.state in (TrialState.COMPLETE, TrialState.STOPPED) for trial in run.machine.trials.values())
    best = [trial for trial in run.machine.trials.values() if trial.state is TrialState.COMPLETE]
    assert best, "the best is trained to the end"


@pytest.mark.parametrize("name", PAUSING)
def test_interrupted_study_keeps_its_paused_trials(name):
    run = Run(study(name, trials=3), 1)
    run.begin()
    trial, attempt = run.start()
    t = 0
    decision = run.report(trial, attempt, 1, loss=0.5)
    while decision.action == "advance":
        t = run.machine.trials[trial].t + 1
        decision = run.report(trial, attempt, t, loss=0.5)
    assert decision.action == "pause"
    run.end(trial, attempt, "interrupted")
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    for start in list(run.starts):
        run.start()
        run.report(start.trial, start.attempt, 1, loss=0.7)
        run.end(start.trial, start.attempt, "interrupted")
    assert not run.ended()[-1].complete
    assert run.machine.trials[trial].state is TrialState.PAUSED
    run.begin()
    assert run.starts


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_better_means_better(name, goal):
    """With a curve each that never cross, the best trial is never stopped."""
    run = Run(study(name, metric=Metric(name="loss", goal=goal)), 8)
    run.begin()
    live = {}
    while not run.ended():
        while run.starts:
            trial, attempt = run.start()
            live[trial] = attempt
        for trial in sorted(live):
            t = run.machine.trials[trial].checkpoint_t + 1
            sign = 1 if goal == "minimize" else -1
            decision = run.report(trial, live[trial], t, loss=sign * (1 + trial))
            if decision.action != "advance":
                run.end(trial, live.pop(trial), decision.outcome)
                break
    assert run.machine.trials[0].state is TrialState.COMPLETE
    assert run.machine.best.number == 0
