"""An object store on this machine: moto's server, in a process of its own that pytest starts and ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import deque
from contextlib import contextmanager

BUCKET = "sweep-tests"

# One request after the other: moto looks whether a condition holds and then writes, and two at once may both find that
# it does. A real store doesn't.
SERVER = """
import threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
store, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_by_one(environ, start_response):
    with lock:
        return store(environ, start_response)
run_simple("127.0.0.1", 0, one_by_one, threaded=True)
"""


@contextmanager
def serving():
    """What an environment needs to reach the store, in which there is one bucket."""
    server = subprocess.Popen(
        [sys.executable, "-u", "-c", SERVER],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        head = deque(maxlen=20)
        for line in server.stderr:
            head.append(line)
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError("moto's server ended: " + "".join(head))
        # Nobody reads on: a full pipe would stop it.
        drain = threading.Thread(target=lambda: deque(server.stderr, maxlen=0), daemon=True)
        drain.start()
        settings = {
            "AWS_ENDPOINT_URL": found[1],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        _make(settings)
        yield settings
    finally:
        server.kill()
        server.wait()
        drain.join()
        server.stderr.close()


def _make(settings):
    """A bucket is made by a request that obstore has no words for."""
    import urllib.request

    request = urllib.request.Request(f"{settings['AWS_ENDPOINT_URL']}/{BUCKET}", method="PUT", data=b"")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
