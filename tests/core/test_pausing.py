"""ASHA that pauses: who goes on, when, and from where."""

from small_spec import small_spec
from study_runs import Run, told

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.objectives import Objectives
from sweep.core.schedulers.hyperband import Shares
from sweep.core.schedulers.pausing import PausingAsha
from sweep.core.schedulers.rungs import weights
from sweep.core.schedulers.scheduler import Room
from sweep.core.spec import Budget, CheckpointPolicy, Metric, Scheduler
from sweep.core.trial import Trial, TrialState


def paused(trials=9, slots=1, **changes):
    run = Run(small_spec(scheduler=Scheduler(max_t=9, promote=True), budget=Budget(trials=trials), **changes), slots)
    run.begin()
    return run


def to_rung(run, t, loss):
    """The next attempt, to fidelity `t`; returns the decision there."""
    trial, attempt = run.start()
    for step in range(run.machine.trials[trial].checkpoint_t + 1, t + 1):
        decision = run.report(trial, attempt, step, loss=loss)
    if decision.action != "advance":
        run.end(trial, attempt, decision.outcome)
    return trial, decision


def test_a_trial_pauses_until_it_is_among_the_best_third():
    run = paused()
    assert to_rung(run, 1, 0.5)[1].action == "pause"
    assert to_rung(run, 1, 0.4)[1].action == "pause"
    assert [trial.state for trial in run.machine.trials.values()][:2] == [TrialState.PAUSED] * 2
    number, decision = to_rung(run, 1, 0.9)
    assert (number, decision.action) == (2, "pause")
    # Now the best of three goes on, before a new trial begins.
    assert [(start.trial, start.attempt, start.checkpoint) for start in run.starts] == [(1, 2, "trials/1/epoch-1")]
    (said,) = [c for c in run.commands if isinstance(c, core.GoOn)]
    assert said.decision.reason == "1 of 3 at rung 1: within the best 1, goes on"


def test_a_trial_whose_turn_it_is_at_once_does_not_pause():
    run = paused()
    to_rung(run, 1, 0.5)
    to_rung(run, 1, 0.4)
    number, decision = to_rung(run, 1, 0.1)
    assert decision.action == "advance"
    assert run.machine.trials[number].state is TrialState.RUNNING


def test_the_highest_rung_comes_first_and_there_the_best():
    trials = {number: Trial(number, {}, 0, 0.0) for number in range(12)}
    asha = PausingAsha(
        Scheduler(max_t=9, promote=True), Objectives([Metric(name="loss", goal="minimize")]), trials, seed=0
    )
    for number in range(9):
        asha.report(trials[number], 1, {"loss": 0.1 + number})
    for number in (9, 10, 11):
        # The worst of those at rung 1, and still the first to go on.
        asha.report(trials[number], 3, {"loss": 50.0 + number})
    for trial in trials.values():
        trial.state = TrialState.PAUSED
    order = []
    while (onward := asha.onward(Room(arriving=True, idle=False))) is not None:
        order.append((onward.trial, onward.decision.rung))
        trials[onward.trial].state = TrialState.WAITING
    assert order == [(9, 3), (0, 1), (1, 1), (2, 1)]


def test_paused_trials_count_as_stopped_when_the_budget_is_spent_and_nobody_can_go_on():
    run = paused(trials=2)
    to_rung(run, 1, 0.5)
    to_rung(run, 1, 0.4)
    # With two, nobody is in the best third; the better one goes on all the same, or none would be trained to the end.
    number, decision = to_rung(run, 3, 0.3)
    assert (number, decision.action) == (1, "pause")
    number, decision = to_rung(run, 9, 0.2)
    assert (number, decision.action) == (1, "finish")
    assert told(run) == {1: ("complete", 0.2), 0: ("stopped", 0.5)}
    assert run.machine.trials[0].reason == "1 of 1 at rung 1: its turn never came"
    assert run.ended() == [core.EndRun("budget.trials is used up: 2 trials", complete=True)]


