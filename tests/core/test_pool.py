"""Who may run beside whom: nothing is promised twice, nobody waits for ever, and no GPU is begun without need."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_files import exploring

from sweep.core.pool import MOST_ON_A_GPU, Demand, Node, Pool, count, share_of

SHARES = st.sampled_from([0, 0.1, 0.25, 0.3, 0.3333, 0.5, 0.6, 1, 2])
DEMANDS = st.builds(Demand, gpu=SHARES, cpu=st.sampled_from([0.5, 1, 2, 3]))
NODES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 3)).map(lambda offer: Node("", float(offer[0]), float(offer[1]))),
    min_size=1,
    max_size=3,
).map(lambda nodes: [Node(f"n{index}", node.cpu, node.gpu) for index, node in enumerate(nodes)])


def possible(nodes, demands):
    """Whether these fit at once: by trying every place for each, independent of the pool's books."""

    def place(rest, cpus, gpus):
        if not rest:
            return True
        first, *others = rest
        for node in range(len(nodes)):
            if cpus[node] + first.cpu > nodes[node].cpu + 1e-9:
                continue
            less = [*cpus[:node], cpus[node] + first.cpu, *cpus[node + 1 :]]
            if first.gpu == 0:
                if place(others, less, gpus):
                    return True
            elif first.gpu <= 1:
                for number, used in enumerate(gpus[node]):
                    if used + first.gpu <= 1 + 1e-9:
                        changed = [*gpus[node][:number], used + first.gpu, *gpus[node][number + 1 :]]
                        if place(others, less, [*gpus[:node], changed, *gpus[node + 1 :]]):
                            return True
            else:
                free = [number for number, used in enumerate(gpus[node]) if not used][: int(first.gpu)]
                if len(free) == first.gpu:
                    changed = [1 if number in free else used for number, used in enumerate(gpus[node])]
                    if place(others, less, [*gpus[:node], changed, *gpus[node + 1 :]]):
                        return True
        return False

    largest_first = sorted(demands, key=lambda demand: (-demand.gpu, -demand.cpu))
    return place(largest_first, [0] * len(nodes), [[0] * int(node.gpu) for node in nodes])


@exploring(150)
@given(nodes=NODES, moves=st.lists(st.tuples(st.integers(0, 4), DEMANDS), max_size=12))
def test_never_over_committed_whatever_comes_and_goes(nodes, moves):
    pool, held = Pool(nodes), {}
    for key, demand in moves:
        if key in held:
            pool.give(key)
            del held[key]
        fits = pool.fits(demand)
        assert (pool.take(key, demand) is not None) == fits
        if fits:
            held[key] = demand
        assert possible(nodes, list(held.values()))


@exploring(150)
@given(nodes=NODES, demand=DEMANDS)
def test_as_many_fit_as_were_counted_before(nodes, demand):
    pool, taken = Pool(nodes), 0
    while pool.take(taken, demand) is not None:
        taken += 1
    assert taken == count(nodes, demand)


@exploring(100)
@given(gpus=st.lists(st.integers(0, 4), min_size=1, max_size=3), share=st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.6]))
def test_equal_shares_are_on_as_few_gpus_as_hold_them(gpus, share):
    pool, taken = Pool([Node(f"n{index}", 64, number) for index, number in enumerate(gpus)]), 0
    while pool.take(taken, Demand(share, 1)) is not None:
        taken += 1
        assert pool.gpus_in_use() == math.ceil(taken / int(1 / share))


@exploring(100)
@given(
    nodes=NODES,
    head=DEMANDS,
    small=st.lists(DEMANDS, min_size=1, max_size=4),
    ends=st.lists(st.integers(0, 30), min_size=200, max_size=200),
)
def test_head_of_the_line_comes_in_however_many_smaller_ones_go_on_coming(nodes, head, small, ends):
    """Each turn the small ones take all they may, and then one attempt ends: the head is in after a bounded time."""
    pool, running, number = Pool(nodes), [], 1
    while (demand := small[number % len(small)]) and pool.take(number, demand) is not None:
        running.append(number)
        number += 1
    at_first = len(running)
    if not count(nodes, head):
        return
    # Whoever runs when the head comes ends at some time; those that come later may stay for ever.
    old, turns = set(running), 0
    while pool.take(0, head) is None:
        pool.wait(0, head)
        assert old, "all that ran when it came have ended, and it is still not in"
        for demand in small:
            while demand != head and pool.take(number, demand) is not None:
                number += 1
        ending = sorted(old)[ends[turns] % len(old)]
        pool.give(ending)
        old.discard(ending)
        turns += 1
    assert turns <= at_first


