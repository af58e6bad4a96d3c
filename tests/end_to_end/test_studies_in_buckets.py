"""A study in a bucket outlives the machine that drives it: driver killed, its folder gone, another machine goes on."""

import gc
import json
import os
import shutil
import signal
import subprocess
import warnings
from collections import Counter
from contextlib import suppress

import processes
import pytest

from sweep.store.buckets import Bucket
from sweep.store.paths import place, study_paths
from sweep.watch.ui.feed import Feed

TRIALS = 5
EXECUTORS = ["inline", pytest.param("ray", marks=pytest.mark.ray)]

SPEC = """
name: hardy
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: -1.0, max: 1.0}}}}
search: {{algorithm: random, seed: 3}}
scheduler: {{type: none, max_t: 3}}
budget: {{trials: {trials}}}
resources: {{cpu: 1, max_concurrent: 2}}
promote: {{model: hardy, registry: {bucket}/registry}}
storage: {bucket}/studies
"""


class Study(processes.Study):
    """One in a bucket; `copies` is what a machine has of it."""

    def __init__(self, folder, executor, bucket, spec=SPEC, trials=TRIALS):
        super().__init__(folder, executor, spec.format(bucket=bucket, trials=trials))
        self.url = f"{bucket}/studies/hardy"
        self.copies = folder / "copies"
        self.events = self.copies / self.url.replace("://", "/") / "events.jsonl"

    def lose_the_machine(self):
        """Kill the driver with the whole of its Ray, and what its disk had."""
        others = processes.offspring(self.driver.pid)
        self.kill()
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.copies)

    def sent(self, kind):
        """The events of a kind that are in the bucket."""
        bucket = Bucket(self.url)
        text = b"".join(bucket.get(entry.key) or b"" for entry in bucket.entries("events"))
        return [line for line in map(json.loads, text.splitlines()) if line["type"] == kind]

    def checkpoints(self):
        keys = [entry.key.split("/") for entry in Bucket(self.url).entries("trials")]
        return {(key[1], key[3]) for key in keys if key[2] == "checkpoints"}


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_another_machine_goes_on_after_the_first_is_lost_with_its_disk(tmp_path, bucket, executor):
    study = Study(tmp_path, executor, bucket)
    # 1: in the middle of the very first trials, before they have a checkpoint.
    study.hold(0, 1)
    study.hold(1, 1)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: (0, 1, 1) in study.epochs(), "trial 0's first epoch")
    study.lose_the_machine()
    study.release()
    # 2: in the middle of one with checkpoints.
    study.hold(3, 3)
    study.start("resume", study.url)
    study.wait_for_epoch(3, 3)
    study.wait_for(
        lambda: any(line["trial"] == 3 and line.get("checkpoint") for line in study.sent("reported")),
        "word in the bucket of trial 3's first epochs",
    )
    study.lose_the_machine()
    study.release()
    study.start("resume", "hardy", "--storage", f"{bucket}/studies")
    assert study.ended() == 0, study.output()
    assert "waiting up to 20 s to see whether it lives" in study.output()

    rows = json.loads(study.ask("trials", study.url, "--json"))
    assert [row["trial"] for row in rows] == list(range(TRIALS)), "numbering is unbroken"
    assert {row["state"] for row in rows} == {"complete"}
    lines = study.lines()
    ended = [line["trial"] for line in lines if line["type"] == "attempt_ended" and line["outcome"] == "returned"]
    assert max(Counter(ended).values()) == 1, "no completed trial is run twice"
    trained = Counter((trial, epoch) for trial, _, epoch in study.epochs())
    # A checkpoint is in the bucket before its report, so of trial 3 only what wasn't reported is trained again. Of
    # the others at work nothing but the last seconds.
    assert trained[3, 1] == 1, "trial 3 went on from its checkpoint"
    finished = {line["trial"] for line in lines[: _second_resume(lines)] if line["type"] == "attempt_ended"}
    assert all(trained[trial, epoch] == 1 for trial in finished - {0, 1} for epoch in (1, 2, 3))

    # What is kept is the best of the best trials, as in a folder.
    kept = {(f"{row['trial']:04d}", f"epoch-{row['t']}") for row in rows}
    assert study.checkpoints() <= kept
    log = study.ask("logs", study.url, "3")
    assert "epoch 3: loss" in log
    registry = f"{bucket}/registry"
    (model,) = json.loads(study.ask("models", "ls", "--registry", registry, "--json"))
    assert (model["version"], model["aliases"], model["path"]) == ("v1", ["champion"], f"{registry}/hardy/v1")
    assert "every byte is as it was written" in study.ask("models", "verify", "--registry", registry)
    assert "hardy is complete" in study.ask("launch", "hardy.yaml", "--yes")
    (listed,) = json.loads(study.ask("ls", "--storage", f"{bucket}/studies", "--json"))
    assert (listed["name"], listed["state"], listed["path"]) == ("hardy", "complete", study.url)


