"""Read a Ray cluster file as `ray up` will, without a cloud, and say what is wrong with it.

Each check takes the file's content and returns the problems it found, worded for a person;
`problems` runs them all. What only the cloud can say stays open: whether the machine image, the
quota, the key pair and the container image exist.
"""

from __future__ import annotations

import copy
import functools
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from botocore.model import ServiceModel

Config = dict[str, Any]

TOKEN_MODE = "RAY_AUTH_MODE=token"
TOKEN_PLACES = ("~/.ray", "~/.ray/auth_token")
# Every address of the machine, as IPv4 and IPv6 write it.
WIDE_OPEN = re.compile(r"\b0\.0\.0\.0\b|(?<![\w:])::(?:/0)?(?![\w:])")
IMAGE = re.compile(
    r"(?:[a-z0-9.-]+(?::\d+)?/)?"  # registry, with or without a port
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"  # path
    r"(?::[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})"  # a tag or digest, always: "latest" isn't reproducible
)
# Names and addresses reserved for examples (RFC 2606, RFC 5737), and an AMI and a file system that nobody has.
PLACEHOLDER = re.compile(r"\bexample\.(?:com|org|net)\b|\b192\.0\.2\.\d+\b|\bami-0+\b|\bfs-0+\b")


def read(path: Path) -> Config:
    """A cluster file's content, parsed as Ray parses it."""
    return yaml.safe_load(path.read_text())


