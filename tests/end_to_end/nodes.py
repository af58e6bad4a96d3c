"""A Ray of several nodes on this machine, and a study on it whose driver is a process of its own."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager

import processes

WALK = '''
import os, pathlib, time
import torch

def train(config, ctx):
    """A walk whose every step is random: where it comes to depends on the generator's whole past."""
    state = ctx.restore() or {"at": torch.zeros(())}
    marks = pathlib.Path(os.environ["SWEEP_TEST_MARKS"])
    for epoch in range(ctx.t + 1, ctx.max_t + 1):
        with (marks / "epochs").open("a") as file:
            file.write(f"{ctx.trial} {ctx.attempt} {epoch}\\n")
        time.sleep(config["seconds"])
        while (marks / f"hold-{ctx.trial}-{epoch}").exists():
            time.sleep(0.02)
        state["at"] = state["at"] + config["x"] * torch.randn(())
        ctx.report({"loss": float(state["at"])}, checkpoint=state)
'''

SPEC = """
name: walk
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.5, max: 1.0}}, seconds: {seconds}}}
search: {{algorithm: random, seed: 5}}
scheduler: {{type: none, max_t: {epochs}}}
budget: {{trials: {trials}}}
resources: {{cpu: 1}}
checkpoint: {{every: {every}}}
retries: {{max: 0}}
environment: {{env: {{SWEEP_TEST_MARKS: "{marks}"}}}}
"""


class Walk(processes.Study):
    """A study of walks; its own in each folder, with the same numbers wherever it runs."""

    def __init__(self, folder, *, trials, epochs=6, every=1, seconds=0.0, executor="ray", address=None):
        folder.mkdir(exist_ok=True)
        marks = folder / "marks"
        spec = SPEC.format(trials=trials, epochs=epochs, every=every, seconds=seconds, marks=marks)
        super().__init__(folder, executor, spec, name="walk")
        (folder / "train.py").write_text(WALK)
        self.more = ["--address", address] if address else []

    def launch(self):
        self.start("launch", "walk.yaml", "--yes", *self.more)

    def resume(self):
        self.start("resume", "walk", *self.more)

    def curves(self):
        """What each trial has reported, by epoch: the last word on each."""
        found = {}
        for line in self.lines("reported"):
            found[line["trial"], int(line["metrics"]["epoch"])] = line["metrics"]["loss"]
        return found

    def undisturbed(self, folder):
        """The curves of the same study, run here and now in one process."""
        spec = (self.folder / "walk.yaml").read_text()
        twin = Walk(folder, trials=0, executor="inline")
        (folder / "walk.yaml").write_text(spec.replace(str(self.marks), str(twin.marks)))
        twin.launch()
        assert twin.ended() == 0, twin.output()
        return twin.curves()


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


def kill(node):
    """-9 to a node's raylet: its workers go with it."""
    for process in node.all_processes["raylet"]:
        os.kill(process.process.pid, signal.SIGKILL)


def announce(cluster, node, seconds):
    """What a cloud's notice becomes: the node will be taken back so soon."""
    subprocess.run(
        [
            sys.executable, "-m", "ray.scripts.scripts", "drain-node", f"--address={cluster.address}",
            f"--node-id={node.node_id}", "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot",
            f"--deadline-remaining-seconds={seconds}",
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
