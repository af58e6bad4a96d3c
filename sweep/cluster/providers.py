"""Each provider's own rules, which Ray finds out only when it has begun to start machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from sweep.cluster.reading import texts
from sweep.cluster.remarks import Remarks, unknown
from sweep.core.positions import Path
from sweep.core.section import described

Config = dict[str, Any]
TYPES = "available_node_types"

# The keys of `provider` that Ray reads; its schema lets any other pass unread.
_COMMON = {
    "type",
    "disable_node_updaters",
    "disable_launch_config_check",
    "foreground_node_launch",
    "worker_liveness_check",
}
_KEYS = {
    "aws": {
        *("region", "availability_zone", "cache_stopped_nodes", "use_internal_ips", "security_group", "key_pair"),
        *("cloudwatch", "aws_credentials"),
    },
    "gcp": {"region", "availability_zone", "project_id", "cache_stopped_nodes", "use_internal_ips", "gcp_credentials"},
    "local": {
        "head_ip",
        "worker_ips",
        "external_head_ip",
        "coordinator_address",
        "list_of_node_ips",
        "use_internal_ips",
    },
}
_EFS = re.compile(r"\b(fs-[0-9a-f]+)\.efs\.([a-z0-9-]+)\.amazonaws\.com")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})*")
_SCHEDULED = ("head_node_type", TYPES)


def provider_problems(config: Config, found: Remarks) -> None:
    """What a provider's rules say about the file as it is.

    Args:
        config: it has passed Ray's schema.
        found: takes problems and doubts.
    """
    provider = config["provider"]
    kind = provider["type"]
    docker = config.get("docker") or {}
    images = "image" in docker or {"head_image", "worker_image"} <= docker.keys()
    if docker and not (images and docker.get("container_name")):
        key = "container_name" if images else "image"
        example = {"container_name": "sweep", "image": "registry.example.com/pytorch-cuda:v2.14"}[key]
        found.wrong(("docker", key), f"is missing. Write {key}: {example}.")
    for key in provider.keys() - _KEYS.get(kind, set(provider)) - _COMMON:
        found.wrong(("provider", key), unknown(key, _KEYS[kind] | _COMMON, f"of provider {kind}"), at_key=True)
    if kind == "local":
        _local(config, found)
        return
    for key in _SCHEDULED:
        if not config.get(key):
            found.wrong((key,), f"is missing. Name the machines of {kind} here; cluster/ has a file for each cloud.")
    _counts(config, found)
    if kind == "aws":
        _place(provider, found, zone=r"{region}[a-z]|{region}-[a-z]+-\d[a-z]", example="us-west-2")
        _aws_keys(config, found)
        _aws_file_systems(config, found)
    elif kind == "gcp":
        _place(provider, found, zone=r"{region}-[a-z]", example="us-central1", lone=True)
        if not provider.get("project_id"):
            found.wrong(
                ("provider", "project_id"), "is missing. Without one Ray makes a project of its own: write yours."
            )


def _local(config: Config, found: Remarks) -> None:
    provider = config["provider"]
    for key in _SCHEDULED:
        if config.get(key):
            found.wrong((key,), "is not for `local`. Ray counts each machine's cores and GPUs; remove it.", at_key=True)
    if provider.get("coordinator_address"):
        if "max_workers" not in config:
            found.wrong(("max_workers",), "is missing. With a coordinator, say how many machines it may give.")
        return
    head, workers = provider.get("head_ip"), provider.get("worker_ips")
    if not head:
        found.wrong(("provider", "head_ip"), "is missing. Write the head's address, e.g. head_ip: 10.0.0.1.")
    if not workers:
        found.wrong(("provider", "worker_ips"), "is missing. Write the workers' addresses, e.g. [10.0.0.2, 10.0.0.3].")
    seen: dict[Any, Path] = {}
    for path, address in _addresses(head, workers):
        if not _is_address(address):
            found.wrong(path, f"expected an address or a host's name, got {described(address)}.")
            continue
        if address in seen:
            found.wrong(
                path, f"got {address}, which is {'the head' if seen[address][1] == 'head_ip' else 'listed'} already."
            )
        seen.setdefault(address, path)
    if workers and config.get("max_workers", len(workers)) < len(workers):
        told = f"got {config['max_workers']} for {len(workers)} worker_ips: Ray starts that many, and tries no others."
        found.doubt(("max_workers",), told)


def _addresses(head: Any, workers: Any) -> Iterator[tuple[Path, Any]]:
    if head:
        yield ("provider", "head_ip"), head
    for place, address in enumerate(workers or ()):
        yield ("provider", "worker_ips", place), address


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return not ipaddress.ip_address(value).is_unspecified
    except ValueError:
        # Digits and dots alone are an address that went wrong.
        return bool(_HOST.fullmatch(value)) and not re.fullmatch(r"[\d.]+", value)


def _counts(config: Config, found: Remarks) -> None:
    types = config.get(TYPES) or {}
    head = config.get("head_node_type")
    if types and head and head not in types:
        found.wrong(("head_node_type",), f"got {head}, which is none of available_node_types: {', '.join(types)}.")
    most = config.get("max_workers", 2)
    least = 0
    for name, kind in types.items():
        few, many = kind.get("min_workers", 0), kind.get("max_workers")
        least += 0 if name == head else few
        if many is not None and few > many:
            found.wrong((TYPES, name, "min_workers"), f"got {few}, more than this type's max_workers of {many}.")
        elif name != head and many is None and "max_workers" not in config:
            found.doubt((TYPES, name), "says no max_workers: Ray takes 2 for all workers together.")
        if name != head and many == 0:
            found.doubt((TYPES, name, "max_workers"), "is 0, so no such machine is ever started.")
    if least > most:
        told = f"got {most}, and the min_workers of the node types are {least} together. Raise it to {least} or more."
        found.wrong(("max_workers",), told if "max_workers" in config else told.replace("got", "is"))


def _place(provider: Config, found: Remarks, *, zone: str, example: str, lone: bool = False) -> None:
    region = provider.get("region")
    if not region:
        found.wrong(("provider", "region"), f"is missing. Write where your quota and data are, e.g. region: {example}.")
        return
    zones = provider.get("availability_zone")
    if zones is None:
        if lone:
            found.wrong(("provider", "availability_zone"), f"is missing. Write one zone, e.g. {region}-b.")
        return
    given = [one.strip() for one in str(zones).split(",")]
    if lone and len(given) > 1:
        found.wrong(("provider", "availability_zone"), f"got {zones}. Here Ray takes one zone.")
    for one in given:
        if not re.fullmatch(zone.replace("{region}", re.escape(str(region))), one):
            found.wrong(("provider", "availability_zone"), f"got {one!r}, which is no zone of {region}.")


def _aws_keys(config: Config, found: Remarks) -> None:
    if "ssh_private_key" not in (config.get("auth") or {}):
        return
    for name, kind in (config.get(TYPES) or {}).items():
        if "KeyName" not in kind["node_config"] and "UserData" not in kind["node_config"]:
            told = "is missing. With auth.ssh_private_key, name the key pair of EC2 that has its public half."
            found.wrong((TYPES, name, "node_config", "KeyName"), told)


def _aws_file_systems(config: Config, found: Remarks) -> None:
    """An EFS file system is reached by its name from machines of its own region alone."""
    region = config["provider"].get("region")
    for path, text in texts(config):
        for match in _EFS.finditer(text):
            if region and match[2] != region:
                told = f"{match[1]} is named in {match[2]}, and the machines are in {region}. Write {region} in both."
                found.wrong(path, told)
