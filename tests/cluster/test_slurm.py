"""The Slurm script is plain bash, starts Ray on all nodes with a token of its own, and leaves nothing behind.

Slurm's and Ray's commands are replaced by small ones that write down how they were called.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm.sh"

# `srun` runs the command here, once; Ray's head listens at its port until it is told to end.
COMMANDS = {
    "scontrol": 'echo "scontrol $*" >> "$LOG"; [[ $1 == show ]] && printf "n1\\nn2\\n" || true',
    "hostname": "echo 127.0.0.1 10.9.9.9",
    "srun": """
echo "srun $*" >> "$LOG"
while [[ $1 == --* ]]; do shift; done
exec "$@"
""",
    "ray": """
file=$RAY_AUTH_TOKEN_PATH
echo "ray $* mode=$RAY_AUTH_MODE token=$(cat "$file") perm=$(stat -c %a "$file")" >> "$LOG"
[[ $* == *--head* ]] && exec {python} -c '
import socket, sys
port = next(one for one in sys.argv if one.startswith("--port=")).removeprefix("--port=")
server = socket.create_server(("127.0.0.1", int(port)))
while True:
    server.accept()
' "$@"
exec sleep 600
""",
    "sweep": """
echo "sweep $* storage=$SWEEP_STORAGE registry=$SWEEP_REGISTRY" >> "$LOG"
[[ -z ${HOLD:-} ]] && exit "${STATUS:-0}"
trap 'echo "sweep told" >> "$LOG"; kill %1; exit 130' TERM
sleep 600 &
echo "sweep holds" >> "$LOG"
wait
""",
    "python": 'exec {python} "$@"',
}  # fmt: skip
RAY = """
def init(**options):
    pass


def nodes():
    return [{"Alive": True}, {"Alive": True}]
"""


@pytest.fixture
def slurm(tmp_path):
    """Starts the script as a job of two nodes; gives the process and the file of calls."""
    commands, home = tmp_path / "bin", tmp_path / "home"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "ray.py").write_text(RAY)
    commands.mkdir()
    home.mkdir()
    for name, text in COMMANDS.items():
        (commands / name).write_text("#!/usr/bin/env bash\n" + text.replace("{python}", sys.executable))
        (commands / name).chmod(0o755)
    log = tmp_path / "log"
    log.touch()
    started = []

    def start(*arguments, **variables):
        # A number of this test process's own, and so ports that no other one takes.
        job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}
        job |= {"SLURM_CPUS_PER_TASK": "32", "SLURM_GPUS_ON_NODE": "4", "SLURM_SUBMIT_DIR": str(tmp_path)}
        path = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(home), "LOG": str(log)}
        env = {**path, **job, "PYTHONPATH": str(tmp_path / "lib"), **variables}
        process = subprocess.Popen(
            ["bash", str(SCRIPT), *arguments], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        started.append(process)
        return process, log, home

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


def wait_for(log, words):
    ends = time.monotonic() + 60
    while words not in log.read_text():
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.05)


def test_the_script_is_right_for_bash():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    assert SCRIPT.stat().st_mode & stat.S_IXUSR


def test_shellcheck_finds_nothing():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (apt-get install shellcheck): the script's style is unchecked")
    subprocess.run(["shellcheck", str(SCRIPT)], check=True)


def test_head_workers_and_study_start_with_one_token(slurm):
    """Both kinds of node have the mode and the same secret; the dashboard is on loopback; options go to the launch."""
    process, log, home = slurm("vit.yaml", "--set", "budget.trials=3")
    assert ended(process) == (0, "")
    calls = log.read_text().splitlines()
    starts = [call for call in calls if call.startswith("ray start --block")]
    head = [call for call in starts if "--head " in call]
    (worker,) = [call for call in starts if "--address=127.0.0.1:" in call]
    assert len(head) == 1
    assert "--dashboard-host=127.0.0.1" in head[0]
    assert all("--num-cpus=32 --num-gpus=4" in start and "mode=token" in start for start in starts)
    tokens = {start.split("token=")[-1] for start in starts}
    (token,) = tokens
    assert len(token.split()[0]) == 64
    assert token.endswith("perm=600")
    port = worker.split("--address=127.0.0.1:")[1].split()[0]
    (study,) = [call for call in calls if call.startswith("sweep")]
    assert study.startswith(f"sweep launch vit.yaml --set budget.trials=3 --address 127.0.0.1:{port} --yes")
    assert f"storage={log.parent}/studies registry={log.parent}/registry" in study
    assert [call for call in calls if call.startswith("srun") and "--nodes=1 --ntasks=1 --exclude=n1" in call]
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("status", ["1", "2"])
def test_the_studys_exit_code_is_the_jobs(slurm, status):
    """And the secret is gone."""
    process, _, home = slurm("vit.yaml", STATUS=status)
    assert ended(process)[0] == int(status)
    assert list(home.iterdir()) == []


def test_a_job_near_its_end_lets_trials_end_and_is_queued_again(slurm):
    """Slurm's USR1 reaches the study as TERM; when that has ended, the job goes back to the queue."""
    process, log, home = slurm("vit.yaml", HOLD="1")
    wait_for(log, "sweep holds")
    process.send_signal(signal.SIGUSR1)
    code, text = ended(process)
    assert code == 130
    assert "queued again" in text
    assert "sweep told" in log.read_text()
    assert f"scontrol requeue {os.getpid()}" in log.read_text()
    assert list(home.iterdir()) == []


def test_an_interrupted_job_is_not_queued_again(slurm):
    """By hand, scancel means the end."""
    process, log, _ = slurm("vit.yaml", HOLD="1")
    wait_for(log, "sweep holds")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 130
    assert "requeue" not in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ((), {}, "which search file?"),
        (("vit.yaml",), {"SLURM_JOB_ID": ""}, "run it by sbatch"),
        (("vit.yaml",), {"PATH": "/usr/bin:/bin"}, "no sweep on this node; set SWEEP_ACTIVATE"),
    ],
)
def test_what_is_missing_is_said(slurm, arguments, variables, words):
    """Before anything starts."""
    process, log, _ = slurm(*arguments, **variables)
    code, text = ended(process)
    assert code != 0
    assert words in text
    assert "ray" not in log.read_text()
