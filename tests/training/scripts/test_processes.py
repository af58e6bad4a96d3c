"""No process of a script outlives its attempt, whoever ends or dies."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from sweep.errors import EntrypointError
from sweep.training.scripts import supervisor
from sweep.training.scripts.checking import check

# A script that nothing but SIGKILL ends, with a child in its group and one that has left it.
STUBBORN = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def stay(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / name).write_text(str(os.getpid()))
    while True:
        signal.pause()
if os.fork() == 0:
    stay("child")
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    stay("daemon")
while len(list(folder.iterdir())) < 2:
    time.sleep(0.01)
print("epoch=1 loss=1")
stay("script")
"""


def pids(folder):
    return [int(file.read_text()) for file in folder.iterdir()]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(done, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.fixture
def marks(tmp_path):
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def test_a_stop_ends_whatever_the_script_has_started(run, marks, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_S", 0.2)
    ran = run(STUBBORN, str(marks), answers={1: "stop"})
    assert ran.outcome == "stopped"
    assert len(pids(marks)) >= 2
    assert not any(map(alive, pids(marks)))


def test_what_it_leaves_in_the_background_ends_with_it(run, marks):
    ran = run(STUBBORN.replace('stay("script")', "sys.exit()"), str(marks))
    assert ran.outcome == "returned"
    assert len(pids(marks)) == 2
    assert not any(map(alive, pids(marks)))


def test_sigterm_comes_first_and_may_be_used_to_clean_up(run):
    script = """
    import signal, sys, time
    def leave(*_):
        print("cleaned up")
        sys.exit(1)
    signal.signal(signal.SIGTERM, leave)
    print("epoch=1 loss=1")
    signal.pause()
    """
    ran = run(script, answers={1: "stop"})
    assert ran.outcome == "stopped"
    assert "cleaned up" in ran.log


def test_an_interrupt_of_the_supervisor_ends_the_script(run, marks, scripted, monkeypatch):
    def report(self, metrics, checkpoint):
        raise KeyboardInterrupt

    monkeypatch.setattr(scripted, "report", report)
    with pytest.raises(KeyboardInterrupt):
        run(STUBBORN, str(marks))
    assert not any(map(alive, pids(marks)))


@pytest.mark.parametrize("frozen", [False, True])
def test_when_the_worker_is_killed_the_script_and_its_children_die(attempt, marks, tmp_path, frozen):
    placed = attempt(STUBBORN, str(marks))
    code = """
    import json, os, signal, sys
    from sweep.core.protocols import Placement
    from sweep.training.attempt import run_attempt
    told = json.loads(sys.argv[1])
    class Channel:
        def report(self, metrics, checkpoint):
            if sys.argv[2] == "True":
                import ctypes
                group = int(open(sys.argv[3] + "/child").read())
                os.killpg(os.getpgid(group), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGKILL)
    lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    run_attempt(Placement(**{**told, **lists}), Channel())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), json.dumps(asdict(placed)), str(frozen), str(marks)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: len(pids(marks)) >= 2 and not any(map(alive, pids(marks))))


def test_a_guard_that_is_killed_takes_the_script_with_it(run, marks):
    script = """
    import os, pathlib, signal, sys
    (pathlib.Path(sys.argv[1]) / "script").write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
    """
    with pytest.raises(Exception, match="its guard was killed"):
        run(script, str(marks))
    wait_until(lambda: not any(map(alive, pids(marks))))


def test_nothing_of_an_attempt_stays_open(run):
    run("print('epoch=1 loss=1')")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for attempt in range(2, 5):
        run("print('epoch=1 loss=1')", attempt=attempt)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["{python}", "gone.py"], "command: there is no file .*gone.py. A script is looked for from the working"),
        (["{python}", "wrong.py"], "command: .*wrong.py, line 1: "),
        (["{python}", "-m", "no_such_module.x"], "command: no module no_such_module.x"),
        (["no-such-program"], "command: there is no program no-such-program on this machine"),
        (["train.py"], r"no program train.py on this machine. Write: \{python\} train.py"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(tmp_path, command, told):
    (tmp_path / "wrong.py").write_text("def (")
    with pytest.raises(EntrypointError, match=told):
        check(command, tmp_path)


@pytest.mark.parametrize(
    "command",
    ["python right.py {args}", "{python} -u right.py", "./tool {args}", "sh -c 'exit'", "{python} -m json.tool"],
)
def test_what_can_be_run_is_not(tmp_path, command):
    (tmp_path / "right.py").write_text("raise SystemExit('not now')")
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    check(command, tmp_path)
