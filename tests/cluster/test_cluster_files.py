"""The cluster files are accepted by Ray, closed to strangers, and say what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sweep.cluster.check import check_file
from sweep.cluster.images import Versions
from sweep.cluster.ray_schema import prepared as as_ray_completes
from sweep.cluster.reading import read, texts
from sweep.cluster.remarks import Remarks

FOLDER = Path(__file__).parents[2] / "cluster"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))
LAUNCHER = [name for name in FILES if name != "kuberay.yaml"]
CLOUDS = [name for name in LAUNCHER if name != "onprem.yaml"]
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"


def comments(name):
    """A file's text as one line, without the marks of comments and of lines that go on."""
    return " ".join((FOLDER / name).read_text().replace("\n#", "").replace("\\", "").split())


@pytest.fixture(scope="module")
def prepared():
    """Each file as Ray completes it."""
    found = {}
    for name in LAUNCHER:
        (document,), _ = read((FOLDER / name).read_text(), name)
        found[name] = as_ray_completes(document.data, Remarks(document))
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_cluster_file_passes_every_check(name):
    """Ray accepts the file, strangers stay out, and the cloud's API knows its fields; only its examples are doubted."""
    report = check_file(FOLDER / name, own=Versions(ray="2.60.0", python="3.12"))
    assert report.problems == []
    assert report.fleets
    assert [str(doubt) for doubt in report.doubts if "is the example's" not in str(doubt)] == []


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_node_starts_with_the_token(prepared, name):
    """In what Ray will run, each `ray start` of head and workers has the token mode set before it."""
    starts = [c for key in (HEAD, WORKER) for c in prepared[name][key] if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command.split("ray start")[0] for command in starts)
    assert prepared[name]["file_mounts"]["~/.ray"] == "~/.ray"


@pytest.mark.parametrize("name", LAUNCHER)
def test_the_dashboard_stays_on_loopback(prepared, name):
    """In what Ray will run, the head names loopback, and no text anywhere is the address of all networks."""
    assert [c.count("--dashboard-host=127.0.0.1") for c in prepared[name][HEAD] if "ray start" in c] == [1]
    assert not [where for where, text in texts(prepared[name]) if "0.0.0.0" in text]
    assert "0.0.0.0" not in (FOLDER / name).read_text()


@pytest.mark.parametrize("name", CLOUDS)
def test_gpu_workers_are_spot_and_all_but_one_leave_when_idle(prepared, name):
    """The head is bought on demand without a GPU; each worker type has GPUs and is spot; one worker stays.

    A launch counts the machines that are up, and this head has no cores.
    """
    (_, fleet), *_ = check_file(FOLDER / name).fleets
    head, *workers = fleet.types
    assert (head.head, head.gpu, head.cpu, head.spot) == (True, 0, 0, False)
    assert [(kind.gpu, kind.spot, kind.least) for kind in workers] == [(1, True, 1), (4, True, 0)]
    assert prepared[name]["idle_timeout_minutes"] <= 10


@pytest.mark.parametrize("name", CLOUDS)
def test_the_cost_in_the_comment_is_that_of_the_prices(name):
    """The least and the most that a file may cost an hour, as its head says, follow from its prices and limits."""
    (_, fleet), *_ = check_file(FOLDER / name).fleets
    least = sum(kind.usd_per_hour * kind.least for kind in fleet.types)
    most = sum(kind.usd_per_hour * kind.most for kind in fleet.types)
    assert f"at the least {least:.3f} USD" in comments(name)
    assert f"= {most:.2f} USD" in comments(name)


@pytest.mark.parametrize("name", LAUNCHER)
def test_the_command_at_the_head_is_one_that_works(name):
    """A launch names this file, and where it doesn't say what holds the studies, folders that all nodes share."""
    launch = f"sweep launch search_spaces/vit.yaml --address cluster/{name} --detach"
    folders = " --set storage=/shared/studies --set promote.registry=/shared/registry"
    assert launch + (folders if name == "onprem.yaml" else "") in comments(name)


@pytest.mark.parametrize(
    ("name", "scheme", "role"), [("gpu.yaml", "s3", "IamInstanceProfile"), ("gcp.yaml", "gs", "serviceAccounts")]
)
def test_studies_of_a_cloud_go_to_a_bucket_which_workers_reach_by_a_role(prepared, name, scheme, role):
    """On no machine's own disk; and no key is in the file."""
    options = " ".join(prepared[name]["docker"]["run_options"])
    for variable in ("SWEEP_STORAGE", "SWEEP_REGISTRY"):
        assert re.search(rf"--env {variable}={scheme}://[a-z]", options)
    assert not re.search(r":/(studies|registry)\b", options)
    (copies,) = re.findall(r"--env SWEEP_BUCKET_CACHE=(\S+)", options)
    assert re.search(rf"--volume \S+:/{copies.split('/')[1]}\b", options), "copies are on the machine's own disk"
    kinds = prepared[name]["available_node_types"]
    assert all(role in kind["node_config"] for each, kind in kinds.items() if each != "head")
    assert not re.search(r"ACCESS_KEY|SECRET|CREDENTIALS", (FOLDER / name).read_text())


def test_local_machines_are_all_in_the_cluster(prepared):
    """On-premise, every address listed is a worker that is kept."""
    config = prepared["onprem.yaml"]
    (node_type,) = config["available_node_types"].values()
    assert node_type["min_workers"] == config["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", FILES)
def test_what_the_user_must_fill_in_is_marked(name):
    """Each example value stands at, or close below, a line that says CHANGE."""
    report = check_file(FOLDER / name)
    lines = (FOLDER / name).read_text().splitlines()
    examples = {doubt.mark.line for doubt in report.doubts if "is the example's" in str(doubt)}
    assert examples
    assert [line for line in lines if "CHANGE" in line]
    repeated = 40  # a second node type's, of which the first one's comment says so
    assert not [
        line for line in examples if not any("CHANGE" in text for text in lines[max(0, line - repeated) : line])
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_image_named_is_ours(name):
    """The tag of every image is that of the Dockerfile's PyTorch."""
    dockerfile = (FOLDER.parent / "images" / "Dockerfile").read_text()
    torch = dockerfile.split("ARG TORCH_VERSION=")[1].split("\n")[0].rsplit(".", 1)[0]
    images = [
        text
        for content in yaml.safe_load_all((FOLDER / name).read_text())
        for _, text in texts(content)
        if "pytorch-cuda:" in text
    ]
    assert all(image.endswith(f"/pytorch-cuda:v{torch}") for image in images)
    assert images or name == "onprem.yaml"
