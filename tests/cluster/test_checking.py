"""Each mistake in a file for `ray up` is found, and told where it stands."""

import copy
import random
import re

import pytest
import yaml
from cluster_files import FOLDER, OWN, REMOVE, NoAliases

from sweep.cluster.check import check_text

FILES = ["gpu.yaml", "gcp.yaml", "onprem.yaml", "kuberay.yaml"]
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
TYPES = "available_node_types"
NODE = f"{TYPES}.gpu-1.node_config"
OPEN_RULE = [{"IpProtocol": "tcp", "FromPort": 8265, "ToPort": 8265}]
HEAD_START = "export RAY_AUTH_MODE=token; ray start --head --autoscaling-config=~/x --dashboard-host="
WORKER_START = "ray start --address=$RAY_HEAD_IP:6379"

# (place, what to put there, words of the problem that must be found); in gpu.yaml.
OF_RAY = [
    ("max_worker", 3, "max_worker: unknown. Did you mean max_workers?"),
    (f"{TYPES}.gpu-1.min_worker", 0, "min_worker: unknown. Did you mean min_workers?"),
    (f"{TYPES}.gpu-1.resources", REMOVE, "resources: is missing. Write {CPU: 4, GPU: 1}"),
    (f"{TYPES}.gpu-1.resources.GPU", "1", "resources.GPU: expected a whole number, got the text '1'. Write 1"),
    (f"{TYPES}.gpu-1.resources.GPU", 0.5, "expected a whole number, got 0.5. Ray counts"),
    ("setup_commands", "true", "setup_commands: expected a list, got the text 'true'"),
    ("cluster_name", 7, 'cluster_name: expected a text, got 7. Put it in quotes: "7"'),
    ("head_node", {}, "head_node: is of an older Ray"),
    ("head_node_type", "haed", "head_node_type: got haed, which is none of available_node_types: head, gpu-1, gpu-4"),
    ("head_node_type", REMOVE, "head_node_type: is missing"),
    ("max_workers", 0, "max_workers: got 0, and the min_workers of the node types are 1"),
    (f"{TYPES}.gpu-4.min_workers", 3, "min_workers: got 3, more than this type's max_workers of 2"),
    ("docker.container_name", REMOVE, "docker.container_name: is missing. Write container_name: sweep"),
    ("provider.type", "awz", "Ray refuses this.*awz"),
    ("provider", REMOVE, "provider: is missing"),
]
OF_AWS = [
    ("provider.regoin", "us-west-2", "provider.regoin: unknown. Did you mean region?"),
    ("provider.region", REMOVE, "provider.region: is missing"),
    ("provider.availability_zone", "eu-west-1a", "got 'eu-west-1a', which is no zone of us-west-2"),
    (f"{NODE}.InstanceTyp", "g6.xlarge", "InstanceTyp: unknown. Did you mean InstanceType?"),
    (f"{NODE}.InstanceType", "g6.huge", "EC2 has no 'g6.huge'"),
    (f"{NODE}.InstanceType", REMOVE, "InstanceType: is missing"),
    (f"{NODE}.BlockDeviceMappings", [{"Ebs": {"VolumeSize": "big"}}], r"VolumeSize: expected a whole number"),
    (f"{NODE}.BlockDeviceMappings.0.Ebs.VolumeType", "gp9", "EC2 has no 'gp9'"),
    (f"{NODE}.SecurityGroupIds", "sg-1", "SecurityGroupIds: expected a list"),
    (f"{NODE}.MetadataOptions.HttpTokens", True, "HttpTokens: expected a text, got true"),
    (f"{NODE}.MinCount", 1, "MinCount: is Ray's to say"),
    (f"{TYPES}.gpu-1.resources.GPU", 4, "resources.GPU: got 4, and this machine has 1 L4. Write GPU: 1"),
    (f"{TYPES}.head.resources.GPU", 1, "head.resources.GPU: got 1, and this machine has no GPU"),
    (f"{TYPES}.gpu-1.resources.CPU", 8, "resources.CPU: got 8, and this machine has 4 cores"),
    (f"{TYPES}.gpu-1.resources", {"GPU": 1}, "resources: say at least CPU"),
    (
        f"{TYPES}.gpu-1.labels.sweep/usd-per-hour",
        "0.5",
        r'gpu-1.labels.sweep/usd-per-hour: got 0.5, and metadata.usd_per_hour has 0.805. Write "0.805" in both',
    ),
    (
        "initialization_commands.0",
        "mount -t nfs4 fs-0a.efs.eu-west-1.amazonaws.com:/ /shared",
        r"initialization_commands\[0\]: fs-0a is named in eu-west-1, and the machines are in us-west-2",
    ),
    ("auth.ssh_private_key", "~/.ssh/mine", "KeyName: is missing. With auth.ssh_private_key"),
    ("metadata.usd_per_hour.gpu-4", REMOVE, r"usd_per_hour.gpu-4: expected a price above 0, got None"),
    ("metadata.usd_per_hour.head", float("nan"), r"usd_per_hour.head: expected a price above 0, got nan"),
    ("metadata.usd_per_hour.gpu4", 1.0, r"usd_per_hour.gpu4: is none of the node types: head, gpu-1, gpu-4"),
]
OF_IMAGES = [
    ("docker.image", "Pytorch-CUDA:v2.14", "docker.image: 'Pytorch-CUDA:v2.14' is no image reference"),
    ("docker.image", "registry.example.com/pytorch-cuda", "docker.image: .* with a tag"),
    ("docker.image", "registry.example.com/pytorch-cuda:latest", "latest is another image each day"),
    ("docker.image", "registry.example.com/pytorch-cuda:2.14", "tagged after their PyTorch: pytorch-cuda:v2.14"),
    ("docker.image", "rayproject/ray:2.55.0-py312-gpu", "has Ray 2.55.0, and here is 2.60.0: sweep needs 2.60"),
    ("docker.worker_image", "r.io/pytorch-cuda:v2.13", "says torch 2.13, and docker.image says 2.14"),
    ("setup_commands.0", "pip install 'ray[default]==2.59.1'", "setup_commands.*has Ray 2.59.1"),
    ("metadata.versions.ray", "2.61.0", "metadata.versions: has Ray 2.61.0"),
    ("metadata.versions.python", 3.1, "metadata.versions.python: got 3.1. Put it in quotes"),
]  # fmt: skip
OF_SECURITY = [
    ("provider.security_group", {"IpPermissions": OPEN_RULE}, "IpPermissions: must stay empty"),
    (f"{NODE}.SecurityGroupIds", REMOVE, "SecurityGroupIds: is missing. The group that Ray makes lets SSH in"),
    ("provider.aws_credentials", {"aws_access_key_id": "x"}, "aws_credentials: keys stand in the file itself"),
    ("docker.run_options", [], "docker.run_options: `--env RAY_AUTH_MODE=token` is missing"),
    ("file_mounts", {"~/.ray/auth_token": "~/.ray/auth_token"}, "mount the folder"),
    ("docker.run_options.0", "--env RAY_AUTH_MODE=token -p 0.0.0.0:80:80", "opens it to every network"),
    # Without the key, Ray fills in its own command for AWS: an open dashboard and no token.
    (HEAD, REMOVE, f"{HEAD}.* opens it to every network"),
    (WORKER, REMOVE, rf"{WORKER}\[1\]: `ray start` must come after export RAY_AUTH_MODE=token"),
    ("setup_commands.0", "export WANDB_API_KEY=0123456789", "WANDB_API_KEY stands in the file itself"),
    ("setup_commands.0", "aws configure set k AKIAABCDEFGHIJKLMNOP", "an AWS key stands in the file itself"),
]
OF_LOCAL = [
    ("provider.worker_ips", REMOVE, "provider.worker_ips: is missing"),
    ("provider.head_ip", REMOVE, "provider.head_ip: is missing"),
    ("provider.worker_ips.0", "192.0.2.10", r"worker_ips\[0\]: got 192.0.2.10, which is the head already"),
    ("provider.worker_ips.1", "192.0.2.11", r"worker_ips\[1\]: got 192.0.2.11, which is listed already"),
    ("provider.worker_ips.1", "10.0.0.300", r"worker_ips\[1\]: expected an address or a host's name"),
    ("provider.worker_ips", "10.0.0.3", "worker_ips: expected a list"),
    (TYPES, {"gpu": {"resources": {}, "node_config": {}}}, f"{TYPES}: is not for `local`"),
    ("setup_commands", [], "setup_commands: write RAY_AUTH_MODE=token"),
    (f"{HEAD}.1", f"{HEAD_START}127.0.0.1", "RAY_enable_autoscaler_v2=0 before `ray start --head`"),
]
OF_GCP = [
    ("provider.project_id", REMOVE, "project_id: is missing"),
    ("provider.availability_zone", "us-central1-a,us-central1-b", "Here Ray takes one zone"),
    ("provider.availability_zone", REMOVE, "availability_zone: is missing. Write one zone, e.g. us-central1-b"),
    (f"{NODE}.machineTyp", "g2-standard-8", "machineTyp: unknown. Did you mean machineType?"),
    (f"{NODE}.machineType", REMOVE, "machineType: is missing"),
    (f"{NODE}.scheduling.preemptable", True, "scheduling.preemptable: unknown. Did you mean preemptible?"),
    (f"{NODE}.scheduling.provisioningModel", "SPOTTY", "Compute Engine has no 'SPOTTY'. Did you mean SPOT?"),
    (f"{NODE}.scheduling", [{"onHostMaintenance": "TERMINATE"}], "scheduling: expected a map, got a list"),
    (f"{NODE}.scheduling.onHostMaintenance", REMOVE, "A machine with a GPU can't be moved while it runs"),
    (f"{NODE}.disks", REMOVE, "disks: is missing"),
    (f"{NODE}.disks.0.boot", "yes please", "boot: expected true or false"),
    (f"{NODE}.networkInterfaces", REMOVE, "networkInterfaces: is missing. The default network lets SSH in"),
    (f"{NODE}.networkInterfaces.0.subnetwork", "global/networks/default", "got global/networks/default"),
    (f"{TYPES}.gpu-1.resources.GPU", 2, "resources.GPU: got 2, and this machine has 1 L4"),
    ("provider.gcp_credentials", {"type": "service_account", "credentials": "{}"}, "credentials: stand in the file"),
]
OF_STARTS = [
    ("file_mounts", {}, "the token is missing"),
    (f"{HEAD}.-1", "ray start --head --dashboard-host=127.0.0.1", rf"{HEAD}.*RAY_AUTH_MODE=token"),
    (f"{HEAD}.-1", "ray start --head --dashboard-host=127.0.0.1", "lacks --autoscaling-config"),
    (f"{WORKER}.-1", WORKER_START, rf"{WORKER}.*RAY_AUTH_MODE=token"),
    (f"{WORKER}.-1", f"{WORKER_START}; export RAY_AUTH_MODE=token", rf"{WORKER}.*must come after"),
    (f"{WORKER}.-1", "export RAY_AUTH_MODE=token; ray start", "lacks --address=.RAY_HEAD_IP"),
    (f"{WORKER}.-1", "true", f"{WORKER}: no command runs `ray start`"),
    (f"{WORKER}.0", "export RAY_AUTH_TOKEN=abcdef", "RAY_AUTH_TOKEN stands in the file itself"),
    (f"{HEAD}.-1", f"{HEAD_START}0.0.0.0", r"0\.0\.0\.0 opens it to every network"),
    (f"{HEAD}.-1", f"{HEAD_START}::", ":: opens it to every network"),
    (f"{HEAD}.-1", f"{HEAD_START}10.0.0.5", r"got 10\.0\.0\.5. Write --dashboard-host=127\.0\.0\.1"),
    (f"{HEAD}.-1", "export RAY_AUTH_MODE=token; ray start --head", "got no --dashboard-host"),
]
IN_GPU = [*OF_RAY, *OF_AWS, *OF_IMAGES, *OF_SECURITY]
BROKEN = [
    *[("gpu.yaml", *case) for case in IN_GPU],
    *[("onprem.yaml", *case) for case in OF_LOCAL],
    *[("gcp.yaml", *case) for case in OF_GCP],
    *[(name, *case) for name in ("gpu.yaml", "gcp.yaml", "onprem.yaml") for case in OF_STARTS],
]


