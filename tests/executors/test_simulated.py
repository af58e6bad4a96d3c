"""Whole studies on a clock that jumps, with the driver and the sampler that ship."""

import math
import time

import pytest
from small_spec import small_spec

from sweep.core.spec import Budget, CheckpointPolicy, Retries, Scheduler, Search
from sweep.core.study import replay
from sweep.core.trial import TrialState
from sweep.executors.simulated import Course, NodeLoss
from sweep.simulating import simulate


def spec(**changes):
    return small_spec(**{"budget": Budget(trials=20), **changes})


def course(config):
    """The loss falls to (x - 0.3)**2; a step takes between one and two seconds."""
    floor = (config["x"] - 0.3) ** 2
    return Course({"loss": [floor + 1 / t for t in range(1, 10)]}, seconds=1 + config["x"])


def test_thousand_trials_on_sixteen_workers_take_seconds():
    began = time.perf_counter()
    done = simulate(spec(budget=Budget(trials=1000)), course, slots=16)
    assert time.perf_counter() - began < 20
    assert len(done.machine.trials) == 1000
    assert done.machine.ended.complete


def test_clock_shows_what_the_workers_would_have_taken():
    slow = simulate(spec(scheduler=Scheduler(type="none", max_t=9)), lambda _: Course({"loss": [1.0] * 9}, 10), slots=4)
    assert slow.seconds == 20 * 9 * 10 / 4
    assert slow.machine.elapsed_s == slow.seconds


def test_step_may_cost_differently_at_each_fidelity_and_an_attempt_something_to_begin():
    one = simulate(
        spec(scheduler=Scheduler(type="none", max_t=3), budget=Budget(trials=1)),
        lambda _: Course({"loss": [1.0] * 3}, [1, 2, 4]),
        start_s=0.5,
    )
    assert [report.time for report in one.machine.trials[0].reports] == [1.5, 3.5, 7.5]


def test_time_budget_ends_a_study_on_the_simulated_clock():
    done = simulate(spec(budget=Budget(time=50)), course, slots=2)
    assert 50 <= done.seconds < 60
    assert "budget.time is used up" in done.machine.ended.reason


def test_same_study_twice_has_the_same_events():
    runs = [simulate(spec(), course, slots=3).log.lines for _ in range(2)]
    assert runs[0] == runs[1]


def test_training_that_ends_before_max_t_is_complete():
    done = simulate(spec(scheduler=Scheduler(type="none", max_t=9)), lambda _: Course({"loss": [1.0, 0.5]}))
    assert {(trial.state, trial.t) for trial in done.machine.trials.values()} == {(TrialState.COMPLETE, 2)}


def test_injected_failures_and_losses_take_the_ways_of_real_ones():
    def fault(placement, t):
        if placement.attempt == 1 and t == 2:
            return {1: "failed", 2: "lost"}.get(placement.trial)
        return None

    done = simulate(
        spec(scheduler=Scheduler(type="none", max_t=3), retries=Retries(max=1), budget=Budget(trials=4)),
        course,
        slots=2,
        fault=fault,
    )
    outcomes = {number: [a.outcome for a in trial.attempts] for number, trial in done.machine.trials.items()}
    assert outcomes == {0: ["returned"], 1: ["failed", "returned"], 2: ["lost", "returned"], 3: ["returned"]}
    assert [report.t for report in done.machine.trials[2].reports] == [1, 2, 3]


def test_node_that_dies_takes_its_attempts_along_and_they_go_on_elsewhere():
    done = simulate(
        spec(scheduler=Scheduler(type="none", max_t=9), budget=Budget(trials=4)),
        lambda _: Course({"loss": [1.0] * 9}),
        slots=4,
        nodes=2,
        losses=[NodeLoss(node=1, at_s=4.5, back_s=1000.0)],
    )
    attempts = {n: [(a.node, a.outcome) for a in trial.attempts] for n, trial in done.machine.trials.items()}
    assert attempts[0] == attempts[1] == [("node-0", "returned")]
    assert attempts[2] == attempts[3] == [("node-1", "lost"), ("node-0", "returned")]
    # From their checkpoints of step 4, when the other node has room at 9 s.
    assert done.seconds == 9 + 5


