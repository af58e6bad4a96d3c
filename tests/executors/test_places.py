"""Places on a cluster as they are: who gets a worker that is free, and how many there are. No Ray runs here."""

import types
from contextlib import nullcontext

import pytest

from sweep.core.pool import Demand, Node
from sweep.core.protocols import Decision, Placement
from sweep.core.spec import Resources
from sweep.executors import hosts, warm_executor, work
from sweep.executors.messages import Message
from sweep.executors.nodes import Seen
from sweep.executors.warm_executor import WarmExecutor
from sweep.training.attempt import run_attempt, warm_up

A, B = Node("a", 1, 0), Node("b", 1, 0)


class Cluster:
    """Its nodes are what they are called, and all of them stay."""

    def __init__(self):
        self.machines, self.hour, self.seen = 1, 0.0, []
        self.nodes = types.SimpleNamespace(name_of=lambda key: key, drains=lambda name: False, takes=lambda name: True)

    def doubt(self, node):
        pass

    def changes(self):
        seen, self.seen = self.seen, []
        return seen


class Director:
    """Hands out placements, and says what the study would hold."""

    def __init__(self, placements=(), *, wanted=0.0, share=None):
        self.waiting, self.changes, self.outcomes = list(placements), [], []
        self.wanted, self.share = lambda: wanted, lambda: share
        self.batch = nullcontext

    @property
    def finished(self):
        return bool(self.changes)

    def next_placement(self):
        return self.waiting.pop(0) if self.waiting else None

    def node_changed(self, change):
        self.changes.append(change)

    def ended(self, placement, outcome, error=None, cause=None):
        self.outcomes.append(outcome)

    def ignore(self, *told, **more):
        return ()

    def reported(self, placement, metrics, checkpoint):
        return Decision("stop", "it is weak")

    started = tick = unwanted = ignore


@pytest.fixture
def executor(monkeypatch):
    """One whose workers are names of the nodes that they were meant for."""
    monkeypatch.setattr(hosts.Hosts, "_new_worker", lambda self, share, node: Worker(node))
    monkeypatch.setattr(hosts.ray, "kill", Worker.end)
    made = WarmExecutor(run_attempt, warm_up, Resources(cpu=1), study="places")
    made._cluster = Cluster()
    made._ever = [A, B]
    made._hosts.begin((A, B))
    return made


class Worker:
    """Begins when the test says so."""

    def __init__(self, node):
        self.node, self.ended = node, False
        remote = types.SimpleNamespace(remote=lambda placement, fused: object())
        self.attempt = types.SimpleNamespace(options=lambda name: remote)

    def end(self):
        self.ended = True


def placement(trial):
    return Placement(
        study="places", trial=trial, attempt=1, config={}, entrypoint="x:f", seed=1, time_attr="epoch", max_t=9,
        trial_dir="/nowhere",
    )  # fmt: skip


def by_trial(executor):
    return {each.placement.trial: each for each in executor._work.values()}


def begins(executor, director, trial):
    sent = by_trial(executor)[trial]
    executor._take(director, sent, Message("hello", node_id=sent.host.worker.node, device="cpu"))
    return sent.host


def test_attempt_whose_worker_finds_no_room_takes_one_that_has_become_idle(executor):
    director = Director([placement(number) for number in range(3)])
    executor._place(director)
    warm = begins(executor, director, 0)
    stuck = by_trial(executor)[1].host.worker
    executor._make_room()
    assert not stuck.ended, "it may take a while to start"
    executor._listened += warm_executor.BEGIN_S + 1
    executor._take(director, by_trial(executor)[0], Message("end", outcome="returned"))
    executor._make_room()
    executor._place(director)
    assert stuck.ended
    assert not warm.worker.ended
    assert by_trial(executor)[1].host is warm, "before the trial that came later"
    assert by_trial(executor)[2].host.worker.node == "b"


