"""What the Tune executor owes beyond the contract: names in the dashboard, shares, and a Ray that isn't its own."""

import time
from contextlib import nullcontext

import pytest

from sweep.core.protocols import Decision, Placement
from sweep.core.spec import Resources
from sweep.errors import InputError, ResourceError
from sweep.training.attempt import run_attempt

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

TRAIN = """
import os, pathlib, time

def look(config, ctx):
    ctx.report({"epoch": 1, "loss": 1.0, "cuda": float(os.environ.get("CUDA_VISIBLE_DEVICES") == "")})
    ctx.report({"epoch": 2, "loss": 1.0})
"""


@pytest.fixture
def executor(ray_cluster, tmp_path):
    from sweep.executors.tune_executor import TuneExecutor

    made = []

    def build(**resources):
        made.append(
            TuneExecutor(run_attempt, Resources(**resources), study="demo", scratch=tmp_path / "demo" / ".scratch")
        )
        return made[-1]

    yield build
    for each in made:
        each.close()


@pytest.fixture
def placement(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    return Placement(
        study="demo",
        trial=17,
        attempt=2,
        config={"lr": 0.00031234, "width": 64},
        entrypoint=f"{tmp_path}/train.py:look",
        seed=0,
        time_attr="epoch",
        max_t=9,
        trial_dir=str(tmp_path / "demo" / "trials" / "0017"),
        label="lr=0.0003123 width=64",
    )


class One:
    """A director of one placement, that looks around at each report."""

    def __init__(self, placement, look=lambda: None):
        self.waiting, self.look, self.over, self.seen, self.metrics = [placement], look, False, [], []

    @property
    def finished(self):
        return self.over

    def batch(self):
        return nullcontext()

    def next_placement(self):
        return self.waiting.pop() if self.waiting else None

    def started(self, placement, *, node, device, batch=None):
        self.where = (node, device)

    def reported(self, placement, metrics, checkpoint):
        self.metrics.append(metrics)
        self.seen.append(self.look())
        return Decision("advance", "go on")

    def ended(self, placement, outcome, error=None, cause=None):
        self.over, self.outcome, self.error = True, outcome, error

    def tick(self):
        pass


def test_attempt_stands_in_the_dashboard_by_study_number_and_parameters(ray_state, executor, placement):
    tune = executor(cpu=1)
    tune.open()
    wanted = ("demo", "demo #17 attempt 2 lr=0.0003123 width=64")

    def seen():
        """Until the state API, which lags behind by seconds, has the actor as it is now."""
        deadline = time.monotonic() + 60
        names = set()
        while wanted not in names and time.monotonic() < deadline:
            names = {(actor.class_name, actor.repr_name) for actor in ray_state("list_actors", detail=True)}
        return names

    director = One(placement, seen)
    tune.run(director)
    assert wanted in director.seen[-1]


def test_trial_without_a_share_sees_no_gpu(executor, placement):
    tune = executor(cpu=1)
    tune.open()
    director = One(placement)
    tune.run(director)
    assert director.metrics[0]["cuda"] == 1.0, "CUDA_VISIBLE_DEVICES isn't empty in the worker"


def test_file_that_asks_for_a_quarter_gpu_runs_on_cpu_slots_and_says_so(executor, placement):
    tune = executor(cpu=1, gpu=0.25)
    capacity = tune.open()
    assert (capacity.slots, capacity.gpu) == (4, 0)
    assert capacity.notes[0] == "No GPU here: trials run on the CPU (1 core each, gpu: 0.25 unused)."
    director = One(placement)
    tune.run(director)
    assert director.outcome == "returned"


def test_running_cluster_is_left_running(ray_cluster, executor):
    tune = executor(cpu=1)
    tune.open()
    tune.close()
    assert ray_cluster.is_initialized()


def test_more_cores_than_a_node_has_are_refused_before_the_start(executor):
    with pytest.raises(ResourceError, match="a trial asks for 64 cores"):
        executor(cpu=64).open()


def test_address_that_is_no_cluster_is_refused_in_words(tmp_path):
    import subprocess
    import sys

    code = (
        "import pathlib, sys\n"
        "from sweep.core.spec import Resources\n"
        "from sweep.errors import InputError\n"
        "from sweep.executors.tune_executor import TuneExecutor\n"
        "executor = TuneExecutor(None, Resources(), study='s', scratch=pathlib.Path(sys.argv[1]),\n"
        "                        ray_options={'address': '127.0.0.1:1'})\n"
        "try:\n    executor.open()\nexcept InputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True, timeout=120
    )
    assert "address: no Ray cluster lets us in at '127.0.0.1:1'" in done.stdout
    assert InputError.exit_code == 2