def test_checkpoints_are_as_far_apart_as_the_file_says():
    done = simulate(
        spec(scheduler=Scheduler(type="none", max_t=9), budget=Budget(trials=1), checkpoint=CheckpointPolicy(every=4)),
        course,
    )
    assert [report.t for report in done.machine.trials[0].reports if report.checkpoint] == [4, 8, 9]


@pytest.mark.parametrize("crash_at_s", [0.5, 3.0, 17.3, 35.0])
def test_study_whose_machine_crashed_goes_on_from_its_log(crash_at_s):
    whole = spec(search=Search(algorithm="random", seed=3))
    broken = simulate(whole, course, slots=2, crash_at_s=crash_at_s)
    assert broken.crashed
    done = simulate(whole, course, slots=2, log=broken.log)
    assert done.machine.ended.complete
    assert len(done.machine.trials) == 20
    assert all(trial.state.final for trial in done.machine.trials.values())


def test_attempt_that_does_not_wait_does_one_step_too_many():
    def stopped(ahead):
        done = simulate(spec(), course, slots=2, ahead=ahead)
        return done.machine.trials, done.seconds

    waiting, in_time = stopped(ahead=False)
    ahead, later = stopped(ahead=True)
    assert later > in_time
    assert {trial.t for trial in ahead.values() if trial.state is TrialState.STOPPED} <= {1, 3}
    assert any(trial.state is TrialState.STOPPED for trial in waiting.values())


def test_study_that_waits_for_nothing_is_told_of():
    class Stuck:
        finished = False

        def next_placement(self):
            return None

        def tick(self):
            pass

        def unwanted(self):
            return ()

    from sweep.executors.simulated import SimulatedExecutor

    with pytest.raises(RuntimeError, match="nothing to run"):
        SimulatedExecutor(course).run(Stuck())


def test_not_a_number_is_reported_as_such():
    done = simulate(spec(budget=Budget(trials=3)), lambda _: Course({"loss": [math.nan] * 9}))
    assert {trial.state for trial in done.machine.trials.values()} == {TrialState.FAILED}


@pytest.mark.parametrize("ahead", [False, True], ids=["waits", "runs ahead"])
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"promote": True},
        {"promote": True, "brackets": 2},
        {"type": "hyperband", "promote": True},
        {"type": "median"},
        {"type": "pbt", "grace_period": 2},
    ],
    ids=str,
)
def test_every_scheduler_survives_crashes_failures_and_lost_nodes(rules, ahead):
    """Under each: all trials end, no report is out of order, and the log gives the same state again."""

    def fault(placement, t):
        if placement.trial % 5 == 3 and placement.attempt == 1 and t == 2:
            return "failed"
        return "lost" if placement.trial % 7 == 2 and placement.attempt == 1 and t == 3 else None

    study = spec(scheduler=Scheduler(max_t=9, **rules), budget=Budget(trials=15), retries=Retries(max=1))
    log = None
    for crash_at_s in (4.2, 9.7, 14.1, None):
        done = simulate(
            study, course, slots=3, nodes=3, ahead=ahead, fault=fault, log=log,
            losses=[NodeLoss(1, 6.0, 5.0), NodeLoss(2, 15.0)], crash_at_s=crash_at_s,
        )  # fmt: skip
        assert done.crashed == (crash_at_s is not None)
        log = done.log
    machine = done.machine
    assert machine.ended.complete
    assert len(machine.trials) == 15
    for trial in machine.trials.values():
        assert trial.state.final
        assert trial.reason
        ts = [report.t for report in trial.reports]
        assert ts == sorted(set(ts))
        if not trial.lineage:
            assert ts == list(range(1, len(ts) + 1)), "nothing is skipped"
    again = replay(study, log.events())
    assert again.trials == machine.trials
    assert again.decisions == machine.decisions


def test_pausing_and_stopping_cost_what_they_say_with_thousand_trials():
    began = time.perf_counter()
    for promote in (False, True):
        done = simulate(
            spec(scheduler=Scheduler(max_t=9, promote=promote), budget=Budget(trials=1000)), course, slots=16
        )
        spent = sum(trial.t for trial in done.machine.trials.values())
        # A third and a ninth go on: 1000 + 2 * 333 + 6 * 111 steps, and some that went on by chance.
        assert 2000 < spent < 3200
    assert time.perf_counter() - began < 30