def test_attempt_whose_warm_worker_hangs_has_another(executor):
    director = Director([placement(0), placement(1)])
    executor._place(director)
    hung = begins(executor, director, 0)
    executor._take(director, by_trial(executor)[0], Message("end", outcome="returned"))
    executor._hosts.drop(by_trial(executor)[1].host)
    executor._place(Director([placement(2)]))
    assert by_trial(executor)[2].host is hung
    executor._make_room()
    assert not hung.worker.ended
    executor._listened += warm_executor.BEGIN_S + 1
    executor._make_room()
    executor._place(director)
    assert hung.worker.ended
    assert by_trial(executor)[2].host is not hung


def test_attempt_that_finds_no_room_goes_to_a_node_that_has_come_since(executor):
    director = Director([placement(0), placement(1)])
    executor._place(director)
    stuck = by_trial(executor)[0].host.worker
    begins(executor, director, 1)
    executor._hosts.joined(Node("c", 1, 0))
    executor._listened += warm_executor.BEGIN_S + 1
    executor._make_room()
    executor._place(director)
    assert by_trial(executor)[0].host.worker is stuck, "it may be about to begin"
    executor._listened += warm_executor.MOVE_S
    executor._make_room()
    executor._place(director)
    assert stuck.ended
    assert by_trial(executor)[0].host.worker.node == "c"


def test_idle_workers_go_only_where_an_attempt_finds_no_room(executor):
    executor._hosts.begin((Node("a", 2, 0), Node("b", 2, 0)))
    idle = [executor._hosts.make(Demand(0, 0.5)) for _ in range(3)]
    for host, node in zip(idle, "aab", strict=True):
        executor._hosts.began(host, node, ())
    executor._place(Director([placement(0)]))
    place = by_trial(executor)[0].host.node
    executor._listened += warm_executor.BEGIN_S + 1
    executor._make_room()
    assert {host.node for host in idle if host.worker.ended} == {place}


def test_workers_that_have_begun_are_taken_before_others(executor):
    first, second = executor._hosts.make(Demand()), executor._hosts.make(Demand())
    assert executor._hosts.find(Demand(), None) is first
    executor._hosts.began(second, "b", ())
    assert executor._hosts.find(Demand(), None) is second


def test_places_are_counted_and_asked_for_by_the_share_that_was_measured(executor):
    """gpu: auto begins with whole GPUs; places of that size would be too few, and the machines asked for too many."""
    asked = []
    executor._share, executor._grows = Demand(1, 1), True
    executor._wishes = types.SimpleNamespace(due=lambda: True, ask=lambda *wish: asked.append(wish))
    executor._open = {"g": Node("g", 16, 2)}
    executor._cluster.seen = [Seen("joined", Node("h", 16, 1))]
    director = Director(wanted=14, share=Demand(0.25, 1))
    executor.run(director)
    assert [change.slots for change in director.changes] == [12]
    assert asked == [(2, Demand(0.25, 1))]


def test_training_that_swallows_its_end_and_goes_on_reporting_is_ended(executor, monkeypatch):
    director = Director([placement(0)])
    executor._place(director)
    host = begins(executor, director, 0)
    monkeypatch.setattr(work, "FACTOR", 0)
    monkeypatch.setattr(work, "STUCK_S", 0.0)
    executor._report(director, by_trial(executor)[0], Message("report", metrics={"epoch": 1}))
    monkeypatch.setattr(work, "STUCK_S", 3600.0)
    executor._report(director, by_trial(executor)[0], Message("report", metrics={"epoch": 2}))
    executor._end_stuck(director)
    assert director.outcomes == ["stopped"]
    assert host.worker.ended


def test_worker_on_a_node_that_is_about_to_go_takes_nobody_into_a_free_lane(executor):
    executor._hosts.lanes = 2
    host = executor._hosts.find(Demand(), "like")
    host.key, host.attempts = "like", 1
    executor._hosts.began(host, "a", ())
    assert executor._hosts.find(Demand(), "like") is host
    executor._hosts.closed("a")
    assert executor._hosts.find(Demand(), "like").node == "b"
    executor._hosts.left(host, fit=True)
    assert host.worker.ended
