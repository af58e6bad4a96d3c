"""Warm workers: they stay from trial to trial, and nothing of one trial reaches the next."""

import json
import os
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest

from sweep.core.pool import Demand
from sweep.core.protocols import Decision, Placement
from sweep.core.spec import Resources
from sweep.errors import ResourceError
from sweep.training.attempt import run_attempt, warm_up

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

TRAIN = '''
import json, os, pathlib, random, signal, subprocess, sys, threading, time, warnings

SPOIL = {}


def spoils(function):
    SPOIL[function.__name__] = function
    return function


@spoils
def nothing(): pass

@spoils
def environment():
    os.environ["SPOILT"] = "1"

@spoils
def folder():
    os.chdir("/")

@spoils
def path():
    sys.path.insert(0, "/spoilt")

@spoils
def umask():
    os.umask(0o777)

@spoils
def recursion():
    sys.setrecursionlimit(77_777)

@spoils
def filters():
    warnings.simplefilter("error")

@spoils
def seed():
    import numpy, torch
    random.seed(1); numpy.random.seed(1); torch.manual_seed(1)

@spoils
def precision():
    import torch
    torch.set_default_dtype(torch.float64)
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(7)

@spoils
def thread():
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

@spoils
def child():
    SPOIL["process"] = subprocess.Popen(["sleep", "1000"])

@spoils
def place():
    import locale
    locale.setlocale(locale.LC_ALL, "C")

@spoils
def faults():
    import faulthandler
    faulthandler.enable()

@spoils
def attention():
    import torch
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.mha.set_fastpath_enabled(False)
    torch.set_float32_matmul_precision("medium")

@spoils
def printing():
    import numpy, torch
    torch.set_printoptions(precision=1)
    numpy.set_printoptions(precision=1)
    numpy.seterr(all="raise")

@spoils
def modes():
    import torch
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.inference_mode(True).__enter__()

@spoils
def loop():
    import asyncio
    asyncio.set_event_loop(asyncio.new_event_loop())

@spoils
def levels():
    import logging
    logging.getLogger().setLevel(logging.DEBUG)
    logging.disable(logging.CRITICAL)

@spoils
def module():
    import counter
    counter.count += 1

@spoils
def cache():
    import counter
    counter.cache.extend(bytearray(2**20) for _ in range(64))

@spoils
def memory():
    import builtins
    builtins.spoilt = bytearray(os.urandom(2**20)) * 1200

@spoils
def files():
    import builtins
    builtins.opened = [open(os.devnull) for _ in range(200)]

@spoils
def failure():
    raise ValueError("spoilt")


def state():
    """What the next trial would see."""
    import asyncio, builtins, counter, faulthandler, locale, logging, numpy, torch
    asyncio.get_event_loop_policy()
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True).stdout
    return {
        "environment": os.environ.get("SPOILT"),
        "folder": os.getcwd(),
        "path": "/spoilt" in sys.path,
        "umask": os.umask(0o022),
        "recursion": sys.getrecursionlimit(),
        "filters": sum(each[0] == "error" for each in warnings.filters),
        "random": [random.random(), float(numpy.random.rand()), float(torch.rand(1))],
        "precision": [str(torch.get_default_dtype()), torch.backends.cudnn.benchmark,
                      torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()],
        "place": locale.setlocale(locale.LC_ALL),
        "faults": faulthandler.is_enabled(),
        "attention": [torch.backends.cuda.flash_sdp_enabled(), torch.backends.mha.get_fastpath_enabled(),
                      torch.get_float32_matmul_precision()],
        "printing": [str(torch.tensor(1 / 3)), str(numpy.float64(1) * numpy.array([1 / 3])), numpy.geterr()],
        "modes": [str(torch.ones(1).device), torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "loop": getattr(asyncio.get_event_loop_policy()._local, "_loop", None) is not None,
        "levels": [logging.getLogger().level, logging.root.manager.disable],
        "module": [counter.count, len(counter.cache)],
        "leaks": [hasattr(builtins, "spoilt"), hasattr(builtins, "opened")],
        "sleepers": children.split().count("sleep"),
        "threads": sum("sleep" in str(getattr(each, "_target", "")) for each in threading.enumerate()),
    }


def train(config, ctx):
    found = state()
    pathlib.Path(config["out"]).write_text(json.dumps({**found, "pid": os.getpid()}))
    ctx.report({"epoch": 1, "loss": 1.0})
    SPOIL[config["spoil"]]()


def hang(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0})
    time.sleep(1000)


def reports(config, ctx):
    for epoch in range(1, config["n"] + 1):
        ctx.report({"epoch": epoch, "loss": 1 / epoch})
'''


