"""What machines hold of a study, and what they cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.core.fleet import Fleet, NodeType, fit
from sweep.core.loading import load_plain
from sweep.errors import ResourceError

HEAD = NodeType("head", 0, 0, 1, 1, usd_per_hour=0.2, head=True)
SMALL = NodeType("small", 4, 1, 1, 4, usd_per_hour=0.8, spot=True, gpu_memory=24 * 2**30)
LARGE = NodeType("large", 48, 4, 0, 2, usd_per_hour=4.6, spot=True, gpu_memory=24 * 2**30)
FLEET = Fleet((HEAD, SMALL, LARGE), 6)


def spec(**sections):
    plain = {"entrypoint": "a:b", "metric": "loss", "parameters": {"x": {"min": 0.0, "max": 1.0}}}
    plain["metric"] = {"name": "loss", "goal": "minimize"}
    return load_plain({**plain, **sections})


def test_trials_are_counted_at_the_start_and_at_most():
    """A quarter of a GPU each: four on the worker that stays; with all on, four on each of 4 and 16 on each of 2."""
    found = fit(spec(resources={"gpu": 0.25}), FLEET)
    assert found.per_node == {"head": 0, "small": 4, "large": 16}
    assert (found.start.trials, found.start.nodes) == (4, {"head": 1, "small": 1, "large": 0})
    assert found.start.usd_per_hour == pytest.approx(1.0)
    assert (found.full.trials, found.full.nodes) == (48, {"head": 1, "small": 4, "large": 2})
    assert found.full.usd_per_hour == pytest.approx(0.2 + 4 * 0.8 + 2 * 4.6)


def test_only_what_the_study_can_fill_is_counted():
    """Eight trials need no more than two small machines, or a part of a large one."""
    found = fit(spec(resources={"gpu": 0.25}, budget={"trials": 8}), Fleet((HEAD, SMALL, LARGE)))
    assert (found.full.trials, found.full.nodes) == (8, {"head": 1, "small": 2, "large": 0})
    capped = fit(spec(resources={"gpu": 0.25, "max_concurrent": 3}), FLEET)
    assert (capped.start.trials, capped.full.trials, capped.full.nodes["large"]) == (3, 3, 0)


def test_a_bound_on_all_workers_bounds_each():
    """Three workers: the one that stays, and two of those that hold most."""
    found = fit(spec(resources={"gpu": 0.25}), Fleet((HEAD, SMALL, LARGE), 3))
    assert found.full.nodes == {"head": 1, "small": 1, "large": 2}


def test_money_is_bounded_by_time():
    """Half an hour of all machines."""
    found = fit(spec(resources={"gpu": 0.25}, budget={"time": "30m"}), FLEET)
    assert found.most_usd == pytest.approx(12.6 / 2)
    assert fit(spec(resources={"gpu": 1}), FLEET).most_usd is None


def test_a_trial_that_fits_nowhere_is_refused():
    """More GPUs than any machine has, and more cores beside one."""
    with pytest.raises(ResourceError, match="a trial asks for 8 GPUs, and no node has more than 4"):
        fit(spec(resources={"gpu": 8}), FLEET)
    with pytest.raises(ResourceError, match="a trial asks for 64 cores"):
        fit(spec(resources={"gpu": 1, "cpu": 64}), FLEET)


def test_memory_is_a_share_of_the_machines_gpus():
    """6 GiB of 24 are a quarter."""
    assert fit(spec(resources={"gpu_memory": "6GiB"}), FLEET).per_node == {"head": 0, "small": 4, "large": 16}


def test_what_a_user_should_know_is_noted():
    """No room at the start, a type that holds nothing, a head that trains, a price that is missing."""
    none = fit(spec(resources={"gpu": 4}), FLEET)
    assert any("No trial has room on the machines that are there at the start" in note for note in none.notes)
    assert "No trial fits on small." in none.notes
    trains = NodeType("head", 16, 1, 1, 1, head=True)
    notes = fit(spec(resources={"gpu": 1}), Fleet((trains, SMALL))).notes
    assert any("Trials run on the head too" in note for note in notes)
    assert any("No price is given for head" in note for note in notes)


def test_lanes_multiply_the_trials_of_a_process():
    """Fused trials share a process."""
    found = fit(spec(resources={"gpu": 1}, budget={"trials": 16}), FLEET, lanes=4)
    assert (found.start.trials, found.full.trials) == (4, 16)


@given(
    share=st.sampled_from([0.1, 0.25, 0.5, 1, 2]),
    bound=st.none() | st.integers(1, 8),
    trials=st.none() | st.integers(1, 200),
)
def test_more_machines_never_hold_fewer_trials(share, bound, trials):
    """Full is at least the start, within each type's limit and that of all."""
    budget = {"trials": trials} if trials else {}
    found = fit(spec(resources={"gpu": share}, budget=budget), Fleet((HEAD, SMALL, LARGE), bound))
    assert found.full.trials >= found.start.trials
    assert all(kind.least <= found.full.nodes[kind.name] <= kind.most for kind in FLEET.types)
    assert bound is None or found.full.nodes["small"] + found.full.nodes["large"] <= bound
    assert trials is None or found.full.trials <= trials