def test_pause_is_told_to_the_sampler_and_so_is_its_end():
    run = paused(trials=3)
    for loss in (0.5, 0.4, 0.9):
        to_rung(run, 1, loss)
    pauses = [(c.trial, c.paused) for c in run.commands if isinstance(c, core.PauseInSampler)]
    assert pauses == [(0, True), (1, True), (2, True), (1, False)]


def test_step_that_a_paused_trial_has_done_meanwhile_counts():
    """Warm workers run ahead: the next attempt goes on from there."""
    run = paused()
    trial, attempt = run.start()
    run.report(trial, attempt, 1, loss=0.5)
    assert run.report(trial, attempt, 2, loss=0.4).action == "pause"
    run.end(trial, attempt, "interrupted")
    assert run.machine.trials[0].checkpoint == "trials/0/epoch-2"
    assert run.machine.trials[0].state is TrialState.PAUSED


def test_step_that_would_come_to_the_next_rung_does_not_count():
    """It would pass it unjudged."""
    run = Run(small_spec(scheduler=Scheduler(max_t=9, promote=True, reduction_factor=2), budget=Budget(trials=9)), 1)
    run.begin()
    trial, attempt = run.start()
    run.report(trial, attempt, 1, loss=0.5)
    run.report(trial, attempt, 2, loss=0.4)
    run.end(trial, attempt, "interrupted")
    assert run.machine.trials[0].t == 1


def test_pause_stands_however_the_process_ends():
    for outcome in ("lost", "failed"):
        run = paused()
        trial, attempt = run.start()
        run.report(trial, attempt, 1, loss=0.5)
        run.end(trial, attempt, outcome, "late")
        assert run.machine.trials[0].state is TrialState.PAUSED


def test_trial_may_pause_where_it_has_a_checkpoint_whatever_every_says():
    run = paused(checkpoint=CheckpointPolicy(every=5))
    assert run.machine.saved(0) == (1, 3)


def test_person_who_stops_the_study_lets_no_paused_trial_go_on():
    run = paused(trials=9)
    for loss in (0.5, 0.4):
        to_rung(run, 1, loss)
    trial, attempt = run.start()
    run.handle(ev.Controlled(
        time=run.tick(), request=ev.Request(id="a", time=run.now, verb="stop"), accepted=True, answer=""
    ))  # fmt: skip
    decision = run.report(trial, attempt, 1, loss=0.9)
    run.end(trial, attempt, decision.outcome)
    assert run.ended()[-1].complete
    assert {t.state for t in run.machine.trials.values()} == {TrialState.STOPPED}


def test_hyperband_gives_each_bracket_its_share_of_any_number_of_trials():
    scheduler = Scheduler(type="hyperband", max_t=27)
    shares = Shares(scheduler)
    assert weights(scheduler) == [27, 18, 6, 4]
    given = [0, 0, 0, 0]
    for number in range(200):
        given[shares.bracket(number)] += 1
        for count, weight in zip(given, weights(scheduler), strict=True):
            assert abs(count - weight / 55 * (number + 1)) < 1.5


def test_last_bracket_of_hyperband_stops_nobody():
    run = Run(small_spec(scheduler=Scheduler(type="hyperband", max_t=9), budget=Budget(trials=30)), 30)
    run.begin()
    last = [n for n, trial in run.machine.trials.items() if trial.bracket == 2]
    assert last
    assert all(run.machine.judged(number) == () for number in last)


def test_several_objectives_let_the_front_go_on():
    run = paused(metric=[Metric(name="loss", goal="minimize"), Metric(name="size", goal="minimize")])
    for loss, size in ((0.9, 9), (0.1, 5), (0.5, 7)):
        trial, attempt = run.start()
        decision = run.report(trial, attempt, 1, loss=loss, size=size)
        run.end(trial, attempt, decision.outcome)
    assert [start.trial for start in run.starts] == [1]
