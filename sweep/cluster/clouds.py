"""`node_config`, which Ray passes on to the cloud unread: its fields, and what machine it is."""

from __future__ import annotations

from typing import Any

from sweep.cluster import aws, gcp
from sweep.cluster.machines import Machine, ec2, gce
from sweep.cluster.reading import list_of, map_of
from sweep.cluster.remarks import Remarks
from sweep.core.positions import Path

Config = dict[str, Any]
TYPES = "available_node_types"

MISSING = "node_config is not checked: {package} isn't here. Install it: pip install 'sweep[{extra}]'."


def node_config_problems(config: Config, found: Remarks) -> None:
    """Unknown fields, wrong values and machines that don't have what `resources` says.

    Args:
        config: the file, which has passed Ray's schema.
        found: takes problems and doubts; where the cloud's description isn't installed, that.
    """
    kind = config["provider"]["type"]
    nodes = [((TYPES, name, "node_config"), each["node_config"]) for name, each in (config.get(TYPES) or {}).items()]
    try:
        for path, node in nodes:
            if kind == "aws":
                aws.node_problems(path, node, found)
            elif kind == "gcp":
                gcp.node_problems(path, node, machine(kind, node), found)
    except ModuleNotFoundError:
        package = {"aws": "boto3", "gcp": "google-api-python-client"}[kind]
        found.doubt((TYPES,), MISSING.format(package=package, extra=kind))
    if nodes and kind not in ("aws", "gcp", "local"):
        found.doubt((TYPES,), f"node_config is not checked: there is no offline description of {kind}.")
    for path, node in nodes:
        _resources(path[:-1], config[TYPES][path[1]]["resources"], machine(kind, node), found)


def machine(kind: str, node: Config) -> Machine:
    """What the machine of a `node_config` has."""
    if kind == "aws" and isinstance(node.get("InstanceType"), str):
        return ec2(node["InstanceType"])
    if kind == "gcp" and isinstance(node.get("machineType"), str):
        attached = [
            (str(one.get("acceleratorType", "")), count)
            for one in list_of(node.get("guestAccelerators"))
            if isinstance(one, dict) and isinstance(count := one.get("acceleratorCount"), int)
        ]
        return gce(node["machineType"], attached)
    return Machine()


def machine_name(node: Config) -> str:
    """What the machine is called: `g6.xlarge`."""
    return str(node.get("InstanceType") or node.get("machineType") or "").rsplit("/", 1)[-1]


def is_spot(node: Config) -> bool:
    """Whether the cloud may take the machine back at any moment."""
    market = map_of(node.get("InstanceMarketOptions"))
    scheduling = map_of(node.get("scheduling"))
    return (
        market.get("MarketType") == "spot"
        or scheduling.get("provisioningModel") == "SPOT"
        or scheduling.get("preemptible") is True
    )


def _resources(path: Path, said: Config, there: Machine, found: Remarks) -> None:
    if "CPU" not in said:
        found.wrong((*path, "resources"), "say at least CPU, and GPU where it has some.")
    gpu = said.get("GPU", 0)
    if there.gpu is not None and gpu != there.gpu:
        what = f"{there.gpu} {there.gpu_name}".strip() if there.gpu else "no GPU"
        told = f"got {gpu}, and this machine has {what}. Write GPU: {there.gpu}, or name another machine."
        found.wrong((*path, "resources", "GPU"), told)
    if there.cpu is not None and said.get("CPU", 0) > there.cpu:
        found.wrong((*path, "resources", "CPU"), f"got {said['CPU']}, and this machine has {there.cpu} cores.")
