"""A cluster elsewhere: a Ray head with a home and a token of its own, reached at its dashboard's address only."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

START_S = 90


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def head(token):
    """Start one and end its processes; yields its address and its home."""
    with tempfile.TemporaryDirectory(prefix="swh", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with headed(token, home) as (address, _):
            yield address, home


@contextmanager
def headed(token, home):
    """Start one with this home, where an earlier one may have left a study; yields its address, and what ends it."""
    names = ["port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port", "metrics-export-port"]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    with tempfile.TemporaryDirectory(prefix="swh", ignore_cleanup_errors=True) as folder:
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
            f"--temp-dir={folder}/t", "--num-cpus=2", "--num-gpus=0", "--object-store-memory=100000000",
            "--disable-usage-stats", *(f"--{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        bin_folder = str(Path(sys.executable).parent)
        environment = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
        environment.pop("RAY_ADDRESS", None)
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
        try:
            deadline = time.monotonic() + START_S
            while not re.search(r"block forever", log.read_text()):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"no Ray head came up:\n{log.read_text()}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{ports['dashboard-port']}", lambda: _end_group(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            _end_group(process.pid)
            process.wait()


def _end_group(group):
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
