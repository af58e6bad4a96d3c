"""The dashboard of a cluster that `ray up` has made, brought here through SSH."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep.errors import InputError


@contextmanager
def tunnel(cluster: Path) -> Iterator[str]:
    """The address of the cluster's dashboard on this machine, while inside.

    Args:
        cluster: the file that `ray up` was given.

    Raises:
        InputError: there is no such file.
    """
    if not cluster.is_file():
        raise InputError(f"address: there is no cluster file {cluster}.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "dashboard", str(cluster), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        # The tunnel itself is a child of Ray's, and would outlive it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