def test_smaller_ones_pass_the_head_where_they_are_not_in_its_way():
    pool = Pool([Node("a", 8, 2)])
    assert [pool.take(key, Demand(0.5)) for key in range(3)] == ["a", "a", "a"]
    pool.give(0)
    assert pool.take(9, Demand(1)) is None
    pool.wait(9, Demand(1))
    # GPU 0 or 1 is kept for it; the other one's half is free for others.
    assert pool.take(10, Demand(0.5)) == "a"
    assert pool.take(11, Demand(0.5)) is None


def test_limit_holds_whatever_fits():
    pool = Pool([Node("a", 8, 2)], limit=1)
    assert pool.take(0, Demand(0.25)) == "a"
    assert pool.full
    assert not pool.fits(Demand(0.25))


def test_without_nodes_only_heads_are_counted():
    pool = Pool(limit=2)
    assert [pool.take(key, Demand(7, 100)) for key in range(3)] == ["", "", None]


def test_cpu_only_attempts_leave_the_cores_beside_gpus_alone():
    pool = Pool([Node("gpu", 8, 1), Node("cpu", 2, 0)])
    assert [pool.take(key, Demand(0, 1)) for key in range(3)] == ["cpu", "cpu", "gpu"]


def test_where_an_attempt_was_found_counts():
    pool = Pool([Node("a", 8, 2)])
    pool.take(0, Demand(0.5))
    pool.take(1, Demand(0.5))
    pool.move(1, "a", (1,))
    assert pool.gpus_in_use() == 2
    assert not pool.fits(Demand(1))
    pool.move(1, "a", (0,))
    assert pool.fits(Demand(1))


@pytest.mark.parametrize(("node", "gpus"), [("b", (0,)), ("a", (5,)), ("a", (0, 1)), ("a", ())])
def test_place_that_cannot_be_is_not_believed(node, gpus):
    pool = Pool([Node("a", 8, 2)])
    pool.take(0, Demand(0.5))
    pool.move(0, node, gpus)
    assert pool.gpus_in_use() == 1
    pool.give(0)
    assert pool.gpus_in_use() == 0


@pytest.mark.parametrize(
    ("part", "share"), [(0.5, 0.5), (0.51, 1), (0.26, 0.3333), (0.3333, 0.3333), (3, 1), (1e-4, 1 / MOST_ON_A_GPU)]
)
def test_found_shares_fill_a_gpu(part, share):
    assert share_of(part) == share
    assert count([Node("a", 99, 1)], Demand(share_of(part), 1)) == round(1 / share)


def test_a_node_that_will_not_do_is_passed_over_and_counts_for_others_still():
    pool = Pool([Node("a", 2, 0), Node("b", 1, 0)])
    assert pool.take(0, Demand(), but="a") == "b"
    assert pool.take(1, Demand(), but="a") is None
    assert pool.take(1, Demand(), but="nobody") == "a"
    assert pool.take(2, Demand()) == "a"


@pytest.mark.parametrize(("share", "fit"), [(1 / 3, 3), (0.33335, 3), (1 / 7, 7), (0.3334, 2), (0.00001, 10_000)])
def test_a_share_with_more_digits_than_ray_counts_fits_as_often_as_ray_lets_it(share, fit):
    assert count([Node("a", 20_000, 1)], Demand(share, 1)) == fit
    assert count([Node("a", 1, 0)], Demand(0, share)) == fit


def test_nothing_is_kept_for_a_head_of_the_line_that_has_left_it():
    pool = Pool([Node("a", 8, 1)])
    pool.take(0, Demand(0.25, 1))
    pool.wait(1, Demand(1, 1))
    pool.keep_for({1})
    assert not pool.fits(Demand(0.25, 1))
    pool.keep_for({2})
    assert pool.fits(Demand(0.25, 1))