def _second_resume(lines):
    return [number for number, line in enumerate(lines) if line["type"] == "run_started"][2]


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_finished_trial_is_in_the_bucket_before_the_next_begins(tmp_path, bucket, executor):
    """Whatever moment the machine is lost at, no trial that was over is run again."""
    study = Study(tmp_path, executor, bucket)
    (tmp_path / "hardy.yaml").write_text(
        (tmp_path / "hardy.yaml").read_text().replace("concurrent: 2", "concurrent: 1")
    )
    study.hold(1, 1)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: (1, 1, 1) in study.epochs(), "trial 1's first epoch")
    study.kill()
    assert [line["trial"] for line in study.sent("attempt_ended")] == [0]


@pytest.mark.slow
def test_a_second_driver_is_refused_on_this_machine_and_on_another(tmp_path, bucket):
    study = Study(tmp_path, "inline", bucket)
    study.hold(0, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: (0, 1, 2) in study.epochs(), "trial 0's second epoch")
    refused = study.ask("resume", study.url, "--executor", "inline", code=2)
    assert "study 'hardy' is at work in another process" in refused
    os.environ["SWEEP_BUCKET_CACHE"] = str(tmp_path / "another")
    refused = study.ask("resume", study.url, "--executor", "inline", code=2)
    assert f"study 'hardy' is at work: process {study.driver.pid} on" in refused
    assert json.loads(study.ask("status", study.url, "--json"))["state"] == "running"
    study.release()
    assert study.ended() == 0
    assert json.loads(study.ask("status", study.url, "--json"))["state"] == "complete"


@pytest.mark.slow
def test_a_study_is_asked_from_another_machine(tmp_path, bucket, monkeypatch):
    study = Study(tmp_path, "ray", bucket)
    study.hold(1, 1)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: study.sent("attempt_ended"), "a trial's end")
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / "another"))
    answer = json.loads(study.ask("stop", study.url, "--json"))
    assert (answer["accepted"], answer["live"]) == (True, True), answer
    study.release()
    assert study.ended() == 0, study.output()
    assert json.loads(study.ask("status", study.url, "--json"))["state"] == "complete"
    # Nobody is at work any more: it is taken up by the verb itself, and the next driver knows of it.
    study.ask("extend", study.url, "--trials", "+1", "--executor", "inline")
    assert len(json.loads(study.ask("trials", study.url, "--json"))) <= TRIALS + 1


@pytest.mark.slow
def test_an_interrupt_leaves_everything_in_the_bucket(tmp_path, bucket):
    study = Study(tmp_path, "inline", bucket)
    study.hold(1, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: (1, 1, 2) in study.epochs(), "trial 1's second epoch")
    os.kill(study.driver.pid, signal.SIGINT)
    study.release()
    assert study.driver.wait(timeout=120) == 130, study.output()
    shutil.rmtree(study.copies)
    study.start("resume", study.url)
    assert study.ended() == 0, study.output()
    assert "waiting up to" not in study.output(), "one that let go is followed at once"
    assert max(Counter((trial, epoch) for trial, _, epoch in study.epochs()).values()) == 1


