"""`node_config` on Google's Compute Engine, against its discovery document as google-api-python-client ships it."""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from typing import Any

from sweep.cluster.machines import Machine
from sweep.cluster.remarks import Remarks, unknown
from sweep.cluster.values import is_list, is_map, scalar
from sweep.core.positions import Path

Config = dict[str, Any]

_SCALARS = {"string": "text", "boolean": "flag", "integer": "whole", "number": "number"}


def node_problems(path: Path, node: Config, there: Machine, found: Remarks) -> None:
    """What Compute Engine would refuse in this request.

    Raises:
        ModuleNotFoundError: google-api-python-client isn't installed.
    """
    if "machineType" not in node:
        if "acceleratorType" in node or "acceleratorConfig" in node:
            found.wrong(path, "is a TPU, which sweep doesn't train on. Write machineType: g2-standard-8.")
        else:
            found.wrong((*path, "machineType"), "is missing. Write machineType: g2-standard-8.")
        return
    _entry(path, node, "Instance", found)
    if not node.get("disks") and not node.get("sourceInstanceTemplate"):
        found.wrong((*path, "disks"), "is missing. The machine needs one to start from, with boot: true and an image.")
    for zone in re.findall(r"zones/([\w-]+)/machineTypes", str(node["machineType"])):
        told = f"names the zone {zone} itself; provider.availability_zone has to be that."
        found.doubt((*path, "machineType"), told)
    scheduling = node.get("scheduling") or {}
    if there.gpu and isinstance(scheduling, dict) and scheduling.get("onHostMaintenance") != "TERMINATE":
        came = scheduling.get("onHostMaintenance", "none")
        told = f"got {came}. A machine with a GPU can't be moved while it runs: write onHostMaintenance: TERMINATE."
        found.wrong((*path, "scheduling", "onHostMaintenance"), told)


def _entry(path: Path, value: Any, name: str, found: Remarks) -> None:
    """Hold a map to a schema of the document."""
    if not is_map(path, value, found):
        return
    known = discovery()["schemas"][name]["properties"]
    for key, item in value.items():
        if key in known:
            _hold((*path, key), item, known[key], found)
        # Ray's: the name of a template that the machine is made from.
        elif (name, key) != ("Instance", "sourceInstanceTemplate"):
            found.wrong((*path, key), unknown(key, known, f"of Compute Engine's {name}"), at_key=True)


def _hold(path: Path, value: Any, known: Config, found: Remarks) -> None:
    kind = known.get("type", "")
    if "$ref" in known:
        _entry(path, value, known["$ref"], found)
    elif kind == "array":
        if is_list(path, value, found):
            for place, item in enumerate(value):
                _hold((*path, place), item, known["items"], found)
    elif kind == "object":
        if is_map(path, value, found):
            for key, item in value.items():
                _hold((*path, key), item, known.get("additionalProperties", {}), found)
    elif known.get("format") not in ("int64", "uint64") or not isinstance(value, int) or isinstance(value, bool):
        # Large numbers are texts in this API, and numbers are taken for them.
        scalar(path, value, _SCALARS.get(kind, ""), found, choices=known.get("enum"), api="Compute Engine")


@functools.cache
def discovery() -> Config:
    """The description of the API; 5 MB of JSON, so it is read once.

    Raises:
        ModuleNotFoundError: google-api-python-client isn't installed.
    """
    file = resources.files("googleapiclient.discovery_cache") / "documents" / "compute.v1.json"
    found: Config = json.loads(file.read_text(encoding="utf-8"))
    return found