@pytest.mark.parametrize(("name", "place", "value", "words"), BROKEN)
def test_each_mistake_is_found(told, name, place, value, words):
    """One mistake in a good file is found, and told by the place where it stands."""
    found = told(name, {place: value})
    assert re.search(words, found), found


def test_all_mistakes_are_told_at_once_in_the_files_order(told):
    """Of provider, machine, image and start commands; each with its line."""
    changes = {
        "max_worker": 3,
        "provider.regoin": "x",
        f"{NODE}.InstanceType": "g6.huge",
        "docker.image": "a b",
        f"{HEAD}.-1": "ray start --head --autoscaling-config=~/x --dashboard-host=0.0.0.0",
    }
    found = told("gpu.yaml", changes).splitlines()
    for words in (
        "max_worker: unknown",
        "regoin",
        "g6.huge",
        "no image reference",
        "opens it to every",
        "must come after",
    ):
        assert [line for line in found if words in line], words
    lines = [int(re.match(r"gpu.yaml:(\d+):\d+: ", line)[1]) for line in found]
    assert lines == sorted(lines)
    assert len(set(found)) == len(found)


def test_a_doubt_is_no_problem(checked):
    """What may be meant is told, and the file is right."""
    doubtful = {
        f"{TYPES}.head.node_config.InstanceMarketOptions": {"MarketType": "spot"},
        f"{TYPES}.head.node_config.MetadataOptions": {"HttpTokens": "optional"},
        "idle_timeout_minutes": 600,
        "metadata.versions.python": "3.11",
        "docker.run_options.1": "--shm-size=8g",
        f"{WORKER}.-1": f"export RAY_AUTH_MODE=token; {WORKER_START}",
    }
    report = checked("gpu.yaml", doubtful)
    assert report.problems == []
    found = "\n".join(map(str, report.doubts))
    for words in ("the head is spot", "old metadata service", "got 600: each worker", "Python 3.11", "1024 open"):
        assert words in found, found


