"""A script that knows nothing of sweep: what it prints becomes reports, what it writes checkpoints."""

import json
import re
from pathlib import Path

import pytest

from sweep.errors import MemoryShareError, TrainingError
from sweep.store import checkpoints
from sweep.training.scripts import folder, supervisor, surroundings

COUNTING = """
import sys
for epoch in range(1, 5):
    print(f"epoch={epoch} loss={1 / epoch}")
print("done", file=sys.stderr)
"""

# Keeps one number, saved before it is reported, and is held up there for a moment.
KEEPING = """
import pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
file = pathlib.Path(sys.argv[1]) / "deep" / "last.txt"
start = int(file.read_text()) if file.exists() else 0
file.parent.mkdir(exist_ok=True)
print("from", start)
for epoch in range(start + 1, 5):
    file.write_text(str(epoch))
    print(f"epoch={epoch} loss={1 / epoch}")
    if epoch < 4:
        signal.sigwait([signal.SIGCONT])
"""


def test_each_line_of_metrics_is_a_report_and_all_output_is_in_the_log(run):
    ran = run(COUNTING)
    assert ran.outcome == "returned"
    assert ran.channel.reports == [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 5)]
    first, *lines = [line.partition(" ")[2] for line in ran.log.splitlines()]
    assert first.endswith("script.py")
    assert [line for line in lines if "=" in line or line == "done"] == [
        *(f"epoch={epoch} loss={1 / epoch}" for epoch in range(1, 5)),
        "done",
    ]


def test_words_environment_and_files_say_what_to_train(run, tmp_path):
    script = """
    import json, os, sys
    told = {k: v for k, v in os.environ.items() if k.startswith(("SWEEP_", "A_", "CUDA", "OMP"))}
    print(json.dumps([sys.argv[1:], told, json.load(open(os.environ["SWEEP_CONFIG"])), os.getcwd()]))
    """
    words = ("{args}", "--seed={seed}", "--n={max_t}", "{config_file}", "{checkpoint_dir}", "{device}{gpus}{cpus}")
    config = {"lr": 0.1, "opt": {"name": "sgd"}, "fast": True}
    ran = run(script, *words, config=config, env={"A_B": "c"}, cpu=2.5)
    argv, env, told, cwd = json.loads(ran.log.splitlines()[1].partition(" ")[2])
    files = Path(env["SWEEP_CHECKPOINT_DIR"])
    assert argv == [
        "--lr=0.1",
        "--opt.name=sgd",
        "--fast",
        "--seed=5",
        "--n=4",
        env["SWEEP_CONFIG"],
        str(files),
        "cpu02",
    ]
    assert told == config
    assert cwd == str(tmp_path / "work")
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    wanted = {"A_B": "c", "OMP_NUM_THREADS": "2", "SWEEP_STUDY": "test", "SWEEP_TRIAL": "17", "SWEEP_ATTEMPT": "1",
              "SWEEP_SEED": "5", "SWEEP_MAX_T": "4", "SWEEP_T": "0", "SWEEP_GPU": "0"}  # fmt: skip
    assert wanted.items() <= env.items()
    # They are the attempt's, and go with it.
    assert not files.parent.exists()


def test_a_stop_ends_it_and_what_it_prints_then_counts_for_nothing(run):
    ran = run("import signal\n" + COUNTING + "\nsignal.pause()", answers={2: "stop"})
    assert (ran.outcome, ran.epochs) == ("stopped", [1, 2])


def test_the_last_report_waits_for_the_end_so_that_what_is_saved_after_it_is_kept(run):
    script = COUNTING + "\nopen(sys.argv[1] + '/model.bin', 'w').write('weights')\n"
    ran = run(script, "{checkpoint_dir}", answers={4: "finish"})
    assert (ran.outcome, ran.epochs) == ("returned", [1, 2, 3, 4])
    kept = Path(ran.channel.checkpoints[-1])
    assert (kept / "state" / "model.bin").read_text() == "weights"
    manifest = checkpoints.verify(kept)
    assert (manifest["t"], manifest["trial"], manifest["metrics"]["loss"]) == (4, 17, 0.25)


