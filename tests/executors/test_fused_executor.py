"""Fused trials on Ray: one process holds several, and each stays a trial of its own."""

import itertools
import json
import os
import re
import signal
import time

import pytest

from sweep.core.capacity import at_once
from sweep.core.events import AttemptStarted, Reported
from sweep.core.loading import load
from sweep.core.spec import Resources
from sweep.core.trial import TrialState
from sweep.launching import Options, launch
from sweep.store.events import read
from sweep.training.fused import keys

SPEC = """
name: {name}
entrypoint: sweep.training.vision:train
metric: {{name: val_loss, goal: minimize}}
parameters:
  model: simplenet
  batch_size: 400
  hidden: {hidden}
  lr: {{min: 1e-3, max: 1e-1, log: true}}
  dropout: 0.1
search: {{algorithm: random}}
scheduler: {scheduler}
budget: {{trials: {trials}}}
resources: {{cpu: {cpu}, fuse: 4}}
storage: studies
"""


def run(tmp_path, watchers=lambda _: [], **changes):
    fields = {"name": "fused", "hidden": 16, "scheduler": "{type: none, max_t: 3}", "trials": 4, "cpu": 4, **changes}
    spec = load(SPEC.format(**fields), source="fused.yaml")
    return launch(spec, base_dir=tmp_path, options=Options(executor="ray", watchers=watchers))


def process_of(stored, trial, attempt=1):
    log = stored.paths.trial(trial).attempt_log(attempt).read_text()
    return int(re.search(r"one of up to 4 fused trials of process (\d+)", log)[1])


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
def test_fused_trials_report_stop_and_checkpoint_as_themselves(ray_state, tmp_path):
    """Two architectures, so two batches; ASHA stops some lanes and others take their places."""
    stored = run(tmp_path, hidden="[8, 16]", scheduler="{max_t: 4, grace_period: 1}", trials=12, cpu=2)
    trials = stored.machine.trials.values()
    assert stored.machine.run is None
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.STOPPED}
    assert all([report.t for report in trial.reports] == list(range(1, trial.t + 1)) for trial in trials)
    assert_only_alike_share_a_process(stored, trials)
    assert_a_process_is_one_batch(stored)
    for trial in trials:
        log = stored.paths.trial(trial.number).attempt_log(1).read_text()
        assert f"epoch {trial.t}: " in log
        assert "ended: " in log
        for manifest in stored.paths.trial(trial.number).checkpoints.glob("*/manifest.json"):
            told = json.loads(manifest.read_text())
            assert (told["trial"], told["config"]) == (trial.number, trial.config)
            assert told["metrics"]["val_loss"] == trial.reports[told["t"] - 1].metrics["val_loss"]
    best = stored.machine.best
    assert (stored.paths.root / best.best(stored.machine.metric).checkpoint / "state.pt").exists()
    assert_rows(ray_state, [f"fused #{trial.number} " for trial in trials])


def assert_a_process_is_one_batch(stored):
    """Attempts of a process hold its share together, so that it counts once."""
    begun = [event for event in read(stored.paths.events) if isinstance(event, AttemptStarted)]
    pairs = {(process_of(stored, event.trial), event.batch) for event in begun}
    assert None not in {batch for _, batch in pairs}
    assert len(pairs) == len({process for process, _ in pairs}) == len({batch for _, batch in pairs})


def assert_only_alike_share_a_process(stored, trials):
    """At the same time, that is: a process that has run empty may take up the other architecture."""
    beside = [
        (one.config["hidden"], other.config["hidden"])
        for one, other in itertools.combinations(trials, 2)
        if process_of(stored, one.number) == process_of(stored, other.number)
        and one.attempt.started < other.attempt.ended
        and other.attempt.started < one.attempt.ended
    ]
    assert beside, "no two trials shared a process"
    assert all(one == other for one, other in beside)


def assert_rows(ray_state, beginnings):
    """Each attempt is a row of the dashboard's task table."""
    deadline, missing = time.monotonic() + 60, beginnings
    while missing and time.monotonic() < deadline:
        names = [task.name for task in ray_state("list_tasks", limit=1000)]
        missing = [each for each in beginnings if not any(name.startswith(each) for name in names)]
    assert not missing


class KillsTheWorker:
    """Kills the process of trial 0 once all trials have reported; none can be far ahead of its decisions."""

    def __init__(self, stored):
        self.stored, self.done = stored, False

    def event(self, study, event):
        reported = [trial for trial in study.trials.values() if trial.reports]
        if isinstance(event, Reported) and len(reported) == 4 and not self.done:
            self.done = True
            os.kill(process_of(self.stored, 0), signal.SIGKILL)

    def close(self):
        pass


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
def test_dead_process_loses_all_its_lanes_and_they_come_back_from_their_checkpoints(ray_cluster, tmp_path):
    stored = run(tmp_path, watchers=lambda stored: [KillsTheWorker(stored)], scheduler="{type: none, max_t: 5}")
    for trial in stored.machine.trials.values():
        assert [attempt.outcome for attempt in trial.attempts] == ["lost", "returned"]
        assert trial.state is TrialState.COMPLETE
        assert [report.t for report in trial.reports] == [1, 2, 3, 4, 5]
        log = stored.paths.trial(trial.number).attempt_log(2).read_text()
        assert "epoch 1: " not in log, "it started again from nothing"
    assert len({process_of(stored, number, 2) for number in range(4)}) == 1


@pytest.mark.parametrize(
    ("resources", "slots", "lanes", "expected"),
    [
        (Resources(), 2, 1, 2),
        (Resources(fuse=16), 2, 16, 32),
        (Resources(fuse=16, max_concurrent=20), 2, 16, 20),
        (Resources(fuse=16, max_concurrent=1), 1, 16, 1),
    ],
)
def test_trials_at_once_are_slots_times_lanes_up_to_the_limit(resources, slots, lanes, expected):
    assert at_once(resources, slots, lanes) == expected


@pytest.mark.parametrize(
    ("change", "executor", "note"),
    [
        ({}, "ray", "Up to 4 trials that differ only in numbers train in one process"),
        ({}, "tune", "fuse: 4 is for --executor ray: here each trial trains by itself."),
        (
            {"resources": Resources(fuse=4, isolation="process")},
            "ray",
            "fuse: 4 is unused: isolation: process gives each attempt a process of its own.",
        ),
        ({"entrypoint": "m:train"}, "ray", "fuse: 4 is unused: only sweep.training.vision:train can train"),
    ],
)
def test_study_is_told_what_becomes_of_fuse(change, executor, note):
    fields = {"name": "s", "hidden": 16, "scheduler": "{max_t: 3}", "trials": 4, "cpu": 1}
    spec = load(SPEC.format(**fields), source="fused.yaml").model_copy(update=change)
    assert note in " ".join(keys.notes(spec, executor))
    assert keys.notes(spec.model_copy(update={"resources": Resources()}), executor) == ()