def prepare(config: Config) -> Config:
    """What `ray up` would work with: the file with Ray's defaults filled in, validated by Ray.

    Raises:
        ValueError: Ray refuses the file.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        prepared = prepare_config(copy.deepcopy(config))
        validate_config(prepared)
    # Ray has no error type of its own here: KeyError, AssertionError, click's and jsonschema's all occur.
    except Exception as error:
        raise ValueError(f"Ray refuses this file: {str(error).splitlines()[0] or type(error).__name__}") from error
    return prepared


def problems(config: Config) -> list[str]:
    """Everything found wrong; empty when the file may be used."""
    try:
        prepared = prepare(config)
    except ValueError as error:
        return [str(error)]
    return [problem for check in CHECKS for problem in check(prepared)]


def token_problems(prepared: Config) -> list[str]:
    """Every node must start Ray with token authentication, and must be given the token."""
    found = [
        f"{key}: `ray start` must come after {TOKEN_MODE}, or anyone on the network can run code."
        for key, command in ray_starts(prepared)
        if TOKEN_MODE not in command.split("ray start")[0]
    ]
    mounted = {remote.rstrip("/") for remote in prepared["file_mounts"]}
    if not mounted.intersection(TOKEN_PLACES):
        found.append("file_mounts: the token is missing. Add `~/.ray: ~/.ray`.")
    if uses_docker(prepared):
        found += container_token_problems(prepared, mounted)
    elif not any(TOKEN_MODE in command for command in prepared["setup_commands"]):
        found.append(f"setup_commands: write {TOKEN_MODE} to ~/.bashrc; without it `ray exec` is refused.")
    found += [
        f"{where}: the token itself stands in the file. Mount it by file_mounts instead."
        for where, text in texts(prepared)
        if re.search(r"RAY_AUTH_TOKEN=", text)
    ]
    return found


def container_token_problems(prepared: Config, mounted: set[str]) -> list[str]:
    """Inside a container the mode comes from run_options, and the token from a mounted folder."""
    found = []
    if not any(TOKEN_MODE in option for option in prepared["docker"].get("run_options", [])):
        found.append(f"docker.run_options: `--env {TOKEN_MODE}` is missing; without it `ray exec` is refused.")
    if "~/.ray/auth_token" in mounted:
        found.append("file_mounts: mount the folder ~/.ray; Docker doesn't follow a file that is replaced.")
    return found


def exposure_problems(prepared: Config) -> list[str]:
    """The dashboard listens on loopback, said explicitly, and nothing opens a port to the world."""
    found = [
        f"{where}: {match.group()} opens it to every network."
        for where, text in texts(prepared)
        if (match := WIDE_OPEN.search(text))
    ]
    for key, command in ray_starts(prepared):
        hosts = re.findall(r"--dashboard-host[= ](\S+)", command)
        if "--head" in command and hosts != ["127.0.0.1"]:
            came = ", ".join(hosts) or "no --dashboard-host"
            found.append(f"{key}: got {came}. Write --dashboard-host=127.0.0.1, and use `ray dashboard`.")
    if prepared["provider"].get("security_group", {}).get("IpPermissions"):
        found.append("provider.security_group.IpPermissions: must stay empty; Ray lets SSH in by itself.")
    return found


def start_problems(prepared: Config) -> list[str]:
    """Head and workers each start Ray once, a local head with the first autoscaler."""
    starts = list(ray_starts(prepared))
    found = [
        f"{key}: has no `ray start`."
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        if key not in dict(starts)
    ]
    if prepared["provider"]["type"] == "local":
        found += [
            f"{key}: put RAY_enable_autoscaler_v2=0 before `ray start --head`; else a worker stays out."
            for key, command in starts
            if "--head" in command and "RAY_enable_autoscaler_v2=0" not in command.split("ray start")[0]
        ]
    return found


def resource_problems(prepared: Config) -> list[str]:
    """A node type says its CPUs, and what it costs; `local` has no node types."""
    if prepared["provider"]["type"] == "local":
        return []
    prices = prepared.get("metadata", {}).get("usd_per_hour", {})
    found = []
    for name, node_type in prepared["available_node_types"].items():
        if "CPU" not in node_type["resources"]:
            found.append(f"available_node_types.{name}.resources: say at least CPU, and GPU where it has some.")
        price = prices.get(name)
        if not isinstance(price, int | float) or price <= 0:
            found.append(f"metadata.usd_per_hour.{name}: expected a price above 0, got {price}.")
    return found


def image_problems(prepared: Config) -> list[str]:
    """A container image is named in full, with a tag or digest."""
    images = {key: value for key, value in prepared["docker"].items() if key.endswith("image")}
    return [
        f"docker.{key}: {image!r} is no image reference with a tag, such as registry.example.com/name:v1."
        for key, image in images.items()
        if not IMAGE.fullmatch(image)
    ]


def aws_problems(prepared: Config) -> list[str]:
    """node_config, which Ray passes on unread, fits the EC2 API as botocore describes it."""
    if prepared["provider"]["type"] != "aws":
        return []
    found = []
    for name, node_type in prepared["available_node_types"].items():
        where = f"available_node_types.{name}.node_config"
        found += [f"{where}: {problem}" for problem in ec2_problems(node_type["node_config"])]
    return found


def ec2_problems(node_config: Config) -> list[str]:
    """What EC2's RunInstances would refuse in this request, by its published shape."""
    from botocore.validate import ParamValidator

    model = ec2_model()
    request = {"MinCount": 1, "MaxCount": 1, **node_config}
    report = ParamValidator().validate(request, model.operation_model("RunInstances").input_shape)
    found = [" ".join(report.generate_report().split())] if report.has_errors() else []
    instance = node_config.get("InstanceType")
    if instance not in model.shape_for("InstanceType").enum:
        found.append(f"InstanceType: EC2 has no {instance!r}.")
    return found


@functools.cache
def ec2_model() -> ServiceModel:
    """The EC2 API as botocore ships it; 10 MB of JSON, so it is read once."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("ec2", "service-2"))


def placeholders(config: Config) -> list[str]:
    """Where the file still has the example's values, to be replaced before `ray up`."""
    return [where for where, text in texts(config) if PLACEHOLDER.search(text)]


def uses_docker(prepared: Config) -> bool:
    """Whether Ray's commands run inside a container."""
    return bool(prepared["docker"].get("container_name"))


def ray_starts(prepared: Config) -> Iterator[tuple[str, str]]:
    """(key, command) of each start command that runs `ray start`, head's and workers'."""
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        yield from ((key, command) for command in prepared[key] if "ray start" in command)


def texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """(place, text) of every text in a parsed file, keys of mappings included."""
    if isinstance(value, dict):
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            yield place, str(key)
            yield from texts(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, f"{where}[{index}]")
    elif isinstance(value, str):
        yield where, value


CHECKS = (
    start_problems,
    token_problems,
    exposure_problems,
    resource_problems,
    image_problems,
    aws_problems,
)
