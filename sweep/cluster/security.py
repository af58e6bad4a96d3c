"""Who may come in. Whoever reaches a Ray cluster can run code on it, so what opens it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sweep.cluster.reading import list_of, map_of, texts
from sweep.cluster.remarks import Remarks
from sweep.core.positions import Path

Config = dict[str, Any]

TOKEN_MODE = "RAY_AUTH_MODE=token"  # noqa: S105 - the name of a setting
TOKEN_PLACES = ("~/.ray", "~/.ray/auth_token")
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Every address of the machine or the world, as IPv4 and IPv6 write it.
WIDE_OPEN = re.compile(r"(?<![\d.])0\.0\.0\.0(?:/0)?(?![\d.])|(?<![\w:])(?:::|\[::\])(?:/0)?(?![\w:])")
_SECRET = re.compile(
    r"\b(?P<name>[A-Z_]*(?:TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)[A-Z_]*)=(?![\"']?[$<])[\"']?[^\s\"';]{6,}|AKIA[0-9A-Z]{16}"
)
_NOT_SECRET = re.compile(r"(?:_PATH|_FILE|_MODE|_DIR)$")


def security_problems(prepared: Config, found: Remarks) -> None:
    """Token, dashboard, networks and secrets of a file as Ray completes it.

    Args:
        prepared: with Ray's defaults, for what a file leaves out is Ray's to fill, and its own commands are open.
        found: takes the problems.
    """
    _tokens(prepared, found)
    _dashboard(prepared, found)
    world_problems(prepared, found)
    secret_problems(prepared, found)
    kind = prepared["provider"]["type"]
    if kind == "aws":
        _aws_groups(prepared, found)
    elif kind == "gcp":
        _gcp_networks(prepared, found)


def ray_starts(prepared: Config) -> Iterator[tuple[Path, str]]:
    """(place, command) of each start command that runs `ray start`, head's and workers'."""
    for key in STARTS:
        yield from (((key, place), command) for place, command in enumerate(prepared[key]) if "ray start" in command)


def uses_docker(prepared: Config) -> bool:
    """Whether Ray's commands run inside a container."""
    return bool((prepared.get("docker") or {}).get("container_name"))


def world_problems(content: Any, found: Remarks) -> None:
    """Nothing opens to every network, wherever it stands."""
    for path, text in texts(content):
        if match := WIDE_OPEN.search(text):
            found.wrong(path, f"{match.group()} opens it to every network. Name the addresses that may come in.")


def secret_problems(content: Any, found: Remarks) -> None:
    """No secret stands in the file itself, which is kept, sent and shown around."""
    for path, text in texts(content):
        for match in _SECRET.finditer(text):
            name = match["name"] or "an AWS key"
            if not _NOT_SECRET.search(name):
                told = f"{name} stands in the file itself. Give it by a file that file_mounts or a secret brings."
                found.wrong(path, told)


def _tokens(prepared: Config, found: Remarks) -> None:
    for path, command in ray_starts(prepared):
        if TOKEN_MODE not in command.split("ray start")[0]:
            told = f"`ray start` must come after export {TOKEN_MODE}; or anyone on the network can run code."
            found.wrong(path, told)
    mounted = {remote.rstrip("/") for remote in prepared["file_mounts"]}
    if not mounted.intersection(TOKEN_PLACES):
        found.wrong(("file_mounts",), "the token is missing. Add `~/.ray: ~/.ray`.")
    if uses_docker(prepared):
        options = (prepared["docker"].get("run_options") or []) + (prepared["docker"].get("worker_run_options") or [])
        if not any(TOKEN_MODE in str(option) for option in options):
            told = f"`--env {TOKEN_MODE}` is missing; without it `ray exec` is refused."
            found.wrong(("docker", "run_options"), told)
        if "~/.ray/auth_token" in mounted:
            told = "mount the folder ~/.ray; Docker doesn't follow a file that is replaced."
            found.wrong(("file_mounts", "~/.ray/auth_token"), told, at_key=True)
    elif not any(TOKEN_MODE in command for command in prepared["setup_commands"]):
        found.wrong(("setup_commands",), f"write {TOKEN_MODE} to ~/.bashrc; without it `ray exec` is refused.")


def _dashboard(prepared: Config, found: Remarks) -> None:
    for path, command in ray_starts(prepared):
        hosts = re.findall(r"--dashboard-host[= ](\S+)", command)
        if "--head" in command and (len(hosts) != 1 or hosts[0] not in LOOPBACK):
            came = ", ".join(hosts) or "no --dashboard-host"
            found.wrong(path, f"got {came}. Write --dashboard-host=127.0.0.1, and use `ray dashboard`.")


def _aws_groups(prepared: Config, found: Remarks) -> None:
    provider = prepared["provider"]
    group = provider.get("security_group") or {}
    if group.get("IpPermissions"):
        told = "must stay empty: the cluster needs no port open but SSH. Make a group of your own for that."
        found.wrong(("provider", "security_group", "IpPermissions"), told)
    if provider.get("aws_credentials"):
        told = (
            "keys stand in the file itself. Remove them; Ray takes those of `aws configure` or of the machine's role."
        )
        found.wrong(("provider", "aws_credentials"), told, at_key=True)
    for name, kind in prepared["available_node_types"].items():
        node = kind["node_config"]
        path: Path = ("available_node_types", name, "node_config")
        private = provider.get("use_internal_ips") and (node.get("SubnetIds") or node.get("SubnetId"))
        if not (node.get("SecurityGroupIds") or node.get("NetworkInterfaces") or node.get("LaunchTemplate") or private):
            told = "is missing. The group that Ray makes lets SSH in from everywhere: name one of your own."
            found.wrong((*path, "SecurityGroupIds"), told)
        if map_of(node.get("MetadataOptions")).get("HttpTokens") != "required" and "LaunchTemplate" not in node:
            told = "the old metadata service gives the machine's rights away. Write {HttpTokens: required}."
            found.doubt((*path, "MetadataOptions"), told)


def _gcp_networks(prepared: Config, found: Remarks) -> None:
    if (prepared["provider"].get("gcp_credentials") or {}).get("credentials"):
        told = "stand in the file itself. Remove them; Ray takes those of `gcloud auth application-default login`."
        found.wrong(("provider", "gcp_credentials", "credentials"), told, at_key=True)
    for name, kind in prepared["available_node_types"].items():
        path: Path = ("available_node_types", name, "node_config", "networkInterfaces")
        interfaces = list_of(kind["node_config"].get("networkInterfaces"))
        if not interfaces:
            told = "is missing. The default network lets SSH in from everywhere: name a subnetwork of your own."
            found.wrong(path, told)
        for place, interface in enumerate(interfaces):
            network = str(map_of(interface).get("subnetwork") or map_of(interface).get("network") or "")
            if not network or network.rsplit("/", 1)[-1] == "default":
                told = (
                    f"got {network or 'none'}. The default network lets SSH in from everywhere: name one of your own."
                )
                found.wrong((*path, place), told)
