"""Different shares at once, on a Ray of its own with two logical GPUs: who lands where, and what each sees."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TRAIN = '''
import json, os, pathlib, subprocess, sys, time

import torch

MASK = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"

def look(config, ctx):
    """Says what it and a child of it see, and waits for those that are to run beside it."""
    child = subprocess.run([sys.executable, "-c", MASK], capture_output=True, text=True).stdout.strip()
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    out = pathlib.Path(config["out"])
    (out / f"{config['turn']}-{ctx.trial}.json.part").write_text(json.dumps({"own": own, "child": child}))
    (out / f"{config['turn']}-{ctx.trial}.json.part").rename(out / f"{config['turn']}-{ctx.trial}.json")
    while len(list(out.glob(f"{config['turn']}-*.json"))) < config["beside"]:
        time.sleep(0.01)
    ctx.report({"epoch": 1, "loss": 1.0})

def hungry(config, ctx):
    """Trial 0 needs a whole GPU."""
    state = ctx.restore() or {"epoch": 0}
    for epoch in range(state["epoch"] + 1, 4):
        if ctx.trial == 0 and epoch == 2 and ctx.attempt < 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        ctx.report({"epoch": epoch, "loss": abs(config["x"])}, checkpoint={"epoch": epoch})

def measured(config, ctx):
    """Says that it took 3 of 16 GiB."""
    from sweep.core.protocols import GpuMemory
    from sweep.training import memory
    memory.used = lambda: GpuMemory(3 * 2**30, 16 * 2**30)
    ctx.report({"epoch": 1, "loss": abs(config["x"])})

def pair(config, ctx):
    """The mean of the ranks' numbers, 0.5 for two."""
    ctx.wrap(torch.nn.Linear(1, 1))
    for epoch in range(1, 4):
        ctx.report({"epoch": epoch, "loss": ctx.mean(ctx.rank)}, checkpoint={"rank": ctx.rank})
'''

DRIVER = """
import contextlib, json, sys, tempfile
import ray
import sweep
from sweep.core.pool import Demand
from sweep.core.protocols import Decision, Placement
from sweep.core.spec import Resources
from sweep.training.attempt import run_attempt, warm_up

folder, executor = sys.argv[1:]


class Director:
    '''Hands out a turn's placements when those of the one before have ended.'''

    def __init__(self, turns):
        self.turns, self.waiting, self.at_work = turns, [], set()
        self.devices = {}

    @property
    def finished(self):
        return not (self.turns or self.waiting or self.at_work)

    def next_placement(self):
        if not self.waiting and not self.at_work and self.turns:
            self.waiting = self.turns.pop(0)
        if not self.waiting:
            return None
        self.at_work.add(self.waiting[0].trial)
        return self.waiting.pop(0)

    def started(self, placement, *, node, device, batch=None):
        self.devices[placement.trial] = device

    def reported(self, placement, metrics, checkpoint):
        return Decision("advance", "because")

    def ended(self, placement, outcome, error=None, cause=None):
        assert outcome == "returned", error
        self.at_work.discard(placement.trial)

    def tick(self):
        pass

    def unwanted(self):
        return ()

    def wanted(self):
        return 0

    def share(self):
        return Demand()

    batch = contextlib.nullcontext


def turn(number, shares):
    return [
        Placement(
            study="shares", trial=10 * number + index, attempt=1, gpu=share, seed=0,
            entrypoint=folder + "/train.py:look",
            config={"out": folder, "turn": number, "beside": len(shares)}, time_attr="epoch", max_t=9,
            trial_dir=f"{folder}/trials/{number}-{index}",
        )
        for index, share in enumerate(shares)
    ]


with tempfile.TemporaryDirectory(prefix="swr", ignore_cleanup_errors=True) as scratch:
    ray.init(num_cpus=4, num_gpus=2, _temp_dir=scratch, log_to_driver=False, include_dashboard=False)
    if executor == "ray":
        from sweep.executors.warm_executor import WarmExecutor
        made = WarmExecutor(run_attempt, warm_up, Resources(gpu=0.5), study="shares")
    else:
        from pathlib import Path
        from sweep.executors.tune_executor import TuneExecutor
        made = TuneExecutor(run_attempt, Resources(gpu=0.5), study="shares", scratch=Path(folder) / "tune")
    director = Director([turn(1, [0.5, 0.5, 1, 0]), turn(2, [1, 1])])
    capacity = made.open()
    assert (capacity.slots, [node.gpu for node in capacity.nodes]) == (4, [2.0])
    made.run(director)
    made.close()
    print(json.dumps(director.devices))
    if executor == "ray":
        sweep.launch(folder + "/hungry.yaml", executor="ray")
    sweep.launch(folder + "/measured.yaml", executor=executor)
    sweep.launch(folder + "/pair.yaml", executor=executor)
    ray.shutdown()
