"""A folder of studies that the nodes don't share is noticed before the first trial: real nodes, real mounts."""

import subprocess
import sys

import nodes
import pytest

TRAIN = """
def train(config, ctx):
    ctx.restore()
    for epoch in range(ctx.t + 1, ctx.max_t + 1):
        ctx.report({"loss": config["x"]}, checkpoint=lambda: {"x": config["x"]})
"""
SPEC = """
name: apart
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
search: {algorithm: random, seed: 0}
scheduler: {type: none, max_t: 2}
budget: {trials: 2}
"""
# A file system of its own for one process and its children, as each machine has one that mounts nothing.
APART = ["unshare", "--mount", "bash", "-ec", 'mount -t tmpfs tmpfs "$0"; exec "$@"']


def _apart(folder):
    return [*APART, str(folder)]


def _can_be_apart():
    tried = subprocess.run([*_apart("/mnt"), "true"], check=False, capture_output=True, text=True)
    return tried.returncode == 0


pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(not _can_be_apart(), reason="a folder can't be mounted for one process here: needs root"),
]


@pytest.fixture(scope="module")
def cluster():
    """A head without cores, where drivers are, and a worker."""
    with nodes.cluster() as made:
        made.add_node(num_cpus=2)
        yield made.address


@pytest.fixture
def launch(cluster, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "apart.yaml").write_text(SPEC)
    (tmp_path / "studies").mkdir()

    def run(*, before=(), executor="ray"):
        words = [sys.executable, "-m", "sweep", "launch", "apart.yaml", "--yes", "--address", cluster]
        return subprocess.run(
            [*before, *words, "--executor", executor], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("executor", ["ray", "tune"])
def test_a_folder_that_a_node_does_not_share_is_refused_by_its_name_and_the_nodes(launch, executor, tmp_path):
    done = launch(before=_apart(tmp_path / "studies"), executor=executor)
    assert done.returncode == 2, done.stdout + done.stderr
    told = " ".join(done.stderr.split())
    assert f"storage: {tmp_path}/studies on " in told
    assert "Mount one folder on all nodes" in told
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "studies").iterdir()) == [], "nothing is left on the nodes"


def test_a_folder_that_all_share_is_used_and_no_marker_stays(launch, tmp_path):
    done = launch()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["apart"]
