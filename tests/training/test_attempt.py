"""An attempt: how it ends, what it leaves in its log, and that it leaves nothing in its process."""

import logging
import os
import random
import re
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import sweep.training
from sweep.core.protocols import Decision, GpuMemory
from sweep.errors import EntrypointError, TrainingError
from sweep.training import current, memory
from sweep.training.attempt import run_attempt

TWO_REPORTS = """
def train(config, ctx):
    ctx.report({"loss": 2.0})
    ctx.report({"loss": 1.0})
    config["ran_to_its_end"] = True
"""


@pytest.fixture
def log(tmp_path):
    """The log of attempt 2, without its times."""

    def read():
        lines = (tmp_path / "trial" / "attempt-2.log").read_text().splitlines()
        times = [re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines]
        assert all(times)
        return [line[match.end() :] for line, match in zip(lines, times, strict=True)]

    return read


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, ("returned", 2)),
        ({1: "stop"}, ("stopped", 1)),
        ({1: "finish"}, ("returned", 1)),
        ({2: "stop"}, ("stopped", 2)),
        ({1: "pause"}, ("interrupted", 1)),
    ],
)
def test_the_decision_becomes_the_outcome(placement, scripted, script, answers, expected):
    channel = scripted(answers)
    outcome = run_attempt(placement(entrypoint=script(TWO_REPORTS)), channel)
    assert (outcome, len(channel.reports)) == expected


def test_a_function_of_one_parameter_finds_its_context(placement, scripted, script):
    entrypoint = script("""
from sweep.training import current
def train(config):
    current().report({"loss": config["x"]})
""")
    channel = scripted()
    run_attempt(placement(entrypoint=entrypoint, config={"x": 3}), channel)
    assert channel.reports == [{"loss": 3.0, "epoch": 1}]
    with pytest.raises(Exception, match="No trial runs"):
        current()


def test_what_is_printed_and_logged_is_kept_with_times(placement, scripted, script, log, capsys):
    entrypoint = script("""
import logging, sys, warnings
def train(config, ctx):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    print("two", end=" "); print("parts")
    print("10 %\\r50 %\\r100 %")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    logging.info("logged")
    sys.stdout.write("no end of line")
""")
    run_attempt(placement(entrypoint=entrypoint), scripted())
    assert log() == ["to stdout", "to stderr", "two parts", "100 %", "INFO logged", "no end of line"]
    shown = capsys.readouterr()
    assert "to stdout" in shown.out
    assert "to stderr" in shown.err
    assert re.search(r"^INFO logged$", shown.err, re.MULTILINE)


def test_root_handlers_that_hold_a_stream_are_copied_too(placement, scripted, script, log):
    handler = logging.StreamHandler(sys.stderr)
    stream = handler.stream
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        entrypoint = script("import logging\ndef train(config, ctx): logging.error('held')\n")
        run_attempt(placement(entrypoint=entrypoint), scripted())
        assert handler.stream is stream
    finally:
        root.removeHandler(handler)
    assert log() == ["held"]


def test_logging_set_up_by_one_attempt_does_not_stay_for_the_next(placement, scripted, script):
    before = list(logging.getLogger().handlers), logging.getLogger().level
    entrypoint = script("""
import logging
def train(config, ctx):
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(1)
""")
    run_attempt(placement(entrypoint=entrypoint), scripted())
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before


def test_an_error_passes_and_its_traceback_is_in_the_log(placement, scripted, script, log):
    entrypoint = script("def train(config, ctx):\n    raise ValueError('no luck')\n")
    with pytest.raises(ValueError, match="no luck"):
        run_attempt(placement(entrypoint=entrypoint), scripted())
    first, place, code, last = log()
    assert first == "Traceback (most recent call last):"
    # From the training function on: what of ours called it tells nobody anything.
    assert place.endswith("in train")
    assert code == "    raise ValueError('no luck')"
    assert last == "ValueError: no luck"


@pytest.mark.parametrize(
    ("gpu", "advice"), [(0.5, "Lower batch_size or set resources.gpu: 1"), (1, "Lower batch_size")]
)
def test_out_of_memory_is_told_with_what_to_do(placement, scripted, script, gpu, advice):
    entrypoint = script("""
import torch
def train(config, ctx):
    ctx.report({})
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")
""")
    with pytest.raises(
        TrainingError, match=rf"^Trial 17, attempt 2, epoch 2: CUDA out of memory.*\. {advice}\.$"
    ) as caught:
        run_attempt(placement(entrypoint=entrypoint, gpu=gpu), scripted())
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: its memory can't run out")
def test_a_share_of_a_gpu_is_a_wall(placement, scripted, script):
    entrypoint = script("""
import torch
def train(config, ctx):
    half = torch.cuda.mem_get_info()[1] // 2
    torch.empty(half, dtype=torch.uint8, device=ctx.device)
""")
    with pytest.raises(TrainingError, match=r"CUDA out of memory \(.* GiB, gpu: 0.1\)"):
        run_attempt(placement(entrypoint=entrypoint, gpu=0.1, device="cuda"), scripted())
    run_attempt(placement(entrypoint=entrypoint, gpu=1, device="cuda"), scripted())


