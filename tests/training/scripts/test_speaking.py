"""A script that speaks to its study: the context of a training function, in a process of its own."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sweep
from sweep.errors import MemoryShareError, TrainingError
from sweep.store import checkpoints
from sweep.training.scripts import supervisor

TRAINING = """
import sys
import sweep
ctx = sweep.context()
state = ctx.restore() or {"epoch": 0}
print("from", state["epoch"], "seed", ctx.seed, "config", ctx.config)
try:
    for epoch in range(state["epoch"] + 1, ctx.max_t + 1):
        ctx.report({"epoch": epoch, "loss": 1 / epoch}, checkpoint={"epoch": epoch})
finally:
    print("cleaned up")
print("came to its end")
"""


def test_it_reports_with_checkpoints_and_comes_to_its_own_end(run):
    ran = run(TRAINING, config={"lr": 0.1}, answers={4: "finish"})
    assert (ran.outcome, ran.epochs) == ("returned", [1, 2, 3, 4])
    assert ran.channel.reports[1] == {"epoch": 2, "loss": 0.5}
    assert "from 0 seed 5 config {'lr': 0.1}" in ran.log
    assert "came to its end" in ran.log
    manifest = checkpoints.verify(Path(ran.channel.checkpoints[-1]))
    assert (manifest["t"], manifest["trial"], manifest["config"]) == (4, 17, {"lr": 0.1})


def test_a_stop_ends_it_quietly_with_its_own_cleaning_up(run):
    ran = run(TRAINING, answers={2: "stop"})
    assert (ran.outcome, ran.epochs) == ("stopped", [1, 2])
    assert "cleaned up" in ran.log
    assert "came to its end" not in ran.log
    assert "Traceback" not in ran.log


def test_a_pause_is_gone_on_from(run):
    first = run(TRAINING, answers={3: "pause"})
    assert (first.outcome, first.epochs) == ("interrupted", [1, 2, 3])
    second = run(TRAINING, attempt=2, checkpoint=first.channel.checkpoints[-1])
    assert "from 3" in second.log
    assert second.epochs == [4]


def test_who_goes_on_reporting_beyond_max_t_is_ended(run):
    ran = run(TRAINING.replace("ctx.max_t + 1", "99"), answers={4: "finish"})
    assert (ran.outcome, ran.epochs) == ("returned", [1, 2, 3, 4])
    assert "came to its end" not in ran.log


def test_who_does_not_hear_is_ended_by_force(run, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_S", 0.2)
    script = """
    import signal, sweep
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        sweep.report({"loss": 1.0})
    except BaseException as end:
        print("heard", type(end).__name__)
    while True:
        signal.pause()
    """
    ran = run(script, answers={1: "stop"})
    assert ran.outcome == "stopped"
    assert "heard ScriptEnds" in ran.log


def test_report_alone_is_enough_and_keeps_what_is_in_the_checkpoint_folder(run):
    script = """
    import pathlib, random, sys, sweep
    random.seed(1); first = random.random(); random.seed(1)
    for epoch in range(3):
        (pathlib.Path(sys.argv[1]) / "last").write_text(str(epoch))
        sweep.report({"loss": 1.0, "same": random.random() == first})
        first = None
        print("epoch=9 loss=9")
    """
    ran = run(script, "{checkpoint_dir}")
    assert ran.epochs == [1, 2, 3]
    # The first call of report doesn't seed what the script has seeded.
    assert ran.channel.reports[0]["same"] == 1
    kept = [(Path(path) / "state" / "last").read_text() for path in ran.channel.checkpoints]
    assert kept == ["0", "1", "2"]


def test_an_error_of_the_report_is_the_scripts_own(run):
    with pytest.raises(TrainingError, match="metric 'loss' is str 'low', expected a number"):
        run("import sweep; sweep.report({'loss': 'low'})")


def test_a_child_of_the_script_cannot_report(run):
    script = """
    import os, sweep
    sweep.context()
    if os.fork() == 0:
        try:
            sweep.report({"loss": 1.0})
        except Exception as error:
            print(error)
        os._exit(0)
    os.wait()
    """
    assert "a child of the script's process" in run(script).log


def test_of_the_processes_of_torchrun_the_first_speaks(run):
    script = """
    import os, subprocess, sys
    if "RANK" not in os.environ:
        ranks = [subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "RANK": str(n)}) for n in range(3)]
        sys.exit(max(rank.wait() for rank in ranks))
    import sweep
    ctx = sweep.context()
    assert ctx.is_main == (os.environ["RANK"] == "0")
    ctx.report({"loss": float(os.environ["RANK"])}, checkpoint={})
    """
    ran = run(script)
    assert [report["loss"] for report in ran.channel.reports] == [0.0]


def test_a_script_that_looks_at_batch_split_may_be_told_to_split_again(run):
    fail = "import sys, sweep; ctx = sweep.context(); {}; sys.exit('CUDA out of memory')"
    with pytest.raises(MemoryShareError):
        run(fail.format("print(ctx.batch_split)"), batch_split=2)
    with pytest.raises(TrainingError, match="the script never asks"):
        run(fail.format("0"), batch_split=2)


def test_what_it_took_of_the_gpu_is_handed_on(run, attempt, scripted):
    from sweep.core.protocols import GpuMemory
    from sweep.training.attempt import run_attempt

    class Measuring(scripted):
        measure = None

        def measured(self, memory):
            self.measure = memory

    script = """
    import sweep
    from sweep.core.protocols import GpuMemory
    from sweep.training import memory
    memory.used = lambda: GpuMemory(3, 8)
    sweep.report({"loss": 1.0})
    """
    channel = Measuring()
    run_attempt(attempt(script, gpu=1), channel)
    assert channel.measure == GpuMemory(3, 8)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ('{"kind": "leaving"}', '{"leaving": false}'),
        ('{"kind": "report", "metrics": {"epoch": 1, "loss": 2}}', '{"action": "advance", "reason": "the script says'),
        ('{"kind": "report", "metrics": {"loss": 2}}', '{"error": "metrics: epoch: expected a whole number from 1."}'),
        ('{"kind": "report", "metrics": {"epoch": 1e999}}', '{"error": "metrics: epoch: expected a whole number from'),
        ('{"kind": "report", "metrics": {"epoch": 1, "loss": "x"}}', '{"error": "metrics: loss: not a number."}'),
        ('{"kind": "report", "metrics": 3}', '{"error": "metrics is no object of names and numbers."}'),
        ('{"kind": "report", "metrics": {"epoch": 1}, "checkpoint": "/tmp"}', '{"error": "checkpoint: /tmp is no '),
        ('{"kind": "sing"}', "{\"error\": \"kind is 'sing'. Say hello, leaving, split or report.\"}"),
        ("[1]", '{"error": "expected an object of JSON on one line, got [1]"}'),
        ("{", '{"error": "expected an object of JSON on one line, got {"}'),
    ],
)  # fmt: skip
def test_any_language_can_speak(run, said, answer):
    script = f"""
    import os, socket
    line = socket.socket(socket.AF_UNIX)
    line.connect(os.environ["SWEEP_SOCKET"])
    line.sendall({said!r}.encode() + b"\\n")
    print("told", line.recv(9999).decode())
    """
    assert f"told {answer}" in run(script).log


def by_hand(script, tmp_path):
    env = {name: value for name, value in os.environ.items() if not name.startswith("SWEEP_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_by_hand_it_prints(tmp_path):
    script = """
    import sweep
    for epoch in range(2):
        sweep.report({"loss": epoch}, checkpoint={"epoch": epoch})
    """
    assert by_hand(script, tmp_path) == "loss 0  epoch 1\nloss 1  epoch 2\n"


def test_by_hand_the_context_is_what_the_script_says(tmp_path):
    script = """
    import sweep
    ctx = sweep.context({"lr": 0.5}, max_t=3, time_attr="step")
    assert ctx.restore() is None
    print(ctx.config, ctx.max_t, ctx.time_attr)
    sweep.report({"loss": 1})
    """
    assert by_hand(script, tmp_path) == "{'lr': 0.5} 3 step\nloss 1  step 1\n"


def test_where_nobody_listens_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SWEEP_SOCKET", str(tmp_path / "gone"))
    with pytest.raises(TrainingError, match=re.escape("no study listens there")):
        sweep.report({"loss": 1.0})


def test_in_a_training_function_it_is_the_functions_own_context(script, run_trial):
    entrypoint = script(
        "import sweep\ndef train(config, ctx):\n    assert sweep.context() is ctx\n    sweep.report({'loss': 3.0})\n"
    )
    assert run_trial(entrypoint, {}).reports == [{"loss": 3.0, "epoch": 1}]
