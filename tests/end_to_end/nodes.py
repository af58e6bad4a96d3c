"""A Ray of several nodes on this machine, and a study whose driver is a process of its own."""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager

DRIVER = """
import sys

import ray
ray.init(address=sys.argv[1], log_to_driver=False)
import sweep
from sweep.launching import resume
from sweep.store.paths import study_paths
import pathlib
if pathlib.Path("studies", sys.argv[2], "events.jsonl").exists():
    sweep.load(sys.argv[2]).resume(executor="ray")
else:
    sweep.launch(sys.argv[2] + ".yaml", executor="ray")
"""


@contextmanager
def cluster():
    """One whose head runs no trials."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="swr", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            # Where the dashboard's port is taken, Ray leaves the socket it tried to the garbage collector, which else
            # comes upon it in the middle of another test.
            warnings.simplefilter("ignore", ResourceWarning)
            made = Cluster(
                initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": folder, "include_dashboard": False}
            )
            gc.collect()
        try:
            yield made
        finally:
            made.shutdown()