"""

SPEC = """
name: hungry
entrypoint: train.py:hungry
metric: {name: loss, goal: minimize}
parameters: {x: {min: -1.0, max: 1.0}}
search: {algorithm: random, seed: 3}
scheduler: {type: none, max_t: 3}
budget: {trials: 6}
resources: {gpu: 0.25, cpu: 1}
retries: {on_oom: grow}
"""


@pytest.fixture(scope="module", params=["ray", "tune"])
def ran(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shares")
    (folder / "train.py").write_text(TRAIN)
    (folder / "hungry.yaml").write_text(SPEC)
    auto = SPEC.replace("hungry", "measured").replace("gpu: 0.25", "gpu: auto").replace("on_oom: grow", "max: 0")
    (folder / "measured.yaml").write_text(auto)
    pair = (
        SPEC.replace("hungry", "pair").replace("gpu: 0.25, cpu: 1", "gpu: 2, cpu: 2").replace("trials: 6", "trials: 1")
    )
    (folder / "pair.yaml").write_text(pair)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder), request.param],
        capture_output=True, text=True, timeout=400, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (
        request.param,
        folder,
        {int(trial): device for trial, device in json.loads(done.stdout.split("\n")[0]).items()},
    )


def seen(folder, turn):
    """What each attempt of a turn saw, by its place in the turn."""
    found = (json.loads((folder / f"{turn}-{10 * turn + index}.json").read_text()) for index in range(9)
             if (folder / f"{turn}-{10 * turn + index}.json").exists())  # fmt: skip
    return [(each["own"], each["child"]) for each in found]


def events(folder, study):
    return [json.loads(line) for line in (folder / "studies" / study / "events.jsonl").read_text().splitlines()]


def test_two_halves_share_a_gpu_beside_a_whole_one_and_a_trial_without_any(ran):
    _, folder, devices = ran
    first, second, whole, none = seen(folder, 1)
    assert first == second, "both halves see one GPU, and it is the same"
    assert {first[0], whole[0]} == {"0", "1"}
    assert none == ("", "")
    assert all(own == child for own, child in seen(folder, 1)), "a child process sees what its attempt does"
    assert [devices[10 + index] for index in range(4)] == [f"cuda:{first[0]}"] * 2 + [f"cuda:{whole[0]}", "cpu"]


def test_idle_halves_make_room_for_whole_ones(ran):
    _, folder, _ = ran
    assert {own for own, _ in seen(folder, 2)} == {"0", "1"}


def test_trial_whose_memory_runs_out_grows_until_it_fits_while_others_keep_their_share(ran):
    executor, folder, _ = ran
    if executor == "tune":
        pytest.skip("the study is the same; once is enough")
    lines = events(folder, "hungry")
    started = [event for event in lines if event["type"] == "attempt_started"]
    assert [event["gpu"] for event in started if event["trial"] == 0] == [0.25, 0.5, 1]
    assert {event["gpu"] for event in started if event["trial"] != 0} == {0.25}
    reports = [event for event in lines if event["type"] == "reported" and event["trial"] == 0]
    assert [event["metrics"]["epoch"] for event in reports] == [1, 2, 3], "each attempt goes on from the checkpoint"
    assert lines[-1]["type"] in ("run_ended", "promotions_done")
    ends = [event for event in lines if event["type"] == "attempt_ended" and event["outcome"] == "failed"]
    assert [event["cause"] for event in ends] == ["gpu_memory"] * 2


def test_trial_of_two_gpus_is_one_process_each_with_one_reporter(ran):
    _, folder, _ = ran
    lines = events(folder, "pair")
    (started,) = [event for event in lines if event["type"] == "attempt_started"]
    assert (started["gpu"], set(started["device"].removeprefix("cuda:").split(","))) == (2, {"0", "1"})
    reports = [event["metrics"] for event in lines if event["type"] == "reported"]
    assert reports == [{"epoch": epoch, "loss": 0.5} for epoch in (1, 2, 3)]


def test_auto_measures_a_trial_on_a_whole_gpu_and_gives_the_others_what_they_need(ran):
    _, folder, _ = ran
    lines = events(folder, "measured")
    shares = {event["trial"]: event["gpu"] for event in lines if event["type"] == "attempt_started"}
    assert [shares[trial] for trial in range(6)] == [1, 1, 0.25, 0.25, 0.25, 0.25]
    (chosen,) = [event for event in lines if event["type"] == "share_chosen"]
    assert (chosen["gpu"], chosen["slots"]) == (0.25, 4)
    assert {event["peak_memory"] for event in lines if event["type"] == "attempt_ended"} == {3 * 2**30}
