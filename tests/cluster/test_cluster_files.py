"""The cluster files are accepted by Ray, closed to strangers, and each check on them can fail."""

from __future__ import annotations

import copy
from pathlib import Path

import checks
import pytest

FOLDER = Path(__file__).parents[2] / "cluster"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))

# (file, place in it, what to put there, words of the problem that must be found). REMOVE takes the key away.
REMOVE = object()
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
TYPES = "available_node_types"
OPEN_RULE = [{"IpProtocol": "tcp", "FromPort": 8265, "ToPort": 8265}]
HEAD_START = "export RAY_AUTH_MODE=token; ray start --head --dashboard-host="
BROKEN = [
    ("gpu.yaml", "max_worker", 3, "Ray refuses.*max_worker"),
    ("gpu.yaml", f"{TYPES}.gpu-1.min_worker", 0, "Ray refuses.*min_worker"),
    ("gpu.yaml", f"{TYPES}.gpu-1.resources", REMOVE, "Ray refuses.*resources"),
    ("gpu.yaml", f"{TYPES}.gpu-1.resources.GPU", "1", "Ray refuses.*'1' is not of type 'integer'"),
    ("gpu.yaml", "head_node_type", "haed", "Ray refuses.*head_node_type"),
    ("gpu.yaml", "docker.container_name", REMOVE, "Ray refuses.*container"),
    ("onprem.yaml", "provider.worker_ips", REMOVE, "Ray refuses"),
    ("onprem.yaml", "available_node_types", {"gpu": {}}, "Ray refuses"),
    ("gpu.yaml", f"{TYPES}.gpu-1.resources", {}, r"gpu-1\.resources: say at least CPU"),
    ("gpu.yaml", "metadata.usd_per_hour.gpu-4", REMOVE, r"usd_per_hour\.gpu-4: expected a price above 0, got None"),
    ("gpu.yaml", "docker.image", "Pytorch-CUDA:v2.14", "docker.image: 'Pytorch-CUDA:v2.14' is no image reference"),
    ("gpu.yaml", "docker.image", "registry.example.com/pytorch-cuda", "docker.image: .* with a tag"),
    ("gpu.yaml", f"{TYPES}.gpu-1.node_config.InstanceTyp", "g6.xlarge", "gpu-1.node_config:.*InstanceTyp"),
    ("gpu.yaml", f"{TYPES}.gpu-1.node_config.InstanceType", "g6.huge", "EC2 has no 'g6.huge'"),
    ("gpu.yaml", f"{TYPES}.gpu-1.node_config.InstanceType", REMOVE, "EC2 has no None"),
    ("gpu.yaml", f"{TYPES}.gpu-4.node_config.BlockDeviceMappings", [{"Ebs": {"VolumeSize": "big"}}], "VolumeSize"),
    ("gpu.yaml", "provider.security_group.IpPermissions", OPEN_RULE, "IpPermissions: must stay empty"),
    ("gpu.yaml", "docker.run_options", [], "docker.run_options: `--env RAY_AUTH_MODE=token` is missing"),
    ("onprem.yaml", "setup_commands", [], "setup_commands: write RAY_AUTH_MODE=token"),
    ("gpu.yaml", "file_mounts", {"~/.ray/auth_token": "~/.ray/auth_token"}, "mount the folder"),
    # Without the key, Ray fills in its own command for AWS: an open dashboard and no token.
    ("gpu.yaml", HEAD, REMOVE, f"{HEAD}.* opens it to every network"),
    ("gpu.yaml", WORKER, REMOVE, f"{WORKER}: `ray start` must come after RAY_AUTH_MODE=token"),
    *[
        case
        for name in FILES
        for case in (
            (name, "file_mounts", {}, "the token is missing"),
            (name, f"{HEAD}.1", "ray start --head --dashboard-host=127.0.0.1", f"{HEAD}: .*RAY_AUTH_MODE=token"),
            (name, f"{WORKER}.1", "ray start --address=$RAY_HEAD_IP:6379", f"{WORKER}: .*RAY_AUTH_MODE=token"),
            (name, f"{WORKER}.1", "ray start; export RAY_AUTH_MODE=token", f"{WORKER}: .*must come after"),
            (name, f"{WORKER}.1", "true", f"{WORKER}: has no `ray start`"),
            (name, f"{WORKER}.0", "export RAY_AUTH_TOKEN=abc", "the token itself stands in the file"),
            (name, f"{HEAD}.1", f"{HEAD_START}0.0.0.0", r"0\.0\.0\.0 opens it to every network"),
            (name, f"{HEAD}.1", f"{HEAD_START}::", ":: opens it to every network"),
            (name, f"{HEAD}.1", f"{HEAD_START}10.0.0.5", r"got 10\.0\.0\.5. Write --dashboard-host=127\.0\.0\.1"),
            (name, f"{HEAD}.1", "export RAY_AUTH_MODE=token; ray start --head", "got no --dashboard-host"),
        )
    ],
    ("onprem.yaml", f"{HEAD}.1", f"{HEAD_START}127.0.0.1", "RAY_enable_autoscaler_v2=0 before `ray start --head`"),
]


@pytest.fixture(scope="module")
def prepared() -> dict[str, checks.Config]:
    """Each file as Ray completes it."""
    return {name: checks.prepare(checks.read(FOLDER / name)) for name in FILES}


def broken(config: checks.Config, place: str, value: object) -> checks.Config:
    """A copy with one thing changed; a number in the place is an index into a list."""
    copied = copy.deepcopy(config)
    *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    spot = copied
    for part in parents:
        spot = spot[part]
    if value is REMOVE:
        del spot[last]
    else:
        spot[last] = value
    return copied