def test_an_entrypoint_that_cannot_be_imported_is_in_the_log(placement, scripted, tmp_path, log):
    with pytest.raises(EntrypointError):
        run_attempt(placement(entrypoint=f"{tmp_path}/none.py:train"), scripted())
    assert "there is no file" in log()[-1]


def test_the_process_is_left_as_it_was(placement, scripted, script, tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_TEST_KEPT", "before")
    monkeypatch.delenv("SWEEP_TEST_NEW", raising=False)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "sweep_test_neighbour.py").write_text("VALUE = 9\n")
    entrypoint = script("""
import os, sys, torch, sweep_test_neighbour
def train(config, ctx):
    assert os.environ["SWEEP_TEST_NEW"] == "1"
    assert os.environ["SWEEP_TEST_KEPT"] == "changed"
    assert torch.get_num_threads() == 1
    os.environ["SWEEP_TEST_MADE_INSIDE"] = "1"
    sys.path.append("/made/inside")
    torch.set_float32_matmul_precision("medium")
    ctx.report({"value": sweep_test_neighbour.VALUE})
""")
    before = dict(os.environ), list(sys.path), sys.stdout, sys.stderr
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    channel = scripted()
    try:
        run_attempt(
            placement(
                entrypoint=entrypoint,
                env={"SWEEP_TEST_NEW": "1", "SWEEP_TEST_KEPT": "changed"},
                working_dir=str(tmp_path / "work"),
            ),
            channel,
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
        sys.modules.pop("sweep_test_neighbour", None)
    assert (dict(os.environ), list(sys.path), sys.stdout, sys.stderr) == before
    assert torch.get_float32_matmul_precision() == "highest"
    assert channel.reports[0]["value"] == 9


def test_all_generators_are_seeded_with_the_trials_seed(placement, scripted, script):
    entrypoint = script("""
import random, numpy, torch
def train(config, ctx):
    ctx.report({"python": random.random(), "numpy": numpy.random.rand(), "torch": torch.rand(1)})
""")
    drawn = []
    for seed in (5, 5, 6):
        random.random()
        torch.rand(1)
        channel = scripted()
        run_attempt(placement(entrypoint=entrypoint, seed=seed), channel)
        drawn.append(channel.reports[0])
    assert drawn[0] == drawn[1]
    assert all(drawn[0][name] != drawn[2][name] for name in ("python", "numpy", "torch"))


def test_an_attempt_without_torch_imports_none_and_keeps_json(tmp_path):
    (tmp_path / "train.py").write_text(
        textwrap.dedent("""
        def train(config, ctx):
            state = ctx.restore() or {"total": 0}
            while ctx.t < ctx.max_t:
                state["total"] += 1
                ctx.report({"total": state["total"]}, checkpoint=state)
        """)
    )
    code = f"""
import sys
from sweep.core.protocols import Decision, Placement
from sweep.training.attempt import run_attempt
class Channel:
    def report(self, metrics, checkpoint):
        self.last = checkpoint, metrics["total"]
        return Decision("advance", "always")
channel = Channel()
def run(max_t, checkpoint):
    run_attempt(Placement("s", 0, 1, {{}}, r"{tmp_path}/train.py:train", 0, "step", max_t, r"{tmp_path}/trial",
                          checkpoint=checkpoint), channel)
run(2, None)
run(5, channel.last[0])
print(channel.last[1], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5.0", "False"]
    assert (tmp_path / "trial" / "checkpoints" / "step-5" / "state.json").exists()


def test_the_readmes_example_runs_by_itself_and_as_a_trial(placement, scripted, tmp_path):
    readme = Path(sweep.training.__file__).with_name("README.md").read_text()
    (tmp_path / "train.py").write_text(re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1])
    done = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["epoch", str(t)] for t in range(1, 6)]
    fields = {"entrypoint": f"{tmp_path}/train.py:train", "config": {"lr": 1e-3}}
    channel = scripted()
    run_attempt(placement(**fields), channel)
    again = scripted()
    run_attempt(placement(**fields, checkpoint=channel.checkpoints[1]), again)
    assert again.reports == channel.reports[2:]


def test_a_script_runs_by_itself(tmp_path):
    (tmp_path / "train.py").write_text(
        textwrap.dedent("""
        import sweep.training

        def train(config, ctx):
            assert sweep.training.current() is ctx
            for epoch in range(1, ctx.max_t + 1):
                ctx.report({"epoch": epoch, "loss": config["lr"] / epoch}, checkpoint={"epoch": epoch})

        if __name__ == "__main__":
            config = {"lr": 0.5}
            train(config, sweep.training.standalone(config, max_t=2, folder="out"))
        """)
    )
    done = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, check=True, cwd=tmp_path)
    first, second = done.stdout.splitlines()
    assert first == "epoch 1  loss 0.5"
    assert second == f"epoch 2  loss 0.25  -> {tmp_path}/out/checkpoints/epoch-2"
    assert done.stderr == ""


# How a function may leave, other than by return and Exception.


@pytest.mark.parametrize("code", ["", "0", "None"])
def test_exit_without_an_error_is_a_return(placement, scripted, script, code):
    entrypoint = script(f"import sys\ndef train(config, ctx):\n    ctx.report({{}})\n    sys.exit({code})\n")
    assert run_attempt(placement(entrypoint=entrypoint), scripted()) == "returned"


@pytest.mark.parametrize("code", ["3", "'no data'"])
def test_exit_with_an_error_fails_the_attempt(placement, scripted, script, log, code):
    entrypoint = script(f"import sys\ndef train(config, ctx): sys.exit({code})\n")
    words = rf"Trial 17, attempt 2: the training function called sys\.exit\({code}\)"
    with pytest.raises(TrainingError, match=words):
        run_attempt(placement(entrypoint=entrypoint), scripted())
    assert f"sys.exit({code})" in log()[-1]


def test_exit_during_the_import_is_told(placement, scripted, script):
    entrypoint = script("import sys\ndef train(config, ctx): pass\nsys.exit(0)\n")
    with pytest.raises(EntrypointError, match=r"importing .* called sys\.exit\(0\).*__main__"):
        run_attempt(placement(entrypoint=entrypoint), scripted())


@pytest.mark.parametrize(
    ("leave", "status"), [("return", 0), ("sys.exit()", 0), ("sys.exit(3)", 1), ("ctx.report({})", 1), ("1 / 0", 1)]
)
def test_a_forked_child_never_comes_back(script, tmp_path, leave, status):
    entrypoint = script(f"""
import os, sys
def train(config, ctx):
    child = os.fork()
    if child == 0:
        {leave}
        return
    ctx.report({{"status": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}})
""")
    code = f"""
import os
from sweep.core.protocols import Decision, Placement
from sweep.training.attempt import run_attempt
class Channel:
    def report(self, metrics, checkpoint):
        os.write(1, f"child ended with {{metrics['status']:g}}\\n".encode())
        return Decision("advance", "always")
try:
    run_attempt(Placement("s", 0, 1, {{}}, {entrypoint!r}, 0, "step", 1, r"{tmp_path}/trial"), Channel())
finally:
    os.write(1, b"came back\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"child ended with {status}", "came back"]
    if leave == "ctx.report({})":
        assert "report was called in process" in (tmp_path / "trial" / "attempt-1.log").read_text()


def test_the_log_says_why_a_decision_ended_the_attempt(placement, scripted, script, log):
    run_attempt(placement(entrypoint=script(TWO_REPORTS)), scripted({1: "pause"}))
    assert log()[-1] == "ended: the script says pause"


GIB = 2**30


@pytest.fixture
def card(monkeypatch):
    """A GPU of 16 GiB that isn't there: what torch is told about it."""
    told = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (16 * GIB, 16 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    return told


def test_each_share_has_its_wall_and_the_next_attempt_its_own(placement, scripted, script, card):
    entrypoint = script("def train(config): pass\n")
    for gpu in (0.25, 0.5, 1, 0):
        run_attempt(placement(entrypoint=entrypoint, gpu=gpu, device="auto"), scripted())
    # CUDA's own half GiB is within the share, so that four quarters fit; whole GPUs and none have no wall.
    assert card == [0.25 - 0.5 / 16, 1.0, 0.5 - 0.5 / 16, 1.0]


def test_wall_of_a_tiny_share_leaves_the_allocator_half_of_it():
    assert memory.allocator_fraction(0.0625, 4 * GIB) == 0.0625 / 2


class MeasuredChannel:
    def __init__(self):
        self.memory = []

    def report(self, metrics, checkpoint):
        return Decision("advance", "because")

    def measured(self, taken):
        self.memory.append(taken)


@pytest.mark.parametrize(("gpu", "body"), [(0.5, "pass"), (1, "raise ValueError"), (0, "pass")])
def test_what_an_attempt_took_of_its_gpu_is_told_however_it_ends(placement, script, monkeypatch, gpu, body):
    monkeypatch.setattr(memory, "used", lambda: GpuMemory(3 * GIB, 16 * GIB))
    channel = MeasuredChannel()
    with suppress(ValueError):
        run_attempt(placement(entrypoint=script(f"def train(config): {body}\n"), gpu=gpu), channel)
    assert channel.memory == ([GpuMemory(3 * GIB, 16 * GIB)] if gpu else [])


def test_error_of_cuda_does_not_hide_the_trials_own(placement, script, monkeypatch):
    def broken():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(memory, "used", broken)
    with pytest.raises(ValueError, match="a fish"):
        run_attempt(
            placement(entrypoint=script("def train(config): raise ValueError('a fish')\n"), gpu=1), MeasuredChannel()
        )


def test_without_cuda_nothing_is_measured():
    assert torch.cuda.is_initialized() or memory.used() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_peak_on_a_gpu_is_at_least_what_was_allocated():
    held = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    taken = memory.used()
    assert taken.total >= taken.peak >= held.numel() + memory.CONTEXT_BYTES