@pytest.mark.slow
@pytest.mark.ray
def test_nodes_need_no_folder_in_common(tmp_path, bucket):
    """Two nodes and a driver, each with copies of its own: paused trials go on wherever there is room."""
    from ray.cluster_utils import Cluster

    study = Study(tmp_path, "ray", bucket, trials=8)
    file = tmp_path / "hardy.yaml"
    file.write_text(file.read_text().replace("{type: none, max_t: 3}", "{max_t: 3, promote: true}"))
    with warnings.catch_warnings():
        # Ray leaves its nodes' pipes to the garbage collector.
        warnings.simplefilter("ignore")
        cluster = Cluster()
        try:
            for name in ("one", "two"):
                there = {"SWEEP_BUCKET_CACHE": str(tmp_path / name), "SWEEP_TEST_MARKS": str(study.marks)}
                cluster.add_node(num_cpus=1, env_vars=there, include_dashboard=False)
            study.start("launch", "hardy.yaml", "--yes", "--address", cluster.address)
            assert study.ended() == 0, study.output()
        finally:
            cluster.shutdown()
            del cluster
            gc.collect()
    rows = json.loads(study.ask("trials", study.url, "--json"))
    assert {row["state"] for row in rows} == {"complete", "stopped"}
    logs = {name: {path.parent.name for path in (tmp_path / name).rglob("attempt-*.log")} for name in ("one", "two")}
    assert logs["one"], "each had trials"
    assert logs["two"], "each had trials"
    trained = Counter((trial, epoch) for trial, _, epoch in study.epochs())
    assert max(trained.values()) == 1, "and none was trained twice"
    assert not list(study.copies.rglob("state.*")), "the driver keeps no checkpoints"


@pytest.mark.slow
def test_the_page_of_another_machine_follows_a_study_in_a_bucket(tmp_path, bucket, monkeypatch):
    study = Study(tmp_path, "inline", bucket)
    study.fail(0)
    study.hold(1, 2)
    study.start("launch", "hardy.yaml", "--yes", "--set", "retries.max=0")
    study.wait_for(lambda: study.sent("attempt_ended"), "the first trial's failure")
    study.mend()
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / "another"))
    feed = Feed(study_paths(place(f"{bucket}/studies"), "hardy"))
    feed.look()
    state = feed.state()
    assert (state["live"], state["state"]) == (True, "running")
    # The log came with it, from the bucket.
    (failure,) = state["failures"]
    assert "ValueError: told to fail" in failure["tail"]
    assert failure["log"].startswith(bucket)
    assert "ValueError: told to fail" in feed.story(0)["attempts"][0]["tail"]
    study.release()
    assert study.ended() == 0, study.output()
    feed.look()
    assert (feed.state()["live"], feed.state()["state"]) == (False, "complete")
    assert len(feed.rows()) == TRIALS


@pytest.mark.slow
def test_lines_of_a_study_in_a_bucket_are_collected_on_another_machine(tmp_path, bucket, monkeypatch):
    study = Study(tmp_path, "inline", bucket)
    study.hold(1, 2)
    study.start("launch", "hardy.yaml", "--yes")
    study.wait_for(lambda: study.sent("attempt_ended"), "a trial's end")
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / "another"))
    command = study.command("watch", study.url, "--log-format", "json")
    watch = subprocess.Popen(command, cwd=tmp_path, env=study.environment(), stdout=subprocess.PIPE, text=True)
    assert "is at work" in watch.stdout.readline()
    study.release()
    records = [json.loads(line) for line in watch.stdout]
    watch.stdout.close()
    assert watch.wait(timeout=60) == 0
    assert study.ended() == 0, study.output()
    last = TRIALS - 1
    printed = [each["message"] for each in records if each.get("trial") == last and "event" not in each]
    assert [line.partition(":")[0] for line in printed] == ["epoch 1", "epoch 2", "epoch 3", "ended"]
    assert records[-1]["event"] in ("run_ended", "promoted", "promotions_done")