def test_a_single_value_at_the_end_is_enough(run):
    ran = run("print('loss = 0.125')", max_t=1, answers={1: "finish"})
    assert (ran.outcome, ran.channel.reports) == ("returned", [{"epoch": 1, "loss": 0.125}])


def test_who_goes_on_beyond_max_t_is_ended(run):
    script = (
        "import itertools, time\nfor n in itertools.count(1):\n    print(f'epoch={n} loss=1')\n    time.sleep(0.01)"
    )
    ran = run(script, answers={4: "finish"})
    assert (ran.outcome, ran.epochs) == ("returned", [1, 2, 3, 4])


def test_who_never_ends_after_max_t_is_ended_after_a_while(run, monkeypatch):
    monkeypatch.setattr(supervisor, "FINISH_S", 0.2)
    monkeypatch.setattr(supervisor, "FACTOR", 0.0)
    ran = run(COUNTING + "\nimport signal; signal.pause()", answers={4: "finish"})
    assert (ran.outcome, ran.epochs) == ("returned", [1, 2, 3, 4])


def test_a_trial_goes_on_from_the_files_that_it_left(run):
    first = run(KEEPING, "{checkpoint_dir}", answers={2: "pause"})
    assert (first.outcome, first.epochs) == ("interrupted", [1, 2])
    kept = first.channel.checkpoints[-1]
    second = run(KEEPING, "{checkpoint_dir}", attempt=2, checkpoint=kept)
    assert "from 2" in second.log
    assert (second.outcome, second.epochs) == ("returned", [3, 4])


def test_who_counts_from_zero_does_so_in_the_next_attempt_too(run):
    script = KEEPING.replace("epoch={epoch}", "epoch={epoch - 1}")
    first = run(script, "{checkpoint_dir}", answers={2: "pause"})
    second = run(script, "{checkpoint_dir}", attempt=2, checkpoint=first.channel.checkpoints[-1])
    assert (first.epochs, second.epochs) == ([1, 2], [3, 4])


def test_checkpoints_are_made_when_they_are_due(run):
    ran = run(KEEPING, "{checkpoint_dir}", checkpoint_every=2, saved=(3,))
    assert [path and Path(path).name for path in ran.channel.checkpoints] == [None, "epoch-2", "epoch-3", "epoch-4"]


def test_a_file_that_is_being_written_is_waited_for(run):
    script = """
    import sys, time
    with open(sys.argv[1] + "/big", "w") as file:
        file.write("half"); file.flush()
        print("epoch=1 loss=1")
        time.sleep(0.5)
        file.write(" and half")
    sys.stdin.read()
    """
    ran = run(script, "{checkpoint_dir}")
    assert (Path(ran.channel.checkpoints[0]) / "state" / "big").read_text() == "half and half"


def test_a_folder_that_never_comes_to_rest_is_told_of(run, monkeypatch):
    monkeypatch.setattr(folder, "SETTLE_S", 0.2)
    script = """
    import itertools, signal, sys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with open(sys.argv[1] + "/big", "w") as file:
        print("epoch=1 loss=1")
        while True:
            file.write("x"); file.flush()
    """
    ran = run(script, "{checkpoint_dir}", answers={1: "stop"})
    assert ran.channel.checkpoints == [None]
    assert "epoch 1: no checkpoint: the files in its checkpoint folder kept changing" in ran.log