class Script:
    """A director that hands out placements one at a time."""

    def __init__(self, placements, decide=lambda metrics: "advance"):
        self.waiting, self.busy, self.decide = list(placements), False, decide
        self.outcomes, self.reports, self.delays = [], [], []

    @property
    def finished(self):
        return not self.waiting and not self.busy

    def batch(self):
        return nullcontext()

    def next_placement(self):
        if self.busy or not self.waiting:
            return None
        self.busy = True
        return self.waiting.pop(0)

    def started(self, placement, *, node, device, batch=None):
        pass

    def reported(self, placement, metrics, checkpoint):
        self.reports.append(metrics["epoch"])
        return Decision(self.decide(metrics), "the script says so")

    def ended(self, placement, outcome, error=None, cause=None):
        self.outcomes.append(outcome)
        self.busy = False

    def tick(self):
        pass

    def unwanted(self):
        return ()

    def delayed(self, attempts, reason):
        self.delays.append((attempts, reason))

    def wanted(self):
        return 0

    def share(self):
        return Demand()


@pytest.fixture
def executor(ray_cluster):
    from sweep.executors.warm_executor import WarmExecutor

    made = []

    def build(**options):
        resources = Resources(cpu=1, max_concurrent=1, **options)
        made.append(WarmExecutor(run_attempt, warm_up, resources, study="warm"))
        made[-1].open()
        return made[-1]

    yield build
    for each in made:
        each.close()


@pytest.fixture
def placement(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "counter.py").write_text("count = 0\ncache = []\n")

    def build(trial, spoil="nothing", function="train", **config):
        return Placement(
            study="warm",
            trial=trial,
            attempt=1,
            config={"out": str(tmp_path / f"{trial}.json"), "spoil": spoil, **config},
            entrypoint=f"{tmp_path}/train.py:{function}",
            seed=5,
            time_attr="epoch",
            max_t=100,
            trial_dir=str(tmp_path / "trials" / str(trial)),
        )

    return build


def seen(tmp_path, trial):
    return json.loads((tmp_path / f"{trial}.json").read_text())


def test_worker_lives_from_trial_to_trial(executor, placement, tmp_path):
    executor().run(Script([placement(number) for number in range(3)]))
    assert len({seen(tmp_path, number)["pid"] for number in range(3)}) == 1


def test_fresh_process_for_each_attempt_when_asked_for(executor, placement, tmp_path):
    executor(isolation="process").run(Script([placement(number) for number in range(2)]))
    assert seen(tmp_path, 0)["pid"] != seen(tmp_path, 1)["pid"]


SPOILERS = [
    "environment",
    "folder",
    "path",
    "umask",
    "recursion",
    "filters",
    "seed",
    "precision",
    "thread",
    "child",
    "place",
    "faults",
    "attention",
    "printing",
    "modes",
    "loop",
    "levels",
    "module",
    "cache",
    "memory",
    "files",
    "failure",
]


def test_no_trial_reaches_the_next(executor, placement, tmp_path):
    """Each trial spoils something; the one after it sees what the first one saw."""
    order = ["nothing", *SPOILERS, "nothing"]
    script = Script([placement(number, spoil) for number, spoil in enumerate(order)])
    executor().run(script)
    first = {name: value for name, value in seen(tmp_path, 0).items() if name != "pid"}
    for number, before in enumerate(order[:-1], start=1):
        found = {name: value for name, value in seen(tmp_path, number).items() if name != "pid"}
        assert found == first, f"after {before}"
    assert script.outcomes.count("failed") == 1
    # What can't be put back costs the process.
    pids = [seen(tmp_path, number)["pid"] for number in range(len(order))]
    after = {spoil: pids[place + 1] != pids[place] for place, spoil in enumerate(order[:-1])}
    assert {spoil for spoil, replaced in after.items() if replaced} >= {"thread", "failure", "memory", "files"}
    cleaned = ("environment", "faults", "attention", "printing", "modes", "module", "cache")
    assert not any(after[spoil] for spoil in cleaned)


