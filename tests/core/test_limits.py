"""GPU-hours and money: what is counted, what ends a study, and what is said where nothing is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_spec import small_spec
from study_runs import Asked

from sweep.core import events as ev
from sweep.core import limits
from sweep.core.pool import Node
from sweep.core.spec import DEFAULT_TRIALS, Budget, Price, Resources
from sweep.core.study import replay
from sweep.errors import ResourceError


def begun(budget, gpu=0.5, slots=2, **resources):
    run = Asked(small_spec(budget=budget, resources=Resources(gpu=gpu, **resources)), slots, gpu=gpu)
    run.begin()
    return run


def test_gpu_hours_are_hours_times_the_shares_held():
    run = begun(Budget(trials=9, gpu_hours=100))
    run.start()
    run.tick(1799)
    run.start()
    run.tick(3599)
    run.handle(ev.Ticked(time=run.tick()))
    # Trial 0 for 5400 s and trial 1 for 3600 s, half a GPU each; the events between take a second each.
    assert run.machine.limits.gpu_s == pytest.approx(0.5 * (5400 + 3600), abs=3)


HELD = st.tuples(st.integers(0, 5), st.sampled_from([None, 0.25, 0.3333, 1.0, 2.0]), st.none() | st.integers(7, 8))


@given(st.lists(st.tuples(st.booleans(), HELD), max_size=40))
def test_what_is_held_is_the_sum_over_attempts_where_a_batch_counts_once(steps):
    books, held = limits.Limits(small_spec()), {}
    books.begin(0.0, 1.0)
    for second, (takes, (trial, gpu, batch)) in enumerate(steps):
        if takes:
            # All of a batch hold the same.
            share = 0.5 if batch is not None else gpu
            books.hold(trial, share, batch=batch)
            held[trial] = (batch, share or 0.0)
        else:
            books.give(trial)
            held.pop(trial, None)
        before = books.gpu_s
        books.passed(second + 1.0)
        alone = sum(gpu for batch, gpu in held.values() if batch is None)
        together = 0.5 * len({batch for batch, _ in held.values() if batch is not None})
        assert books.gpu_s - before == pytest.approx(alone + together, abs=1e-9)


def test_used_up_gpu_hours_end_trials_at_their_next_report_and_the_study():
    run = begun(Budget(trials=9, gpu_hours=1), slots=1)
    run.start()
    run.tick(7000)
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    assert not run.machine.overdue(run.now)
    assert run.machine.overdue(run.now + 300)
    run.tick(300)
    decision = run.report(0, 1, 2, loss=0.5)
    assert (decision.action, decision.reason) == ("stop", "budget.gpu_hours is used up: 1.01 of 1")
    run.end(0, 1, "stopped")
    run.finish()
    assert run.machine.ended.complete


def test_time_between_two_drivers_costs_no_gpu_hours():
    run = begun(Budget(trials=9, gpu_hours=1), slots=1)
    run.start()
    run.report(0, 1, 1, loss=0.5)
    before = run.machine.limits.gpu_s
    run.tick(100_000)
    run.begin()
    assert run.machine.limits.gpu_s == before
    assert run.machine.ending is None


def test_idle_slots_cost_no_gpu_hours():
    run = begun(Budget(trials=9, gpu_hours=1))
    run.tick(100_000)
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.limits.gpu_s == 0


def test_without_a_gpu_the_default_of_trials_ends_a_study_that_names_gpu_hours_alone():
    study = small_spec(budget=Budget(gpu_hours=3))
    assert study.budget.trials is None
    (line,) = limits.notes(study, 0.0)
    assert line == "budget.gpu_hours can't be reached here: trials hold no GPU, so the study ends after 50 trials"
    run = Asked(study, 1)
    run.begin()
    assert run.machine.limits.trials == DEFAULT_TRIALS


def test_without_a_gpu_other_limits_are_left_as_they_are():
    (line,) = limits.notes(small_spec(budget=Budget(gpu_hours=3, trials=7)), 0.0)
    assert line == "budget.gpu_hours can't be reached here: trials hold no GPU"
    assert limits.trial_limit(small_spec(budget=Budget(gpu_hours=3, time=60.0)), 0.0) is None


def test_with_a_gpu_nothing_needs_to_be_said():
    assert limits.notes(small_spec(budget=Budget(gpu_hours=3)), 0.5) == ()
    assert limits.notes(small_spec(), 0.0) == ()


def test_clock_that_was_put_back_takes_no_time_twice():
    run = begun(Budget(trials=9, time=10_000.0), slots=1)
    run.start()
    run.tick(100)
    run.handle(ev.Ticked(time=run.tick()))
    before = run.machine.elapsed_s
    run.now -= 50
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.elapsed_s == before


def test_attempts_of_one_batch_hold_one_share_together():
    run = begun(Budget(trials=9, gpu_hours=100), slots=4)
    for batch in (7, 7, 8, None):
        run.start(batch)
    before = run.machine.limits.gpu_s
    run.handle(ev.Ticked(time=run.tick(1000)))
    assert run.machine.limits.gpu_s - before == pytest.approx(1000 * 0.5 * 3)
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    before = run.machine.limits.gpu_s
    run.handle(ev.Ticked(time=run.tick(1000)))
    assert run.machine.limits.gpu_s - before == pytest.approx(1000 * 0.5 * 3), "the batch goes on with the other one"


def hour_of(run):
    before = run.machine.limits.paid
    run.handle(ev.Ticked(time=run.tick(3600)))
    return run.machine.limits.paid - before


def test_cost_is_of_shares_and_cores_held_and_of_nodes_whatever_runs():
    price = Price(gpu_hour=2.0, core_hour=0.1, node_hour=0.25)
    run = begun(Budget(trials=9, cost=100), cpu=3.0, price=price)
    assert hour_of(run) == pytest.approx(2 * 0.25), "of two nodes on which nothing runs yet"
    run.start()
    assert hour_of(run) == pytest.approx(0.5 + 0.5 * 2.0 + 3 * 0.1)
    run.start(batch=1)
    assert hour_of(run) == pytest.approx(0.5 + 2 * (0.5 * 2.0 + 3 * 0.1))


def test_used_up_cost_ends_trials_at_their_next_report_and_says_what_it_was():
    run = begun(Budget(trials=9, cost=3), slots=1, price=Price(gpu_hour=2.0))
    run.start()
    run.tick(3 * 3600 - 100)
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    assert not run.machine.overdue(run.now)
    assert run.machine.overdue(run.now + 200)
    run.tick(200)
    decision = run.report(0, 1, 2, loss=0.5)
    assert (decision.action, decision.reason) == ("stop", "budget.cost is used up: 3.028 of 3")
    run.end(0, 1, "stopped")
    run.finish()
    assert run.machine.ended.complete
    assert replay(run.machine.spec, run.history).limits.paid == run.machine.limits.paid


def test_machines_cost_while_a_study_is_paused_and_nothing_without_a_driver():
    run = begun(Budget(trials=9, cost=100, time="10h"), slots=1, price=Price(node_hour=1.0))
    run.ask("pause")
    assert hour_of(run) == pytest.approx(2.0)
    assert run.machine.elapsed_s < 60
    run.die()
    before = run.machine.limits.paid
    run.tick(100_000)
    run.begin()
    assert run.machine.limits.paid == before


def test_replay_counts_by_the_rates_of_each_run():
    run = begun(Budget(trials=9, cost=100), slots=1, price=Price(node_hour=1.0))
    assert hour_of(run) == pytest.approx(2.0)
    run.die()
    run.rates = limits.rates(run.machine.spec, 5)
    run.begin()
    assert hour_of(run) == pytest.approx(5.0)
    assert replay(run.machine.spec, run.history).limits.paid == run.machine.limits.paid


def test_extension_grants_more_money():
    run = begun(Budget(trials=9, cost=1), slots=1, price=Price(gpu_hour=2.0))
    run.start()
    run.tick(2 * 3600)
    run.report(0, 1, 1, loss=0.5)
    run.end(0, 1, "stopped")
    run.finish()
    assert run.ask("extend", trials=3) == (False, "study 's' would end at once: budget.cost is used up. Add --cost +N")
    accepted, answer = run.ask("extend", cost=5.0)
    assert accepted
    assert answer.startswith("the study may take a cost of 7")
    assert run.machine.limits.cost == pytest.approx(run.machine.limits.paid + 5.0)
    run.begin()
    assert run.machine.ending is None


@pytest.mark.parametrize(
    ("price", "gpu", "line"),
    [
        (
            Price(gpu_hour=2.0),
            0.0,
            "budget.cost can't be reached here: trials hold no GPU, and nothing else has a price",
        ),
        (Price(gpu_hour=2.0), 0.5, None),
        (Price(core_hour=0.1), 0.0, None),
        (Price(node_hour=0.1), 0.0, None),
    ],
)
def test_cost_that_nothing_counts_for_leaves_the_default_of_trials(price, gpu, line):
    study = small_spec(budget=Budget(cost=3), resources=Resources(price=price))
    assert limits.trial_limit(study, gpu) == (DEFAULT_TRIALS if line else None)
    assert limits.notes(study, gpu) == ((f"{line}, so the study ends after 50 trials",) if line else ())


def test_a_file_without_prices_costs_nothing():
    run = begun(Budget(trials=9), slots=1)
    run.start()
    assert hour_of(run) == 0


def test_machines_cost_what_the_cluster_says_and_a_silent_one_like_the_dearest():
    head, small, large = Node("h", 0, 0, price=0.2), Node("w1", 4, 1, price=0.8), Node("w2", 4, 1, price=4.6)
    assert limits.hour_of([head, small, large]) == pytest.approx(5.6)
    assert limits.hour_of([head, small, Node("w3", 4, 1)]) == pytest.approx(1.8)
    assert limits.hour_of([Node("h", 0, 0), small]) == pytest.approx(0.8), "a head that offers nothing and says nothing"
    run = begun(Budget(trials=9, cost=100), slots=1, price=Price(node_hour="cluster"))
    run.die()
    run.rates = limits.rates(run.machine.spec, 2, hour=5.6)
    run.begin()
    assert hour_of(run) == pytest.approx(5.6)


def test_a_file_that_relies_on_the_clusters_prices_is_refused_where_it_names_none():
    nodes = [Node("h", 0, 0), Node("w1", 4, 1), Node("w2", 4, 1, price=0.8)]
    by_cluster = Resources(price=Price(node_hour="cluster"))
    with pytest.raises(ResourceError, match=r"an hour of w1 costs.*sweep/usd-per-hour: \"0\.805\""):
        limits.check_prices(by_cluster, nodes)
    limits.check_prices(by_cluster, nodes[2:])
    limits.check_prices(Resources(price=Price(node_hour=1.0)), nodes)


def test_batches_that_are_over_are_forgotten():
    books = limits.Limits(small_spec())
    for batch in range(100):
        for trial in (2 * batch, 2 * batch + 1):
            books.hold(trial, 0.5, batch=batch)
        books.give(2 * batch)
        books.give(2 * batch + 1)
    assert not books._batches
    assert not books._held
