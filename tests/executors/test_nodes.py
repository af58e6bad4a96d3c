"""The names of a cluster's nodes, and what is told of their coming and going."""

import threading
from dataclasses import replace

from sweep.executors.nodes import Nodes, Sight

A = Sight("aaaaaaaaaaaa", "w1", 4, 1)
B = Sight("bbbbbbbbbbbb", "w2", 4, 1)
TWIN = Sight("cccccccccccc", "w1", 8, 2)
NOW = 1000.0


def told(seen):
    return [(each.change, each.node.name, each.reason) for each in seen]


def test_each_node_has_its_hosts_name_and_a_second_one_there_another():
    nodes = Nodes()
    assert told(nodes.take([A, B, TWIN], NOW)) == [
        ("joined", "w1", ""), ("joined", "w2", ""), ("joined", "w1/cccccccc", ""),
    ]  # fmt: skip
    assert nodes.id_of("w1/cccccccc") == TWIN.id
    assert nodes.name_of(B.id) == "w2"
    assert (nodes.id_of("w9"), nodes.name_of("dd")) == (None, None)


def test_nothing_new_is_nothing_told():
    nodes = Nodes()
    nodes.take([A, B], NOW)
    assert nodes.take([A, B], NOW) == []


def test_draining_node_is_told_once_with_the_time_that_is_left_and_is_open_no_more():
    nodes = Nodes()
    nodes.take([A, B], NOW)
    going = replace(B, drains=True, until=NOW + 118.2)
    assert told(nodes.take([A, going], NOW)) == [("draining", "w2", "its machine is taken back in 118 s")]
    assert nodes.take([A, going], NOW + 1) == []
    assert [node.name for node in nodes.open] == ["w1"]
    assert [node.name for node in nodes.there] == ["w1", "w2"]
    assert nodes.drains("w2")
    assert not nodes.takes("w2")
    assert not nodes.drains("w1")
    assert nodes.takes("w1")
    gone = replace(going, alive=False, death="it died")
    assert told(nodes.take([A, gone], NOW)) == [("left", "w2", "it was announced to go")]
    assert not nodes.drains("w2")
    assert not nodes.takes("w2")


def test_node_without_a_deadline_drains_without_a_reason():
    nodes = Nodes()
    nodes.take([A], NOW)
    assert told(nodes.take([replace(A, drains=True)], NOW)) == [("draining", "w1", "")]


def test_host_that_comes_back_as_another_node_has_its_name_again_after_the_first_has_left():
    nodes = Nodes()
    nodes.take([A, B], NOW)
    back = replace(TWIN, id="eeeeeeeeeeee")
    dead = replace(A, alive=False, death="it died")
    assert told(nodes.take([dead, B, back], NOW)) == [("left", "w1", "it died"), ("joined", "w1", "")]
    assert nodes.id_of("w1") == back.id


def test_node_that_the_control_store_has_forgotten_has_left():
    nodes = Nodes()
    nodes.take([A, B], NOW)
    assert told(nodes.take([A], NOW)) == [("left", "w2", "")]


def test_node_that_drains_when_it_is_first_seen_is_never_open():
    nodes = Nodes()
    assert [each.change for each in nodes.take([replace(A, drains=True)], NOW)] == ["joined", "draining"]
    assert nodes.open == []


def test_memory_that_was_asked_for_stays_with_its_node():
    nodes = Nodes()
    nodes.take([A, B], NOW)
    nodes.measured({"w1": 24 * 2**30})
    assert {node.name: node.gpu_memory for node in nodes.open} == {"w1": 24 * 2**30, "w2": None}


def test_node_that_is_doubted_is_gone_unless_it_answers_and_there_again_when_it_does():
    heard = {A.door: True}
    nodes = Nodes(lambda door: heard[door])
    nodes.take([A], NOW)
    nodes.doubt("w1")
    assert nodes.take([A], NOW) == []
    heard[A.door] = False
    assert nodes.take([A], NOW) == [], "it has answered: nobody knocks again"
    nodes.doubt("w1")
    assert told(nodes.take([A], NOW)) == [("left", "w1", "it doesn't answer")]
    assert nodes.take([A], NOW) == []
    heard[A.door] = True
    assert told(nodes.take([A], NOW)) == [("joined", "w1", "")]
    nodes.doubt("nobody")


def test_doubted_node_that_dies_is_told_once():
    nodes = Nodes(lambda door: False)
    nodes.take([A], NOW)
    nodes.doubt("w1")
    nodes.take([A], NOW)
    assert nodes.take([replace(A, alive=False, death="it died")], NOW) == []


def test_nodes_that_are_doubted_are_all_knocked_at_together():
    """A rack goes at once, and each of its nodes takes its time not to answer: the driver waits for all once."""
    together = threading.Barrier(40)

    def answers(door):
        together.wait(timeout=60)
        return False

    nodes, rack = Nodes(answers), [replace(A, id=f"{number:012}", host=f"r{number}") for number in range(40)]
    nodes.take([*rack, B], NOW)
    for number in range(40):
        nodes.doubt(f"r{number}")
    assert {each.change for each in nodes.take([*rack, B], NOW)} == {"left"}
    assert [node.name for node in nodes.open] == ["w2"]
