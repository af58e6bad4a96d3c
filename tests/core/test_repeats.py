"""Finalists and their repeats: who is one, when they run, and how they rank trials."""

import pytest
from small_spec import small_spec
from study_runs import Asked, told

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget, Metric, Scheduler, Search
from sweep.core.study import replay


def begun(trials=3, repeats=2, finalists=2, slots=1, **changes):
    fields = {
        "budget": Budget(trials=trials),
        "search": Search(algorithm="random", repeats=repeats, finalists=finalists),
    }
    run = Asked(small_spec(**(fields | changes)), slots)
    run.begin()
    return run


def searched(**changes):
    """Trials 0, 1, 2 with the losses 0.3, 0.1, 0.2: the finalists are 1 and 2."""
    run = begun(**changes)
    for loss in (0.3, 0.1, 0.2):
        run.complete(loss=loss)
    return run


def repeats_of(run):
    return [(trial.number, trial.repeat_of) for trial in run.machine.trials.values() if trial.repeat_of is not None]


def test_finalists_are_repeated_with_their_configs_when_the_search_has_ended():
    run = searched()
    assert run.machine.ended is None
    assert repeats_of(run) == [(3, 1), (4, 2), (5, 1), (6, 2)]
    trials = run.machine.trials
    assert trials[3].config == trials[1].config
    assert [start.trial for start in run.starts] == [3]
    for loss in (0.5, 0.2, 0.5, 0.2):
        run.complete(loss=loss)
    assert run.machine.ended.reason == "budget.trials is used up: 3 trials"
    assert run.machine.ended.complete


def test_mean_of_the_repeats_ranks_finalists_and_their_first_values_dont_count():
    run = searched()
    for loss in (0.5, 0.2, 0.5, 0.2):
        assert run.machine.best.number == 1, "before the repeats are through, single values rank"
        run.complete(loss=loss)
    assert run.machine.best.number == 2
    assert [trial.number for trial in run.machine.ranked()] == [2, 1, 0]
    score = run.machine.repeats.verdict(1).first
    assert (score.values, score.mean, score.spread) == ((0.5, 0.5), 0.5, 0.0)


def test_of_equal_means_the_steadier_one_is_better():
    run = searched()
    for loss in (0.1, 0.2, 0.3, 0.2):
        run.complete(loss=loss)
    first, second = (run.machine.repeats.verdict(number).first for number in (1, 2))
    assert first.mean == pytest.approx(second.mean)
    assert first.worth == pytest.approx(0.2 + 0.1)
    assert run.machine.best.number == 2


def test_worth_is_below_the_mean_where_higher_is_better():
    run = begun(metric=Metric(name="loss", goal="maximize"))
    for loss in (0.1, 0.3, 0.2, 0.4, 0.2, 0.2, 0.2):
        run.complete(loss=loss)
    assert run.machine.repeats.verdict(1).first.worth == pytest.approx(0.3 - 0.1)
    assert run.machine.best.number == 1


def test_repeats_are_judged_by_nobody_and_told_to_no_sampler():
    run = searched(scheduler=Scheduler(max_t=9, grace_period=1, reduction_factor=2))
    trial, attempt = run.start()
    assert trial == 3
    assert run.machine.judged(trial) == ()
    for t in range(1, 9):
        assert run.report(trial, attempt, t, loss=1e6).action == "advance"
    assert run.report(trial, attempt, 9, loss=1e6).action == "finish"
    run.end(trial, attempt, "returned")
    assert set(told(run)) == {0, 1, 2}
    assert {c.trial for c in run.commands if isinstance(c, core.ReportToSampler)} == {0, 1, 2}
    assert (
        run.machine.scheduler.rungs.recorded() == {1: 0, 2: 0, 4: 0, 8: 0}
        or sum(run.machine.scheduler.rungs.recorded().values()) == 3
    )


def test_repeats_count_for_no_limit_of_trials_and_no_patience():
    run = searched(budget=Budget(trials=3, patience=2))
    for _ in range(4):
        run.complete(loss=9.0)
    assert run.machine.books.proposed == 3
    assert run.machine.ended.reason == "budget.trials is used up: 3 trials"


def test_target_that_a_repeat_reaches_is_nothing_new():
    run = begun(metric=Metric(name="loss", goal="minimize", target=0.1), trials=9)
    run.start()
    run.report(0, 1, 1, loss=0.05)
    run.end(0, 1, "returned")
    assert repeats_of(run) == [(1, 0), (2, 0)]
    trial, attempt = run.start()
    assert run.report(trial, attempt, 1, loss=0.01).action == "advance"


