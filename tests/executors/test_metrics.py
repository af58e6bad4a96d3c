"""A study's numbers as Ray's metrics."""

import re
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from sweep.core import events as ev
from sweep.core.pool import Node
from sweep.core.spec import Resources
from sweep.remote import login

sys.path.insert(0, str(Path(__file__).parent.parent / "watch"))

from plays import Play, new_spec

from sweep.executors import metrics


class Told:
    """Takes the place of Ray's metrics, and keeps what each was told."""

    kept: dict

    def __init__(self, name, description, *rest):
        assert description
        self.name, self.names = name, rest[-1]

    def _keep(self, value, tags, add):
        assert set(tags) == set(self.names)
        key = (self.name, *(tags[name] for name in self.names if name != "study"))
        self.kept[key] = self.kept.get(key, 0) + value if add else value

    def set(self, value, tags):
        self._keep(value, tags, add=False)

    def inc(self, value, tags):
        assert value > 0
        self._keep(value, tags, add=True)

    def observe(self, value, tags):
        self._keep(1, tags, add=True)


@pytest.fixture
def told(monkeypatch):
    Told.kept = {}
    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(metrics, kind, Told)
    return Told.kept


def acted(**kinds):
    play = Play(new_spec(resources=Resources(gpu=0.25)))
    watcher = metrics.RayMetrics("toy", clock=lambda: play.now)
    play._seen = watcher.event
    play.begin()
    if kinds:
        for _ in range(6):
            play.step()
        play.step(*kinds)
    return play.to_the_end()


def test_counts_are_those_of_the_study(told):
    play = acted()
    machine = play.machine
    for state, count in machine.counts().items():
        assert told["sweep_trials", state.value] == count
    assert told["sweep_best",] == machine.best.value(machine.metric)
    assert told["sweep_places",] == 3
    assert told["sweep_reports",] == sum(isinstance(event, ev.Reported) for event in play.events)
    assert told["sweep_wait_seconds",] == sum(isinstance(event, ev.AttemptStarted) for event in play.events)


def test_places_follow_the_nodes(told):
    play = acted()
    node = Node("b", 8, 2)
    changed = ev.NodeChanged(time=play.now, change="joined", node=node, slots=11)
    metrics.RayMetrics("toy").event(play.machine, changed)
    assert told["sweep_places",] == 11


def test_seconds_are_counted_by_outcome_and_share(told):
    machine = acted().machine
    seconds = sum(trial.duration_s for trial in machine.trials.values())
    places = {key[1]: value for key, value in told.items() if key[0] == "sweep_place_seconds"}
    gpu = {key[1]: value for key, value in told.items() if key[0] == "sweep_gpu_seconds"}
    assert sum(places.values()) == pytest.approx(seconds)
    assert gpu == {outcome: pytest.approx(value / 4) for outcome, value in places.items()}


def test_what_an_attempt_did_since_its_checkpoint_is_lost_with_it(told):
    play = acted(lost=True)
    lost = next(event for event in play.events if isinstance(event, ev.AttemptEnded) and event.outcome == "lost")
    reports = [event.time for event in play.events if isinstance(event, ev.Reported) and event.trial == lost.trial]
    saved = max((at for at in reports if at <= lost.time), default=None)
    start = next(
        event.time for event in play.events if isinstance(event, ev.AttemptStarted) and event.trial == lost.trial
    )
    assert told["sweep_lost_seconds",] == pytest.approx(lost.time - (saved or start))


def test_no_tag_has_a_trial_s_number(told):
    acted()
    assert all(not str(part).isdigit() for key in told for part in key)


@pytest.mark.ray
def test_what_is_told_arrives_where_prometheus_scrapes(ray_cluster):
    watcher = metrics.RayMetrics("scraped")
    play = Play(new_spec(resources=Resources(gpu=0.25)), seen=watcher.event)
    play.to_the_end(fail_each=9)
    node = ray_cluster.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {login.token()}"})
    wanted = {
        "ray_sweep_trials", "ray_sweep_best", "ray_sweep_places", "ray_sweep_reports_total",
        "ray_sweep_decisions_total", "ray_sweep_place_seconds_total", "ray_sweep_gpu_seconds_total",
        "ray_sweep_lost_seconds_total", "ray_sweep_wait_seconds_bucket",
    }  # fmt: skip
    until = time.monotonic() + 60
    found = set()
    while not wanted <= found and time.monotonic() < until:
        with urllib.request.urlopen(request) as answer:
            text = answer.read().decode()
        found = set(re.findall(r'^(ray_sweep_\w+)\{.*study="scraped"', text, re.MULTILINE))
    assert wanted <= found