def test_an_anchor_is_told_once():
    """What three node types share by an anchor stands in one line, and is told once."""
    text = (FOLDER / "gpu.yaml").read_text()
    report = check_text(text.replace("VolumeType: gp3", "VolumeTipe: gp3"), "gpu.yaml")
    (problem,) = report.problems
    assert problem.message == "unknown. Did you mean VolumeType?"
    assert "VolumeTipe" in text.replace("gp3", "VolumeTipe").splitlines()[problem.mark.line - 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("- a\n- b\n", "expected a map of keys, got a list"),
        ("a: [1\nb: 2\n", "isn't YAML"),
        ("a: !!python/object:os.system {}\n", "isn't YAML"),
        ("cluster_name: a\ncluster_name: b\n", r":2:1: cluster_name: is given twice: in line 1 and in line 2"),
        ("a: &a [*a]\n", "nested more than"),
        ("cluster_name: a\n---\ncluster_name: b\n", r":2:1: a second document|:3:1: a second document"),
        ("[" * 2000, "isn't YAML"),
        ("a: &a [" + "x," * 30 + "]\n" + "".join(f"k{n}: [{'*a,' * 30}]\n" for n in range(26)), "more than"),
        ("a: 2020-13-45\n", "isn't YAML"),
        ("cluster_name: a\nprovider: aws\n", "provider: expected a map, got the text 'aws'"),
        ("cluster_name: a\non: b\n", r':2:1: on: the key on is no text to YAML. Write it in quotes: "on"'),
        ("file_mounts: {5: a}\n", r"file_mounts.5: the key 5 is no text"),
        ("available_node_types: {~: {}}\n", r"available_node_types.~: the key ~ is no text"),
        ("on: b\nkind: RayJob\napiVersion: ray.io/v1\n", r":1:1: on: unknown"),
        ("kind: Pod\napiVersion: v1\n", "holds no RayCluster or RayJob, but Pod"),
    ],
)  # fmt: skip
def test_what_is_no_cluster_file_is_refused(text, words):
    """Whatever a file holds, it ends in words."""
    found = "\n".join(map(str, check_text(text, "x.yaml").problems))
    assert re.search(words, found), found


