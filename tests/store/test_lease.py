"""Who works on something in a bucket: one at a time; the dead are found out without comparing clocks."""

import threading

import pytest

from sweep.store import lease
from sweep.store.buckets import Bucket
from sweep.store.lease import HeldError, Lease, is_held, latest, machine_of

QUICK = {"beat_s": 0.05, "dead_s": 0.6}


@pytest.fixture
def place(bucket):
    return Bucket(bucket)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(lease, "_LOOK_S", 0.05)


def die(one):
    """As a process does that is killed: nothing is said any more."""
    one._ended.set()
    one._beating.join()


def test_a_living_holder_stands_alone(place):
    first = Lease(place, "here", **QUICK)
    first.acquire()
    with pytest.raises(HeldError, match=r"process \d+ on "):
        Lease(place, "there", **QUICK).acquire()
    first.release()


def test_whoever_let_go_is_followed_at_once(place):
    first, second = Lease(place, "here", **QUICK), Lease(place, "there", dead_s=1e9)
    first.acquire()
    first.release()
    second.acquire()
    assert second.number == first.number + 1
    second.release()


def test_a_dead_holder_is_followed_after_a_while_and_that_is_said(place):
    said = []
    first, second = Lease(place, "here", **QUICK), Lease(place, "there", said.append, **QUICK)
    first.acquire()
    die(first)
    second.acquire()
    assert "held it last; waiting up to 1 s to see whether it lives" in said[0]
    second.release()


def test_on_the_same_machine_the_lock_has_told_that_it_is_dead(place):
    first, second = Lease(place, "here", **QUICK), Lease(place, "here", dead_s=1e9)
    first.acquire()
    die(first)
    second.acquire()
    second.release()


def test_a_holder_that_was_taken_for_dead_learns_of_it(place):
    first, second = Lease(place, "here", **QUICK), Lease(place, "there", **QUICK)
    first.acquire()
    die(first)
    second.acquire()
    first._ended.clear()
    first._beat()
    assert first.lost
    first.release()
    assert latest(place)[1].machine == "there", "the one that lost it doesn't write over the other"
    second.release()


def test_one_that_slept_through_two_followers_learns_of_it(place):
    holders = [Lease(place, machine, **QUICK) for machine in ("a", "b", "c")]
    for one in holders:
        one.acquire()
        die(one)
    holders[0]._ended.clear()
    holders[0]._beat()
    assert holders[0].lost
    assert [entry.key for entry in place.entries()] == ["00000003.json"]


def test_of_many_at_once_one_becomes_the_holder(place):
    leases = [Lease(place, f"m{number}", **QUICK) for number in range(8)]
    outcomes = []
    together = threading.Barrier(len(leases))

    def attempt(one):
        together.wait()
        try:
            one.acquire()
            outcomes.append(one)
        except HeldError:
            outcomes.append(None)

    threads = [threading.Thread(target=attempt, args=(one,)) for one in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [one for one in outcomes if one is not None]
    assert latest(place)[1].machine == winner.machine
    winner.release()


def test_old_holders_leave_nothing(place):
    for machine in ("a", "b", "c"):
        one = Lease(place, machine, **QUICK)
        one.acquire()
        one.release()
    assert [entry.key for entry in place.entries()] == ["00000003.json"]


def test_a_reader_sees_whether_somebody_works(place, monkeypatch):
    assert not is_held(place, "reader", lambda: True)
    one = Lease(place, "here", **QUICK)
    one.acquire()
    assert is_held(place, "reader", lambda: False)
    assert is_held(place, "here", lambda: True)
    assert not is_held(place, "here", lambda: False), "on its machine the lock knows"
    one.release()
    assert not is_held(place, "reader", lambda: True)


@pytest.mark.parametrize(("off_s", "beating", "held"), [(60.0, True, True), (60.0, False, False), (1e6, False, False)])
def test_a_reader_whose_clock_is_off_watches(place, monkeypatch, off_s, beating, held):
    monkeypatch.setattr(lease, "BEAT_S", 0.3)
    one = Lease(place, "here", **QUICK)
    one.acquire()
    if not beating:
        die(one)
    real = lease.time.time
    monkeypatch.setattr(lease.time, "time", lambda: real() + off_s)
    monkeypatch.setattr(one, "beat_s", 0.05)
    assert is_held(place, "reader", lambda: False) is (held or (beating and off_s < 300))
    one.release()


def test_a_folder_of_copies_has_one_name_for_all_who_ask(tmp_path):
    copies = tmp_path / "deep" / "copies"
    found = []
    threads = [threading.Thread(target=lambda: found.append(machine_of(copies))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0] == machine_of(copies) != machine_of(tmp_path / "others")
