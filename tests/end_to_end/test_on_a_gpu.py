"""Whole studies on a real GPU: shares are walls for every kind of training code, and memory that runs out is answered.

A GPU's memory is taken here as parts of the whole, so that the tests hold on any card.
"""

import json
import subprocess
import sys

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CODE = '''
import os

import torch

import sweep
from ray import tune

def take(part):
    """Hold a part of the GPU's memory; an error of CUDA's when the share is smaller."""
    return torch.empty(int(part * torch.cuda.mem_get_info()[1]), dtype=torch.uint8, device="cuda")

def hungry(config, ctx):
    """Trial 0 needs two fifths of a GPU."""
    held = take(0.4 if ctx.trial == 0 else 0.1)
    ctx.report({"epoch": 1, "loss": 1.0})

def measured(config, ctx):
    held = take(0.15)
    ctx.report({"epoch": 1, "loss": 1.0})

def split(config, ctx):
    """A whole batch needs two fifths of a GPU, half of it a fifth."""
    total = torch.cuda.mem_get_info()[1]
    for epoch in (1, 2):
        for (batch,), weight in ctx.parts(torch.ones(8, device="cuda")):
            held = take(0.05 * len(batch))
            del held
        ctx.report({"epoch": epoch, "loss": 1.0}, checkpoint={"epoch": epoch})

def messy(config, ctx):
    """Leaves settings behind, and reports what it found of them."""
    found = {
        "benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "stream": torch.cuda.current_stream() != torch.cuda.default_stream(),
        "draw": torch.rand(1, device="cuda"),
        "process": os.getpid(),
    }
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = not torch.backends.cuda.matmul.allow_tf32
    torch.cuda.set_stream(torch.cuda.Stream())
    torch.cuda.manual_seed(7)
    ctx.report({"epoch": 1, "loss": 1.0, **found})

def holding(config, ctx):
    """Keeps a tenth of the GPU where nobody looks for it, and reports what it found held."""
    found = torch.cuda.memory_allocated()
    sweep.left = take(0.1)
    ctx.report({"epoch": 1, "loss": 1.0, "found": found})

def graphs(config, ctx):
    """A trial whose steps are recorded, on a stream of its own; says what it found held."""
    from sweep.training import vision
    found = torch.cuda.memory_allocated()
    report = ctx.report
    more = {"found": found, "process": os.getpid()}
    ctx.report = lambda metrics, checkpoint: report({**metrics, "loss": metrics["val_loss"], **more})
    vision.train({"model": "vit_tiny", "epochs": 5}, ctx)

def tuned(config):
    held = take(config["part"])
    tune.report({"loss": 1.0, "gpus": torch.cuda.device_count()})

def objective(trial):
    held = take(trial.suggest_categorical("part", [0.1, 0.4]))
    trial.report(1.0, 1)
    return 1.0
'''

SCRIPT = """
import sys
import torch
{speaks}
held = torch.empty(int(float(sys.argv[1]) * torch.cuda.mem_get_info()[1]), dtype=torch.uint8, device="cuda")
print("epoch=1 loss=1.0 gpus=%d" % torch.cuda.device_count())
{reports}
"""

SPEAKS = {
    "speaks": "import sweep; ctx = sweep.context(); ctx.device",
    "reports": "ctx.report({'epoch': 1, 'loss': 1.0})",
}

STUDY = """
name: {name}
{code}
metric: {{name: loss, goal: minimize}}
parameters: {{part: [0.1, 0.4]}}
search: {{algorithm: grid, seed: 3}}
scheduler: {{type: none, max_t: {max_t}}}
budget: {{trials: {trials}}}
resources: {{gpu: {gpu}, cpu: 1}}
retries: {retries}
"""


def study(name, code="", *, gpu=0.25, retries="{max: 0}", trials=2, max_t=1):
    text = STUDY.format(
        name=name, code=code or f"entrypoint: functions.py:{name}", gpu=gpu, retries=retries, trials=trials, max_t=max_t
    )
    # More trials than there are parts.
    return text if trials == 2 else text.replace("0.4]", "0.4], x: {min: 0.0, max: 1.0}").replace("grid", "random")


GRAPHS = "entrypoint: functions.py:graphs"

STUDIES = [
    study("hungry", retries="{on_oom: grow}"),
    study("measured", gpu="auto", trials=6),
    study("split", retries="{on_oom: shrink_batch}", max_t=2),
    study("messy", gpu=1, trials=4),
    study("holding", gpu=1),
    study("graphs", GRAPHS, gpu=1, trials=20, max_t=5),
    study("tuned"),
    study("objective"),
    study("printing", 'command: "{python} printing.py {part}"'),
    study("speaking", 'command: "{python} speaking.py {part}"'),
    study("unseeing", 'command: "{python} unseeing.py {part}"', gpu=0),
]

