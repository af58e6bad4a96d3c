"""A cluster that may grow is asked for what a study lacks: no more, and nothing that has come is kept."""

import types

import pytest

from sweep.core.pool import Demand
from sweep.executors import wishes
from sweep.executors.wishes import MOST, Wishes

SHARE = Demand(0.5, 2)


class Groups:
    """Ray's placement groups: those that wait, and those that were granted."""

    def __init__(self):
        self.states, self.bundles = {}, {}

    def make(self, bundles):
        key = f"{len(self.states)}"
        self.states[key], self.bundles[key] = "PENDING", bundles
        return types.SimpleNamespace(id=types.SimpleNamespace(hex=lambda: key))

    def remove(self, group):
        self.states[group.id.hex()] = "REMOVED"

    def table(self, group):
        return {"state": self.states[group.id.hex()]}

    def waiting(self):
        return [self.bundles[key] for key, state in self.states.items() if state == "PENDING"]


@pytest.fixture
def groups(monkeypatch):
    made = Groups()
    monkeypatch.setattr(wishes, "placement_group", made.make)
    monkeypatch.setattr(wishes, "remove_placement_group", made.remove)
    monkeypatch.setattr(wishes, "placement_group_table", made.table)
    return made


def test_each_attempt_without_a_place_is_a_reservation_of_its_size(groups):
    Wishes().ask(3, SHARE)
    assert groups.waiting() == [[{"CPU": 2, "GPU": 0.5}]] * 3


def test_nothing_of_a_gpu_is_asked_for_by_attempts_without_one(groups):
    Wishes().ask(1, Demand(0, 1))
    assert groups.waiting() == [[{"CPU": 1}]]


def test_asking_again_changes_only_the_difference(groups):
    asked = Wishes()
    for number in (3, 3, 5, 1):
        asked.ask(number, SHARE)
        assert len(groups.waiting()) == number
    assert len(groups.states) == 5


def test_attempts_of_another_size_are_asked_for_anew(groups):
    asked = Wishes()
    asked.ask(2, SHARE)
    asked.ask(2, Demand(1, 2))
    assert groups.waiting() == [[{"CPU": 2, "GPU": 1}]] * 2


def test_a_study_without_an_end_asks_for_some_at_a_time(groups):
    Wishes().ask(float("inf"), SHARE)
    assert len(groups.waiting()) == MOST


def test_what_was_granted_is_given_back_and_nothing_else_asked_for_at_once(groups):
    asked = Wishes()
    asked.ask(2, SHARE)
    groups.states["0"] = "CREATED"
    asked.ask(2, SHARE)
    assert groups.states == {"0": "REMOVED", "1": "PENDING"}
    assert not asked.due()


def test_nothing_is_left_at_the_end(groups):
    asked = Wishes()
    asked.ask(2, SHARE)
    asked.end()
    assert groups.waiting() == []