def test_without_a_clouds_description_that_is_said(checked, monkeypatch):
    """The extra isn't installed: the rest is checked, and the package is named."""
    from sweep.cluster import aws

    def missing():
        raise ModuleNotFoundError("No module named 'botocore'")

    monkeypatch.setattr(aws, "ec2_model", missing)
    report = checked("gpu.yaml", {f"{NODE}.InstanceType": "g6.xlarge"})
    assert report.problems == []
    assert "boto3 isn't here. Install it: pip install 'sweep[aws]'" in "\n".join(map(str, report.doubts))


def _places(value, place=()):
    """The place of every value in a document."""
    if place:
        yield place
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in list(steps):
        yield from _places(item, (*place, step))


ODD = [None, True, -1, 3.5, 10**30, float("inf"), "", "x", [], ["x"], [{}], [[]], {}, {"a": {"b": [None]}}]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_value_is_the_check_ends_in_words(name, seed):
    """Any value of any document may be anything, or be gone; nothing raises."""
    chance = random.Random(seed)
    documents = list(yaml.safe_load_all((FOLDER / name).read_text()))
    document = chance.randrange(len(documents))
    *parents, last = chance.choice(list(_places(documents[document])))
    spot = documents[document]
    for step in parents:
        spot = spot[step]
    if chance.random() < 0.2:
        del spot[last]
    else:
        spot[last] = copy.deepcopy(chance.choice(ODD))
    report = check_text(yaml.dump_all(documents, Dumper=NoAliases), name, own=OWN)
    assert all(str(problem).startswith(f"{name}:") for problem in report.problems)


@pytest.mark.parametrize(
    "text",
    ["::1", "fe80::1", "10.0.0.0/8", "std::vector", "a::b", "100.0.0.0", "0.0.0.01"],
)
def test_an_address_of_one_network_is_let_be(text):
    """Only what means all networks opens."""
    from sweep.cluster.security import WIDE_OPEN

    assert not WIDE_OPEN.search(text)