DRIVER = """
import sys, tempfile
import ray
import sweep

with tempfile.TemporaryDirectory(prefix="swr", ignore_cleanup_errors=True) as scratch:
    ray.init(_temp_dir=scratch, log_to_driver=False, include_dashboard=False)
    for name in sys.argv[1:]:
        try:
            sweep.launch(name + ".yaml", executor="ray")
        except sweep.errors.SweepError as error:
            print(name, error)
    ray.shutdown()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which all studies ran, one after the other, on one Ray."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "functions.py").write_text(CODE)
    (folder / "printing.py").write_text(SCRIPT.format(speaks="", reports=""))
    (folder / "speaking.py").write_text(SCRIPT.format(**SPEAKS))
    (folder / "unseeing.py").write_text("import torch\nprint('epoch=1 loss=%d' % torch.cuda.device_count())\n")
    names = []
    for text in STUDIES:
        names.append(text.split("\n")[1].removeprefix("name: "))
        (folder / f"{names[-1]}.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *names], capture_output=True, text=True, timeout=400, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def events(ran):
    def of(name, kind):
        lines = (ran / "studies" / name / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["type"] == kind]

    return of


def ends(events, name):
    """Trial to how its attempts ended, and why."""
    found = {}
    for event in events(name, "attempt_ended"):
        found.setdefault(event["trial"], []).append((event["outcome"], event.get("cause")))
    return found


def test_a_trial_that_needs_more_than_its_share_gets_more(events):
    shares = [(event["trial"], event["gpu"]) for event in events("hungry", "attempt_started")]
    assert sorted(shares) == [(0, 0.25), (0, 0.5), (1, 0.25)]
    assert ends(events, "hungry") == {0: [("failed", "gpu_memory"), ("returned", None)], 1: [("returned", None)]}


def test_auto_measures_what_a_trial_holds(events):
    (chosen,) = events("measured", "share_chosen")
    assert chosen["gpu"] == pytest.approx(0.2, abs=0.05)  # 0.15, CUDA's own part, and a margin
    peaks = [event["peak_memory"] for event in events("measured", "attempt_ended")]
    total = torch.cuda.mem_get_info()[1]
    assert all(0.15 * total <= peak <= 0.15 * total + 2**30 for peak in peaks)
    assert [event["gpu"] for event in events("measured", "attempt_started")][-1] == chosen["gpu"]


def test_a_batch_that_does_not_fit_is_split(events):
    assert [event["batch_split"] for event in events("split", "attempt_started")] == [1, 1, 2, 2]
    assert set(map(tuple, ends(events, "split").values())) == {(("failed", "gpu_memory"), ("returned", None))}


def test_what_a_trial_sets_on_the_gpu_is_not_set_for_the_next(events):
    reports = [event["metrics"] for event in events("messy", "reported")]
    assert len(reports) == 4
    assert len({each["process"] for each in reports}) == 1
    assert {(each["benchmark"], each["stream"]) for each in reports} == {(0, 0)}
    assert len({each["tf32"] for each in reports}) == 1
    assert len({each["draw"] for each in reports}) == 4, "each trial draws from its own seed"


def test_memory_that_a_trial_keeps_is_not_lacking_to_the_next(events):
    assert [event["metrics"]["found"] for event in events("holding", "reported")] == [0, 0]


def test_recorded_trials_leave_nothing_on_the_gpu(events):
    reports = [event["metrics"] for event in events("graphs", "reported")]
    assert len(reports) == 100
    assert max(each["found"] for each in reports) < 2**20
    assert len({each["process"] for each in reports}) == 1


@pytest.mark.parametrize("name", ["tuned", "objective", "printing", "speaking"])
def test_no_code_takes_more_than_its_share(events, name):
    found = ends(events, name)
    parts = {event["trial"]: event["config"]["part"] for event in events(name, "trial_created")}
    assert sorted(parts.values()) == [0.1, 0.4]
    for trial, part in parts.items():
        assert found[trial] == [("returned", None) if part == 0.1 else ("failed", "gpu_memory")]


@pytest.mark.parametrize("name", ["tuned", "printing"])
def test_it_sees_one_gpu(events, name):
    assert {event["metrics"]["gpus"] for event in events(name, "reported")} == {1}


def test_a_script_without_a_share_sees_none(events):
    assert {event["metrics"]["loss"] for event in events("unseeing", "reported")} == {0}
