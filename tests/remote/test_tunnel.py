"""The way to a cluster's dashboard through SSH, which ends with its use."""

import os
import time
from pathlib import Path

import pytest

from sweep.errors import InputError
from sweep.remote import tunnel as module
from sweep.remote.tunnel import tunnel

RAY = """#!/bin/sh
# As `ray dashboard` does: the tunnel is a child of its own.
sleep 600 &
echo $! > PIDS.new && mv PIDS.new PIDS
wait
"""


def wait_for(look, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_ssh_ends_with_the_verb_that_it_was_for(tmp_path, monkeypatch):
    cluster, ray, pids = tmp_path / "cluster.yaml", tmp_path / "ray", tmp_path / "pids"
    cluster.write_text("cluster_name: c\n")
    ray.write_text(RAY.replace("PIDS", str(pids)))
    ray.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(ray))
    with tunnel(cluster) as address:
        assert address.startswith("http://127.0.0.1:")
        ssh = int(wait_for(lambda: pids.is_file() and pids.read_text()))
        assert lives(ssh)
    try:
        wait_for(lambda: not lives(ssh), seconds=10)
    finally:
        if lives(ssh):
            os.kill(ssh, 9)


def test_cluster_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="there is no cluster file"), tunnel(tmp_path / "none.yaml"):
        pass