def test_a_failure_tells_the_status_and_the_last_lines(run):
    with pytest.raises(TrainingError) as caught:
        run(COUNTING.replace("5", "2") + "\nraise ValueError('lr was a fish')")
    text = str(caught.value)
    assert text.startswith("Trial 17, attempt 1, epoch 2: the script ended with status 1. Its last lines:\n")
    assert text.endswith("\nValueError: lr was a fish")
    assert "supervisor.py" not in caught.value.log
    assert "ValueError: lr was a fish" in caught.value.log


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL, as the kernel sends when memory runs out",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "signal 15. It printed nothing."),
        ("raise SystemExit(3)", "status 3. It printed nothing."),
    ],
)
def test_how_it_ended_is_told(run, script, told):
    with pytest.raises(TrainingError, match=re.escape(told)):
        run(script)


def test_a_program_that_cannot_be_started_is_a_failure_in_words(run):
    with pytest.raises(TrainingError, match=r"no-such-program x could not be started: .*No such file"):
        run("", command=("no-such-program", "x"))


def test_a_failure_before_the_last_report_is_delivered_is_one(run):
    with pytest.raises(TrainingError) as caught:
        run(COUNTING + "\nraise SystemExit(1)", answers={4: "finish"})
    assert [report["epoch"] for report in caught.value.channel.reports] == [1, 2, 3]


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "gpu_memory"),
        ("RuntimeError: CUDA error: out of memory", "gpu_memory"),
        ("MemoryError", "host_memory"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "host_memory"),
    ],
)
def test_memory_that_ran_out_is_seen_in_the_last_words(run, words, memory):
    with pytest.raises(MemoryShareError) as caught:
        run(f"import sys; sys.exit({words!r})")
    assert caught.value.memory == memory


def test_a_batch_that_is_to_be_split_needs_a_script_that_asks(run):
    script = "import sys; sys.exit('CUDA out of memory')"
    with pytest.raises(TrainingError, match="the script never asks") as caught:
        run(script, batch_split=2)
    assert not isinstance(caught.value, MemoryShareError)
    with pytest.raises(MemoryShareError):
        run(script, "--split={batch_split}", batch_split=2)


@pytest.mark.parametrize(
    ("gpu", "mask", "seen", "cap"),
    [
        (0, None, "", None),
        (1, None, "0", None),
        (2, None, "0,1", None),
        (2, "3,5,7", "3,5", None),
        (0.5, "4", "4", "per_process_memory_fraction:0.4"),
    ],
)
def test_it_sees_its_gpus_and_no_more_of_one_than_its_share(attempt, monkeypatch, *, gpu, mask, seen, cap):
    monkeypatch.setattr(surroundings, "_gpu_bytes", lambda: 5 * 2**30)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    placed = attempt("", gpu=gpu, device="auto")
    env = surroundings.environment(placed, folder.ScriptFolder(placed), Path("socket"))
    assert env["CUDA_VISIBLE_DEVICES"] == seen
    if cap is None:
        assert "PYTORCH_CUDA_ALLOC_CONF" not in env
    else:
        assert env["PYTORCH_CUDA_ALLOC_CONF"].startswith(cap)


@pytest.mark.parametrize("name", ["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_what_the_user_says_of_the_allocator_stays(attempt, monkeypatch, tmp_path, name):
    monkeypatch.setattr(surroundings, "_gpu_bytes", lambda: 5 * 2**30)
    placed = attempt("", gpu=0.5, device="auto", env={name: "expandable_segments:True"})
    env = surroundings.environment(placed, folder.ScriptFolder(placed), tmp_path / "socket")
    assert env[name] == "expandable_segments:True,per_process_memory_fraction:0.4000"


def test_torch_reads_the_cap_that_it_is_given():
    import torch

    torch._C._accelerator_setAllocatorSettings("per_process_memory_fraction:0.4000")


def test_the_files_of_a_killed_attempt_are_removed_by_the_next(run, tmp_path):
    left = tmp_path / "trial" / "attempt-1.files" / "checkpoint"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    ran = run("import os, sys; print(os.listdir(sys.argv[1]))", "{checkpoint_dir}", attempt=2)
    assert "[]" in ran.log
    assert sorted(path.name for path in (tmp_path / "trial").iterdir()) == ["attempt-2.log", "tensorboard"]
