"""Nodes that come and go under a study: what joins is used, what drains gets nothing new, and its trials move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_spec import small_spec
from spec_files import exploring
from study_runs import Run

from sweep.core import events as ev
from sweep.core.pool import Demand, Node, Pool, count
from sweep.core.spec import Budget, Price, Resources, Scheduler
from sweep.core.study import replay
from sweep.core.trial import TrialState

A, B, C = (Node(name, 1, 0) for name in "abc")
PLAIN = Scheduler(type="none", max_t=9)


class Elastic(Run):
    """A run whose attempts are put on the first node that has a core free, as an executor would."""

    def __init__(self, study_spec, nodes, **options):
        super().__init__(study_spec, slots=len(nodes), nodes=nodes, **options)
        self.open, self.on = {node.name: node for node in nodes}, {}

    def changed(self, change, node, reason=""):
        if change == "joined":
            self.open[node.name] = node
        else:
            self.open.pop(node.name, None)
        slots = count(list(self.open.values()), Demand())
        rates = self.rates and self.rates.model_copy(update={"machines": 3.0 * len(self.open)})
        return self.handle(
            ev.NodeChanged(time=self.tick(), change=change, node=node, slots=slots, reason=reason, rates=rates)
        )

    def start(self, batch=None):
        free = [name for name, node in self.open.items() if list(self.on.values()).count(name) < node.cpu]
        command = self.starts.pop(0)
        key = command.trial, command.attempt
        self.on[key] = free[0]
        self.handle(
            ev.AttemptStarted(time=self.tick(), trial=key[0], attempt=key[1], node=free[0], device="cpu", gpu=0)
        )
        return key

    def end(self, trial, attempt, outcome, error=None, cause=None):
        self.on.pop((trial, attempt), None)
        return super().end(trial, attempt, outcome, error, cause)


def begun(nodes, trials=4, **changes):
    run = Elastic(small_spec(budget=Budget(trials=trials), **{"scheduler": PLAIN, **changes}), nodes)
    run.begin()
    return run


def test_node_that_joins_is_used_at_once():
    run = begun([A])
    run.start()
    assert not run.starts
    run.changed("joined", B)
    assert [start.trial for start in run.starts] == [1]
    assert run.machine.run.slots == 2
    assert run.start() == (1, 1)
    assert run.on[1, 1] == "b"


def test_trial_on_a_draining_node_moves_at_its_report_and_goes_on_from_its_checkpoint():
    run = begun([A, B], trials=2)
    run.start()
    on_b = run.start()
    run.changed("draining", B, "its machine is taken back in 118 s")
    decision = run.report(*on_b, 4, loss=1.0)
    assert (decision.action, decision.outcome) == ("move", "moved")
    assert decision.reason == "node b drains, its machine is taken back in 118 s: it goes on elsewhere"
    run.end(*on_b, "moved")
    trial = run.machine.trials[1]
    assert (trial.state, trial.failures, trial.losses) == (TrialState.WAITING, 0, 0)
    assert not run.starts, "a is busy, and b gets nothing"
    run.changed("joined", C)
    (again,) = run.starts
    assert (again.trial, again.attempt, again.checkpoint) == (1, 2, "trials/1/epoch-4")


def test_trial_on_another_node_stays_where_it_is():
    run = begun([A, B], trials=2)
    on_a = run.start()
    run.start()
    run.changed("draining", B)
    assert run.report(*on_a, 1, loss=1.0).action == "advance"


def test_trial_without_a_checkpoint_stays_for_it_may_come_to_its_end():
    run = begun([A, B], trials=2)
    run.start()
    on_b = run.start()
    run.changed("draining", B)
    assert run.report(*on_b, 1, saved=False, loss=1.0).action == "advance"
    assert run.report(*on_b, 9, loss=1.0).action == "finish"


def test_what_was_trained_before_the_word_came_is_taken_in():
    run = begun([A, B], trials=2)
    run.start()
    on_b = run.start()
    run.changed("draining", B)
    run.report(*on_b, 4, loss=1.0)
    assert run.report(*on_b, 5, loss=0.5).action == "move"
    run.end(*on_b, "moved")
    run.changed("joined", C)
    assert run.starts[0].checkpoint == "trials/1/epoch-5"


def test_decision_at_a_rung_stands_and_says_both_why_it_advances_and_why_it_moves():
    run = begun([A, B], trials=2, scheduler=Scheduler(max_t=9, grace_period=1, reduction_factor=3))
    run.start()
    on_b = run.start()
    run.changed("draining", B)
    decision = run.report(*on_b, 1, loss=1.0)
    assert (decision.action, decision.rung) == ("move", 1)
    assert "best" in decision.reason
    assert "node b drains" in decision.reason


def test_loser_on_a_draining_node_is_stopped_and_not_moved():
    run = begun([A, B], trials=2, scheduler=Scheduler(max_t=9, grace_period=1, reduction_factor=3))
    on_a, on_b = run.start(), run.start()
    run.changed("draining", B)
    run.report(*on_a, 1, loss=0.1)
    assert run.report(*on_b, 1, loss=9.0).action == "stop"


def test_node_that_dies_before_the_trial_reports_loses_it_as_ever():
    run = begun([A, B], trials=2)
    run.start()
    on_b = run.start()
    run.report(*on_b, 3, loss=1.0)
    run.changed("draining", B)
    run.changed("left", B)
    run.end(*on_b, "lost", "its node died")
    run.changed("joined", B)
    assert (run.starts[0].trial, run.starts[0].checkpoint) == (1, "trials/1/epoch-3")
    assert run.report(*run.start(), 4, loss=1.0).action == "advance", "a host of that name is there again"


def test_study_whose_last_node_goes_waits_for_another():
    run = begun([A], trials=2)
    key = run.start()
    run.report(*key, 2, loss=1.0)
    run.changed("draining", A)
    run.report(*key, 3, loss=1.0)
    run.end(*key, "moved")
    run.changed("left", A)
    assert not run.starts
    assert not run.ended()
    assert run.machine.run.slots == 0
    run.changed("joined", A)
    assert [start.checkpoint for start in run.starts] == ["trials/0/epoch-3"]


def test_study_that_ends_meanwhile_ends_the_trial_and_does_not_move_it():
    run = begun([A, B], trials=2)
    run.start()
    on_b = run.start()
    run.changed("draining", B)
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    assert run.report(*on_b, 4, loss=1.0).action == "pause"


def test_nodes_are_counted_anew_by_the_next_driver():
    run = begun([A, B], trials=2)
    run.start()
    on_b = run.start()
    run.changed("draining", B)
    run.report(*on_b, 2, loss=1.0)
    run.on.clear()
    run.begin()
    assert sorted(start.trial for start in run.starts) == [0, 1]
    run.open["b"] = B
    run.start()
    assert run.report(*run.start(), 3, loss=1.0).action == "advance"


def test_a_machine_more_costs_more_from_then_on():
    run = begun([A], trials=2, resources=Resources(cpu=1, price=Price(node_hour=3.0)))
    run.start()
    run.changed("joined", B)
    before = run.machine.limits.paid
    run.tick(3599)
    run.handle(ev.Ticked(time=run.tick()))
    assert run.machine.limits.paid - before == pytest.approx(6.0)


def test_where_heads_are_counted_the_number_changes_with_the_nodes():
    run = Elastic(small_spec(budget=Budget(trials=4), scheduler=PLAIN), [A, B])
    run.slots, run.nodes = 4, []
    run.begin()
    assert len(run.starts) == 4
    run.handle(ev.NodeChanged(time=run.tick(), change="draining", node=B, slots=2))
    run.end(*run.start(), "lost", "its node died")
    assert len(run.starts) == 3, "nothing new while more are at work than fit"


CHANGES = st.tuples(st.sampled_from(["joined", "draining", "left"]), st.sampled_from("abcd"))
STEPS = st.lists(st.one_of(CHANGES, st.sampled_from(["start", "report", "lose"])), max_size=60)


@exploring(200)
@given(steps=STEPS, seed=st.randoms(use_true_random=False))
def test_whatever_comes_and_goes_nothing_is_started_where_it_may_not_be_and_a_replay_is_the_same(steps, seed):
    run = begun([A, B], trials=5)
    there, draining, closings, work = {"a", "b"}, set(), 0, {}
    for step in steps:
        if isinstance(step, tuple):
            change, name = step
            possible = {"joined": name not in there, "draining": name in there - draining, "left": name in there}
            if not possible[change]:
                continue
            closings += change != "joined"
            run.changed(change, Node(name, 1, 0))
            there ^= {name} if change != "draining" else set()
            draining = (draining | {name}) if change == "draining" else draining - {name}
            for key in [key for key, node in run.on.items() if change == "left" and node == name]:
                work.pop(key)
                run.end(*key, "lost", "its node died")
        elif step == "start" and run.starts and set(run.open) - set(run.on.values()):
            trial = run.starts[0].trial
            work[run.start()] = run.machine.trials[trial].checkpoint_t
        elif step in ("report", "lose") and work:
            key = seed.choice(sorted(work))
            t = work[key] + 1
            if step == "lose":
                del work[key]
                run.end(*key, "lost", "its process died")
                continue
            work[key] = t
            on_draining = run.on[key] in draining
            decision = run.report(*key, t, loss=1.0)
            expected = "finish" if t == 9 else "move" if on_draining else "advance"
            assert decision.action == expected
            if decision.action != "advance":
                del work[key]
                run.end(*key, decision.outcome)
        free = len(there - draining) - sum(node not in draining for node in run.on.values())
        assert len(run.starts) <= max(0, free) + closings, "nothing is begun that was not on its way already"
        if any(trial.losses > 3 for trial in run.machine.trials.values()):
            break
    again = replay(run.machine.spec, run.history)
    assert again.trials == run.machine.trials
    assert again.run == run.machine.run
    assert not any(trial.failures for trial in again.trials.values())


def test_pool_puts_nothing_on_a_node_that_is_closed_and_everything_on_one_that_was_added():
    pool = Pool([Node("a", 2, 0), Node("b", 2, 0)])
    pool.close("a")
    assert [pool.take(key, Demand()) for key in range(3)] == ["b", "b", None]
    pool.add(Node("c", 1, 0))
    assert pool.take(3, Demand()) == "c"
    pool.close("nobody")
    pool.give(0)
    assert pool.take(4, Demand()) == "b"


def test_head_of_the_line_waits_elsewhere_when_its_node_closes():
    pool = Pool([Node("a", 4, 0), Node("b", 4, 0)])
    assert [pool.take(key, Demand(cpu=3)) for key in (0, 1)] == ["a", "b"]
    pool.wait(2, Demand(cpu=4))
    pool.close("a")
    pool.wait(2, Demand(cpu=4))
    pool.give(0)
    assert pool.take(2, Demand(cpu=4)) is None
    pool.give(1)
    assert pool.take(2, Demand(cpu=4)) == "b"
