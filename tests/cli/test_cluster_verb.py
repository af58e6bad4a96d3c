"""`sweep cluster check`, as typed."""

import json
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "cluster"
# Beside the small study of these tests: a quarter of a GPU for each of 40 trials, in ten minutes.
SPEC = "quarter.yaml"


@pytest.fixture(autouse=True)
def quarter(folder):
    """A search file whose trials share GPUs."""
    text = (folder / "toy.yaml").read_text()
    text = text.replace("budget: {trials: 4}", "budget: {trials: 40, time: 10m}")
    (folder / SPEC).write_text(text.replace("resources: {cpu: 1}", "resources: {gpu: 0.25, cpu: 1}"))


def test_a_right_file_says_what_a_study_gets(sweep):
    """Trials at once at the start and at most, the machines, the price; examples still to fill in go to stderr."""
    done = sweep("cluster", "check", str(CLUSTER / "gpu.yaml"), "--for", SPEC)
    assert done.code == 0
    assert "gpu.yaml: right, with" in done.out
    assert "at the start  4 trials at once on head, 1 gpu-1: 1.00 USD an hour" in done.out
    assert "cost          at most 1.83 USD in the 10m of budget.time" in done.out
    assert "docker.image: example.com is the example's" in done.err


def test_problems_of_all_files_are_told_with_exit_code_2(sweep, folder):
    """Each with file, line and key."""
    text = (CLUSTER / "gpu.yaml").read_text()
    (folder / "a.yaml").write_text(text.replace("g6.xlarge", "g6.xlargo"))
    (folder / "b.yaml").write_text(text.replace("127.0.0.1", "0.0.0.0"))
    done = sweep("cluster", "check", "a.yaml", "b.yaml")
    assert done.code == 2
    line = 1 + next(number for number, row in enumerate(text.splitlines()) if "InstanceType: g6.xlarge" in row)
    assert f"a.yaml:{line}:21: available_node_types.gpu-1.node_config.InstanceType: EC2 has no 'g6.xlargo'" in done.err
    assert "b.yaml:" in done.err
    assert "0.0.0.0 opens it to every network" in done.err
    assert "fine" not in done.out


def test_json_has_all_of_it(sweep):
    """One entry a file."""
    done = sweep("cluster", "check", str(CLUSTER / "kuberay.yaml"), "--for", SPEC, "--json")
    (found,) = json.loads(done.out)
    assert (done.code, found["kind"], found["problems"]) == (0, "kuberay", [])
    (cluster,) = found["clusters"]
    assert cluster["at_start"] == {"nodes": {"head": 1, "gpu-1": 1, "gpu-4": 0}, "trials": 4, "usd_per_hour": 0.988}
    assert cluster["node_types"][1]["spot"] is True


def test_a_study_that_fits_nowhere_is_refused(sweep):
    """By the cluster's name, with what to do."""
    done = sweep("cluster", "check", str(CLUSTER / "gpu.yaml"), "--for", SPEC, "--set", "resources.gpu=8")
    assert done.code == 2
    assert "sweep-gpu: resources.gpu: a trial asks for 8 GPUs, and no node has more than 4. Lower it" in done.err


def test_machines_of_ones_own_must_be_told(sweep, folder):
    """`local` names no machines: without their resources --for has no answer."""
    text = (CLUSTER / "onprem.yaml").read_text()
    (folder / "own.yaml").write_text(text[: text.index("metadata:")])
    assert sweep("cluster", "check", "own.yaml").code == 0
    done = sweep("cluster", "check", "own.yaml", "--for", SPEC)
    assert done.code == 2
    assert "says nowhere what its machines have" in done.err


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_no_file_is_told(sweep, name):
    """Neither a missing one nor a folder."""
    done = sweep("cluster", "check", name)
    assert done.code == 2
    assert f"{name}: " in done.err
