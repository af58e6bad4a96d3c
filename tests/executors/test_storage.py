"""Nodes show that they have the studies' folder before anything is started on them."""

import types

import pytest

from sweep.core.pool import Node
from sweep.executors import storage
from sweep.executors.nodes import Seen

W1, W2 = Node("w1", 4, 1), Node("w2", 4, 1)


class Answers:
    """What nodes say when they are asked, if they have answered."""

    def __init__(self, monkeypatch):
        self.given = {}
        asking = types.SimpleNamespace
        monkeypatch.setattr(storage, "_ask", lambda node: asking(remote=lambda marker: (node, marker)))
        monkeypatch.setattr(storage, "_saw", lambda answer: self.given[answer[0]])
        monkeypatch.setattr(
            storage.ray, "wait", lambda refs, timeout: ([ref for ref in refs if ref[0] in self.given], [])
        )
        monkeypatch.setattr(storage, "_host", lambda: "head")


@pytest.fixture
def answers(monkeypatch):
    return Answers(monkeypatch)


@pytest.fixture
def gate(tmp_path):
    made = storage.Gate(tmp_path, lambda name: name)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == [], "no marker stays"


def test_a_node_that_joins_is_let_in_when_it_sees_the_folder(gate, answers):
    assert gate.take([Seen("joined", W1), Seen("joined", W2)]) == []
    answers.given["w2"] = True
    assert gate.take([]) == [Seen("joined", W2)]
    answers.given["w1"] = True
    assert gate.take([]) == [Seen("joined", W1)]
    assert gate.take([]) == []


def test_a_node_that_joins_without_the_folder_is_barred_in_words(gate, answers, tmp_path):
    answers.given["w1"] = False
    (seen,) = gate.take([Seen("joined", W1)])
    assert (seen.change, seen.node) == ("barred", W1)
    assert f"{tmp_path} on w1 isn't the folder of that name here on head" in seen.reason
    assert "Mount one folder on all nodes" in seen.reason


def test_a_node_that_goes_before_it_has_answered_was_never_there(gate, answers):
    assert gate.take([Seen("joined", W1)]) == []
    assert gate.take([Seen("left", W1), Seen("left", W2)]) == [Seen("left", W2)]
    answers.given["w1"] = True
    assert gate.take([]) == []


def test_a_node_that_offers_nothing_is_not_asked(gate, answers):
    head = Seen("joined", Node("head", 0, 0))
    assert gate.take([head]) == [head]
