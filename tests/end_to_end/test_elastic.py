"""Nodes that join and leave under a study, for real: Ray's own notices, its own nodes, real training state."""

from collections import Counter

import pytest
from nodes import Walk, announce, cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def ray_nodes():
    with cluster() as made:
        yield made


def test_trial_moves_off_a_node_that_is_announced_to_go_and_nothing_of_it_is_lost(ray_nodes, tmp_path):
    going = ray_nodes.add_node(num_cpus=1)
    # No checkpoint is due before the end: the one from which it goes on is written because the node goes.
    study = Walk(tmp_path / "moved", trials=3, every=100, address=ray_nodes.address)
    study.hold(0, 3)
    study.launch()
    study.wait_for_epoch(0, 3)
    announce(ray_nodes, going, 120)
    study.wait_for(lambda: changes(study, "draining"), "the notice")
    ray_nodes.add_node(num_cpus=1)
    study.wait_for(lambda: changes(study, "joined"), "the other node")
    assert not study.lines("attempt_ended"), "it runs on until it reports"
    study.release()
    assert study.ended() == 0, study.output()

    ends = sorted((line["trial"], line["attempt"], line["outcome"]) for line in study.lines("attempt_ended"))
    assert ends == [(0, 1, "moved"), (0, 2, "returned"), (1, 1, "returned"), (2, 1, "returned")]
    nodes = {(line["trial"], line["attempt"]): line["node"] for line in study.lines("attempt_started")}
    (gone,), (new,) = changes(study, "draining"), changes(study, "joined")
    assert nodes == {(0, 1): gone["node"]["name"], **dict.fromkeys([(0, 2), (1, 1), (2, 1)], new["node"]["name"])}
    assert "its machine is taken back in" in gone["reason"]
    assert max(Counter((trial, epoch) for trial, _, epoch in study.epochs()).values()) == 1, "nothing is trained twice"
    assert study.curves() == study.undisturbed(tmp_path / "undisturbed")
    story = study.ask("trials", "walk", "0")
    assert "moved" in story
    assert "drains, its machine is taken back" in " ".join(story.split())
    assert "moves at epoch 3: node" in study.output()


def test_node_that_joins_has_the_next_trial_while_the_others_go_on(ray_nodes, tmp_path):
    ray_nodes.add_node(num_cpus=1)
    study = Walk(tmp_path / "joined", trials=2, address=ray_nodes.address)
    study.hold(0, 2)
    study.launch()
    study.wait_for_epoch(0, 2)
    assert len(study.lines("trial_created")) == 1, "there is one place"
    ray_nodes.add_node(num_cpus=1)
    study.wait_for(lambda: any(mark[0] == 1 for mark in study.epochs()), "trial 1's first epoch")
    study.release()
    assert study.ended() == 0, study.output()
    nodes = {line["trial"]: line["node"] for line in study.lines("attempt_started")}
    (new,) = changes(study, "joined")
    assert nodes[1] == new["node"]["name"] != nodes[0]
    assert new["slots"] == 2
    assert [line["outcome"] for line in study.lines("attempt_ended")] == ["returned"] * 2


def changes(study, change):
    return [line for line in study.lines("node_changed") if line["change"] == change]