def test_attempt_that_no_node_can_hold_is_told_and_not_waited_for(executor, placement):
    with pytest.raises(ResourceError, match="trial 0 asks for 2 GPU and 1 CPU, and no node offers that"):
        executor().run(Script([replace(placement(0), gpu=2)]))


def test_stopped_trial_is_told_at_its_next_report_and_no_other_comes_through(executor, placement):
    script = Script(
        [placement(0, function="reports", n=50)], lambda metrics: "stop" if metrics["epoch"] == 3 else "advance"
    )
    executor().run(script)
    assert script.reports == [1, 2, 3]
    assert script.outcomes == ["stopped"]


def test_training_function_that_does_not_end_is_ended(executor, placement, monkeypatch):
    monkeypatch.setattr("sweep.executors.work.STUCK_S", 0.5)
    monkeypatch.setattr("sweep.executors.work.FACTOR", 0)
    began = time.monotonic()
    script = Script([placement(0, function="hang"), placement(1)], lambda _: "stop")
    executor().run(script)
    assert script.outcomes == ["stopped", "stopped"]
    assert time.monotonic() - began < 300, "the hung function would sleep for 1000 s"


def test_attempt_that_the_study_has_done_with_is_ended_in_the_middle_of_a_step(executor, placement):
    began = time.monotonic()

    class Impatient(Script):
        over = False

        def reported(self, placement, metrics, checkpoint):
            self.over = placement.trial == 0
            return super().reported(placement, metrics, checkpoint)

        def unwanted(self):
            if not self.over:
                return ()
            self.over = self.busy = False
            return {(0, 1)}

    script = Impatient([placement(0, function="hang"), placement(1)], lambda _: "advance")
    executor().run(script)
    assert script.outcomes == ["returned"], "only the second one ends by itself"
    assert time.monotonic() - began < 300, "the hung function would sleep for 1000 s"


def test_workers_that_die_before_they_begin_are_not_tried_without_a_pause(ray_cluster, placement, monkeypatch):
    """The losses that a trial may have in a row would be used up within a moment."""
    from sweep.executors import hesitation
    from sweep.executors.warm_executor import WarmExecutor

    class Lost(Script):
        times = ()

        def ended(self, placement, outcome, error=None, cause=None):
            assert outcome == "lost"
            self.times = (*self.times, time.monotonic())
            super().ended(placement, outcome, error, cause)

    monkeypatch.setattr(hesitation, "FIRST_S", 3.0)
    director = Lost([placement(number) for number in range(2)])
    executor = WarmExecutor(run_attempt, lambda: os._exit(3), Resources(cpu=1, max_concurrent=1), study="warm")
    executor.open()
    try:
        executor.run(director)
    finally:
        executor.close()
    first, second = director.times
    assert second - first >= 3.0


def test_what_an_attempt_waits_for_is_told_once(ray_cluster, executor, placement, monkeypatch):
    from sweep.executors import warm_executor

    monkeypatch.setattr(warm_executor, "BEGIN_S", 1.0)
    hog = ray_cluster.remote(num_cpus=4)(type("Hog", (), {"here": lambda self: True})).remote()
    assert ray_cluster.get(hog.here.remote())

    class Waiting(Script):
        ticks, deadline = 0, time.monotonic() + 60

        def tick(self):
            self.ticks += bool(self.delays)
            if self.ticks == 4 or time.monotonic() > self.deadline:
                ray_cluster.kill(hog)

    script = Waiting([placement(0)])
    executor().run(script)
    assert script.outcomes == ["returned"]
    assert script.delays == [(1, "other work on this Ray holds 4 of 4 CPU")]


def test_attempt_is_a_named_row_of_the_dashboards_task_table(ray_state, executor, placement):
    warm = executor()
    warm.run(Script([placement(17)]))
    deadline, names = time.monotonic() + 60, set()
    while "warm #17 attempt 1" not in names and time.monotonic() < deadline:
        names = {" ".join(task.name.split()) for task in ray_state("list_tasks", limit=1000)}
    assert "warm #17 attempt 1" in names
    assert not any("decide" in name for name in names), "one row a report would bury the attempts"