def test_failed_repeat_isnt_made_again_and_the_others_rank():
    run = searched()
    trial, attempt = run.start()
    run.end(trial, attempt, "failed", "no luck")
    for loss in (0.2, 0.4, 0.2):
        run.complete(loss=loss)
    assert run.machine.ended.complete
    assert run.machine.repeats.verdict(1).first.values == (0.4,)
    assert run.machine.best.number == 2


def test_finalist_whose_repeats_all_failed_ranks_behind_those_with_one():
    run = searched()
    for failing in (True, False, True, False):
        if failing:
            trial, attempt = run.start()
            run.end(trial, attempt, "failed", "no luck")
        else:
            run.complete(loss=0.9)
    assert [trial.number for trial in run.machine.ranked()] == [2, 1, 0]


@pytest.mark.parametrize("verb", ["stop", "cancel"])
def test_person_who_ends_a_study_gets_no_repeats(verb):
    run = begun(trials=9)
    run.complete(loss=0.1)
    run.start()
    run.ask(verb)
    if verb == "stop":
        run.report(1, 1, 9, loss=0.2)
        run.end(1, 1, "returned")
        run.finish()
    assert run.machine.ended.complete
    assert repeats_of(run) == []


def test_repeats_that_time_cut_short_dont_rank_and_are_made_anew_when_it_is_extended():
    run = searched(budget=Budget(trials=3, time=1000.0))
    run.complete(loss=0.9)
    trial, attempt = run.start()
    run.tick(2000)
    assert run.report(trial, attempt, 1, loss=0.0).action == "stop"
    run.end(trial, attempt, "stopped")
    run.finish()
    assert run.machine.ended.complete
    assert not run.machine.repeats.settled
    assert run.machine.best.number == 1
    run.ask("extend", time_s=5000.0, trials=1)
    run.begin()
    run.complete(loss=0.5)
    while run.machine.ended is None:
        run.complete(loss=0.9 if run.machine.trials[run.starts[0].trial].repeat_of == 1 else 0.4)
    assert run.machine.repeats.settled
    assert [len(run.machine.repeats.of(number)) for number in (1, 2)] == [2, 2]
    assert run.machine.best.number == 2


@pytest.mark.parametrize("after", range(1, 9))
def test_kill_at_any_moment_loses_no_repeat_and_makes_none_twice(after):
    run = begun()
    for step in range(100):
        if run.machine.ended is not None:
            break
        if step == after:
            run.begin()
        run.complete(loss=(0.3, 0.1, 0.2)[step] if step < 3 else 0.5)
    assert sorted(repeats_of(run)) == [(3, 1), (4, 2), (5, 1), (6, 2)]
    assert replay(run.machine.spec, run.history).trials == run.machine.trials


def test_interrupt_between_repeats_goes_on_with_them():
    run = searched()
    trial, attempt = run.start()
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    assert run.report(trial, attempt, 1, loss=0.5).action == "pause"
    run.end(trial, attempt, "interrupted")
    run.finish()
    assert not run.machine.ended.complete
    run.begin()
    assert [(start.trial, start.attempt) for start in run.starts] == [(3, 2)]
    for _ in range(4):
        run.complete(loss=0.5)
    assert run.machine.ended.complete
    assert len(run.machine.trials) == 7


def test_no_repeats_where_none_are_asked_for():
    run = begun(repeats=0)
    for loss in (0.3, 0.1, 0.2):
        run.complete(loss=loss)
    assert run.machine.ended.complete
    assert run.machine.repeats.chosen in (None, ())


LATENCY = Metric(name="latency", max=5.0)
LOSS = Metric(name="loss", goal="minimize")
SIZE = Metric(name="size", goal="minimize")


def test_only_trials_within_the_bounds_are_finalists():
    run = begun(trials=4, finalists=3, repeats=1, metric=[LOSS, LATENCY])
    for loss, latency in ((0.1, 9.0), (0.4, 1.0), (0.2, 7.0), (0.3, 1.0)):
        run.complete(loss=loss, latency=latency)
    assert repeats_of(run) == [(4, 3), (5, 1)]


