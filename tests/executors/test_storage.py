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
        self.given, self.memory = {}, {}
        monkeypatch.setattr(storage, "ask", self.ask)
        monkeypatch.setattr(storage, "_answer", lambda answer, otherwise: answer[0][answer[1]])
        monkeypatch.setattr(
            storage.ray, "wait", lambda refs, num_returns, timeout: ([ref for ref in refs if ref[1] in ref[0]], [])
        )
        monkeypatch.setattr(storage, "_host", lambda: "head")

    def ask(self, what, node):
        book = self.given if what is storage.sees else self.memory
        return types.SimpleNamespace(remote=lambda *marker: (book, node))


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


def measuring(tmp_path, studies=True):
    few = "too few of them"
    return storage.Gate(
        tmp_path if studies else None, lambda name: name, lambda node: few if (node.gpu_memory or 99) < 20 else ""
    )


def test_a_node_whose_gpus_have_too_little_memory_is_barred(answers, tmp_path):
    gate = measuring(tmp_path)
    assert gate.take([Seen("joined", W1), Seen("joined", W2), Seen("joined", Node("cpu", 4, 0))]) == []
    answers.given.update(w1=True, w2=True, cpu=True)
    assert gate.take([]) == [Seen("joined", Node("cpu", 4, 0))], "it has nothing to measure"
    answers.memory.update(w1=10, w2=40)
    assert gate.take([]) == [
        Seen("barred", Node("w1", 4, 1, 10), "too few of them"), Seen("joined", Node("w2", 4, 1, 40)),
    ]  # fmt: skip


def test_memory_that_nobody_knows_bars_no_node_and_is_asked_for_without_a_folder_too(answers, tmp_path):
    gate = measuring(tmp_path, studies=False)
    assert gate.take([Seen("joined", W1)]) == []
    answers.memory["w1"] = None
    assert gate.take([]) == [Seen("joined", W1)]
