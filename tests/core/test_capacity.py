"""How many trials fit at once."""

import pytest

from sweep.core.capacity import grant, too_small
from sweep.core.pool import Node
from sweep.core.spec import Resources
from sweep.errors import ResourceError


@pytest.mark.parametrize(
    ("resources", "nodes", "slots", "share"),
    [
        (Resources(cpu=1), [Node("a", 2, 0)], 2, 0),
        (Resources(cpu=1, gpu=0.25), [Node("a", 16, 2)], 8, 0.25),
        (Resources(cpu=1, gpu=0.3), [Node("a", 16, 1)], 3, 0.3),
        (Resources(cpu=4, gpu=0.25), [Node("a", 8, 2)], 2, 0.25),
        (Resources(cpu=1, gpu=2), [Node("a", 16, 4), Node("b", 16, 3)], 3, 2),
        (Resources(cpu=1, gpu=1), [Node("a", 16, 2), Node("b", 16, 1)], 3, 1),
        (Resources(cpu=1, gpu=0.25), [Node("head", 8, 0), Node("b", 16, 1)], 4, 0.25),
        (Resources(cpu=1, gpu=0.25, max_concurrent=2), [Node("a", 16, 2)], 2, 0.25),
    ],
)
def test_slots_are_what_cores_and_whole_gpus_allow(resources, nodes, slots, share):
    granted = grant(resources, nodes)
    assert (granted.slots, granted.gpu) == (slots, share)


def test_cluster_without_gpus_runs_on_cpu_slots_and_says_so_once():
    granted = grant(Resources(cpu=1, gpu=0.25), [Node("a", 2, 0), Node("b", 2, 0)])
    assert (granted.slots, granted.gpu, granted.cpu) == (4, 0, 1)
    assert granted.notes == ("No GPU here: trials run on the CPU (1 core each, gpu: 0.25 unused).",)


def test_without_gpus_a_trial_of_several_is_one_process():
    granted = grant(Resources(cpu=1, gpu=4), [Node("laptop", 2, 0)])
    assert (granted.slots, granted.gpu) == (2, 0)
    assert granted.notes == ("No GPU here: trials run on the CPU (1 core and one process each, gpu: 4 unused).",)


def test_more_gpus_than_any_node_has_is_refused():
    with pytest.raises(ResourceError, match="a trial asks for 2 GPUs, and no node has more than 1"):
        grant(Resources(cpu=1, gpu=2), [Node("a", 8, 1), Node("b", 8, 1)])


def test_more_cores_than_any_node_has_is_refused():
    with pytest.raises(ResourceError, match=r"a trial asks for 16 cores, .* the largest has 8 cores"):
        grant(Resources(cpu=16), [Node("a", 8, 0)])


def test_machine_without_a_gpu_runs_a_file_that_asks_for_more_cores_than_it_has():
    granted = grant(Resources(cpu=8, gpu=1), [Node("laptop", 2, 0)])
    assert (granted.slots, granted.gpu, granted.cpu) == (1, 0, 2)
    assert granted.notes == ("No GPU here: trials run on the CPU (2 cores each, gpu: 1 unused).",)


@pytest.mark.parametrize("nodes", [[], [Node("head", 0, 0)], [Node("head", 0, 1)]])
@pytest.mark.parametrize("share", [0, 0.25])
def test_cluster_whose_workers_have_not_started_is_told_so(nodes, share):
    with pytest.raises(ResourceError, match=r"no node offers a core yet: .* \(min_workers: 1\), or wait"):
        grant(Resources(cpu=1, gpu=share), nodes)


def test_head_without_cores_beside_a_worker_without_gpus_holds_no_trial():
    assert grant(Resources(cpu=1, gpu=0.25), [Node("head", 0, 0), Node("a", 2, 0)]).slots == 2


def test_one_core_is_no_cores():
    with pytest.raises(ResourceError, match=r"asks for 2 cores, .* the largest has 1 core\."):
        grant(Resources(cpu=2), [Node("a", 1, 0)])


GIB = 2**30


def test_auto_begins_with_whole_gpus_and_says_so():
    granted = grant(Resources(gpu="auto"), [Node("a", 16, 2)])
    assert (granted.slots, granted.gpu) == (2, 1)
    assert granted.notes == (
        "gpu: auto: a trial gets a whole GPU until the first has ended and shown how much memory it takes.",
    )


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        (Resources(gpu="auto"), "gpu: auto"),
        (Resources(gpu_memory=8), "gpu_memory: 8GiB"),
        (Resources(gpu=0.5, gpu_memory=8), "gpu: 0.5, gpu_memory: 8GiB"),
    ],
)
def test_without_a_gpu_what_was_asked_of_one_is_named_once(resources, asked):
    granted = grant(resources, [Node("a", 2, 0)])
    assert (granted.gpu, granted.notes) == (0, (f"No GPU here: trials run on the CPU (1 core each, {asked} unused).",))


@pytest.mark.parametrize(
    ("resources", "share"),
    [
        (Resources(gpu_memory=8), 0.3333),
        (Resources(gpu_memory=6), 0.25),
        (Resources(gpu_memory=20), 1),
        (Resources(gpu=0.5, gpu_memory=6), 0.5),
        (Resources(gpu="auto", gpu_memory=6), 0.25),
    ],
)
def test_gpu_memory_is_a_share_of_the_smallest_gpu(resources, share):
    nodes = [Node("a", 16, 1, 80 * GIB), Node("b", 16, 1, 24 * GIB), Node("head", 8, 0)]
    assert grant(resources, nodes).gpu == share


def test_more_gpu_memory_than_the_smallest_gpu_has_is_refused():
    with pytest.raises(ResourceError, match=r"a trial asks for 32 GiB, and the smallest GPU has 24.0. Lower it"):
        grant(Resources(gpu_memory=32), [Node("a", 16, 1, 24 * GIB)])


def test_gpus_that_do_not_tell_their_memory_are_named_as_the_obstacle():
    with pytest.raises(ResourceError, match=r"no node says how much memory its GPUs have .*Name a share"):
        grant(Resources(gpu_memory=8), [Node("a", 16, 1)])


@pytest.mark.parametrize("memory", [80, 79, None])
def test_node_that_joins_with_gpus_like_the_others_is_not_too_small(memory):
    node = Node("a", 8, 1, memory and memory * 2**30)
    assert too_small(Resources(gpu_memory=10), 0.125, node) == ""


def test_node_that_joins_with_smaller_gpus_is_too_small_for_the_share_and_for_good_where_none_holds_a_trial():
    told = too_small(Resources(gpu_memory=10), 0.125, Node("a", 8, 1, 24 * 2**30))
    assert "a trial asks for 10 GiB, and its share, 0.125 of a GPU, is 3.0 GiB there" in told
    assert "A resume gives trials a share that fits there too." in told
    assert "resume" not in too_small(Resources(gpu_memory=10), 1, Node("a", 8, 1, 8 * 2**30))


def test_memory_counts_only_where_it_was_asked_for_and_there_is_a_gpu():
    small = Node("a", 8, 1, 2**30)
    assert too_small(Resources(gpu=0.5), 0.5, small) == ""
    assert too_small(Resources(gpu_memory=10), 0.0, small) == ""
    assert too_small(Resources(gpu_memory=10), 0.5, Node("a", 8, 0)) == ""