def test_no_trial_within_the_bounds_leaves_nothing_to_repeat():
    run = begun(metric=[LOSS, LATENCY])
    for loss in (0.1, 0.2, 0.3):
        run.complete(loss=loss, latency=6.0)
    assert run.machine.ended.complete
    assert repeats_of(run) == []


def test_finalist_whose_repeats_break_a_bound_on_average_is_behind_all_that_keep_theirs():
    run = begun(trials=3, finalists=2, repeats=2, metric=[LOSS, LATENCY])
    for loss in (0.3, 0.1, 0.2):
        run.complete(loss=loss, latency=4.9)
    for loss, latency in ((0.1, 7.0), (0.2, 7.0), (0.1, 4.0), (0.2, 2.0)):
        run.complete(loss=loss, latency=latency)
    assert [trial.number for trial in run.machine.ranked()] == [2, 0, 1]
    assert run.machine.best.number == 2
    assert run.machine.repeats.verdict(1).broken == "latency 5.5 (max 5)"
    assert run.machine.repeats.verdict(2).broken == ""
    assert not run.machine.within(run.machine.trials[1])


def test_where_all_finalists_turn_out_beyond_the_best_of_the_others_wins():
    run = begun(trials=3, finalists=2, repeats=1, metric=[LOSS, LATENCY])
    for loss in (0.3, 0.1, 0.2):
        run.complete(loss=loss, latency=4.9)
    for latency in (7.0, 6.0):
        run.complete(loss=0.1, latency=latency)
    assert [trial.number for trial in run.machine.ranked()] == [0, 2, 1]
    assert run.machine.best.number == 0


def test_bound_that_a_repeat_didnt_report_isnt_kept():
    run = begun(trials=2, finalists=1, repeats=2, metric=[LOSS, LATENCY])
    for loss in (0.3, 0.1):
        run.complete(loss=loss, latency=4.0)
    run.complete(loss=0.1, latency=1.0)
    run.complete(loss=0.1)
    assert run.machine.repeats.verdict(1).broken == "latency missing (max 5)"
    assert run.machine.best.number == 0


def test_front_is_that_of_the_means_of_the_finalists():
    run = begun(trials=4, finalists=3, repeats=2, metric=[LOSS, SIZE])
    for loss, size in ((0.1, 3.0), (0.2, 2.0), (0.3, 1.0), (0.4, 4.0)):
        run.complete(loss=loss, size=size)
    assert [trial.number for trial in run.machine.front()] == [0, 1, 2]
    means = {0: (0.3, 3.0), 1: (0.25, 2.0), 2: (0.4, 1.0)}
    while run.machine.ended is None:
        loss, size = means[run.machine.trials[run.starts[0].trial].repeat_of]
        run.complete(loss=loss, size=size)
    assert [trial.number for trial in run.machine.front()] == [1, 2], "the luck of trial 0 is gone"
    assert [trial.number for trial in run.machine.ranked()] == [1, 2, 0, 3]
    verdict = run.machine.repeats.verdict(0)
    assert [each.mean for each in verdict.objectives] == [0.3, 3.0]
    assert replay(run.machine.spec, run.history).front() == run.machine.front()


def test_each_objective_is_made_worse_by_its_own_standard_error_in_its_own_direction():
    run = begun(trials=1, finalists=1, repeats=2, metric=[LOSS, Metric(name="acc", goal="maximize")])
    run.complete(loss=0.5, acc=0.5)
    for loss, acc in ((0.1, 0.6), (0.3, 0.8)):
        run.complete(loss=loss, acc=acc)
    verdict = run.machine.repeats.verdict(0)
    assert [each.worth for each in verdict.objectives] == pytest.approx([0.3, 0.6])
    assert verdict.score.values == pytest.approx((0.3, -0.6))


def test_attempt_that_was_on_its_way_when_the_target_was_reached_ends_as_it_begins_and_repeats_go_on():
    run = begun(trials=9, slots=2, metric=Metric(name="loss", goal="minimize", target=0.1))
    first = run.start()
    run.report(*first, 3, loss=0.05)
    run.end(*first, "returned")
    late, attempt = run.start()
    assert late == 1
    assert isinstance(run.commands[-1], core.EndAttempt), "its process is ended"
    run.end(late, attempt, "stopped")
    while run.starts:
        run.complete()
    assert run.states() == ["complete", "stopped", "complete", "complete"]
    assert run.machine.trials[1].reason.startswith("trial 0 reached the target")
    assert run.machine.ended.complete
    assert replay(run.machine.spec, run.history).trials == run.machine.trials
