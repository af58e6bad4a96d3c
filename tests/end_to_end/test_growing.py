"""What a study lacks waits in Ray, where an autoscaler sees it, as long as it is lacking: on real nodes."""

import pytest
from nodes import Walk, cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def ray_nodes():
    with cluster() as made:
        yield made


def reservations(address):
    """What waits for a machine."""
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions

    state = GlobalState()
    state._initialize_global_state(
        GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=True)
    )
    found = [group["bundles"] for group in state.placement_group_table().values() if group["state"] == "PENDING"]
    state.disconnect()
    return found


def test_a_study_asks_for_the_places_that_it_lacks_and_for_no_others(ray_nodes, tmp_path):
    ray_nodes.add_node(num_cpus=1)
    study = Walk(tmp_path / "growing", trials=3, address=ray_nodes.address)
    for trial in range(3):
        study.hold(trial, 2)
    study.launch()
    study.wait_for(lambda: len(reservations(ray_nodes.address)) == 2, "the wish for two places more")
    assert all(group == {0: {"CPU": 1.0}} for group in reservations(ray_nodes.address))
    ray_nodes.add_node(num_cpus=1)
    study.wait_for_epoch(1, 2)
    study.wait_for(lambda: len(reservations(ray_nodes.address)) == 1, "the wish for the last place")
    study.release()
    assert study.ended() == 0, study.output()
    assert reservations(ray_nodes.address) == []
    assert len(study.lines("attempt_ended")) == 3