@pytest.mark.parametrize("name", FILES)
def test_every_cluster_file_passes_every_check(name):
    """Ray accepts the file, strangers stay out, and the cloud's API knows its fields."""
    assert checks.problems(checks.read(FOLDER / name)) == []


@pytest.mark.parametrize(("name", "place", "value", "words"), BROKEN)
def test_each_check_finds_its_mistake(name, place, value, words):
    """One mistake in a good file is found, and told by the place where it stands."""
    found = checks.problems(broken(checks.read(FOLDER / name), place, value))
    with pytest.raises(ValueError, match=words):
        raise ValueError("\n".join(found))


@pytest.mark.parametrize("name", FILES)
def test_every_node_starts_with_the_token(prepared, name):
    """In what Ray will run, each `ray start` of head and workers has the token mode set before it."""
    starts = [c for key in (HEAD, WORKER) for c in prepared[name][key] if "ray start" in c]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command.split("ray start")[0] for command in starts)
    assert prepared[name]["file_mounts"]["~/.ray"] == "~/.ray"


@pytest.mark.parametrize("name", FILES)
def test_the_dashboard_stays_on_loopback(prepared, name):
    """In what Ray will run, the head names loopback, and no text anywhere is the address of all networks."""
    assert [c.count("--dashboard-host=127.0.0.1") for c in prepared[name][HEAD] if "ray start" in c] == [1]
    assert not [where for where, text in checks.texts(prepared[name]) if "0.0.0.0" in text]
    assert "0.0.0.0" not in (FOLDER / name).read_text()


def test_gpu_workers_are_spot_and_all_but_one_leave_when_idle(prepared):
    """The head is bought on demand without a GPU; each worker type has GPUs and is spot; one worker stays.

    A launch counts the machines that are up, and this head has no cores.
    """
    config = prepared["gpu.yaml"]
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert head["resources"].get("GPU", 0) == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert sorted(node_type["resources"]["GPU"] for node_type in types.values()) == [1, 4]
    for node_type in types.values():
        assert node_type["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert {name: node_type["min_workers"] for name, node_type in types.items()} == {"gpu-1": 1, "gpu-4": 0}
    assert config["idle_timeout_minutes"] <= 10


def test_the_cost_in_the_comment_is_that_of_the_prices(prepared):
    """The most that gpu.yaml may cost an hour, as its head says, follows from its prices and limits."""
    config = prepared["gpu.yaml"]
    prices = config["metadata"]["usd_per_hour"]
    types = config["available_node_types"]
    most = prices["head"] + sum(prices[name] * types[name]["max_workers"] for name in types if name != "head")
    least = prices["head"] + sum(prices[name] * types[name]["min_workers"] for name in types if name != "head")
    text = " ".join((FOLDER / "gpu.yaml").read_text().replace("\n#", "").split())
    assert f"= {most:.2f} USD" in text
    assert f"at the least {least:.3f} USD" in text


@pytest.mark.parametrize("name", FILES)
def test_the_command_at_the_head_is_one_that_works(name):
    """A launch goes through `ray job submit` to folders that all nodes share, and no bucket is advised."""
    text = " ".join((FOLDER / name).read_text().replace("\n#", "").replace("\\", "").split())
    assert (
        "ray job submit --address http://localhost:8265 --working-dir . -- sweep launch search_spaces/vit.yaml "
        "--address auto --yes --set storage=/shared/studies --set promote.registry=/shared/registry"
    ) in text
    assert "or a bucket" not in text
    assert "storage: s3" not in text


def test_studies_of_the_cloud_lie_on_no_machines_own_disk(prepared):
    """What is mounted into the containers as /shared is a network file system, mounted before they start."""
    config = prepared["gpu.yaml"]
    assert "--volume /home/ubuntu/sweep/shared:/shared" in config["docker"]["run_options"]
    assert not [option for option in config["docker"]["run_options"] if option.endswith((":/studies", ":/registry"))]
    assert [command for command in config["initialization_commands"] if "mount -t nfs4" in command]


def test_local_machines_are_all_in_the_cluster(prepared):
    """On-premise, every address listed is a worker that is kept."""
    config = prepared["onprem.yaml"]
    (node_type,) = config["available_node_types"].values()
    assert node_type["min_workers"] == config["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("name", FILES)
def test_what_the_user_must_fill_in_is_marked(name):
    """A file with example values says CHANGE, and one that says CHANGE has them."""
    config = checks.read(FOLDER / name)
    assert bool(checks.placeholders(config)) == ("CHANGE" in (FOLDER / name).read_text())


def test_each_example_value_is_found():
    """An image of nobody's registry, an AMI and a file system of zeros, and addresses that are kept for documents."""
    images = [f"{TYPES}.{name}.node_config.ImageId" for name in ("head", "gpu-1", "gpu-4")]
    assert checks.placeholders(checks.read(FOLDER / "gpu.yaml")) == [
        "docker.image",
        *images,
        "initialization_commands[2]",
    ]
    addresses = ["provider.head_ip", "provider.worker_ips[0]", "provider.worker_ips[1]"]
    assert checks.placeholders(checks.read(FOLDER / "onprem.yaml")) == addresses


def test_own_values_are_no_placeholders():
    """A file that was filled in has nothing left to fill in."""
    own = {"docker": {"image": "r.mycompany.io/pytorch-cuda:v2.14"}, "ImageId": "ami-0ab1234", "head_ip": "10.1.2.3"}
    assert checks.placeholders(own) == []
