"""A file for `ray up`: its checks in their order, and the machines it describes."""

from __future__ import annotations

import re
import sys
from typing import Any

from sweep.cluster import clouds, images, providers, ray_schema, security, starting
from sweep.cluster.reading import Document, map_of
from sweep.cluster.remarks import Remarks
from sweep.core.fleet import Fleet, NodeType
from sweep.core.limits import PRICE_LABEL
from sweep.core.positions import Path

Config = dict[str, Any]
PRICES: Path = ("metadata", "usd_per_hour")
PER_MACHINE: Path = ("metadata", "resources_per_machine")


def check(document: Document, *, own: images.Versions | None = None) -> tuple[Remarks, Fleet | None]:
    """Everything found in one file, and its fleet when it can be said.

    Later checks rest on earlier ones: a file whose values Ray's schema refuses isn't looked at further, for nobody
    knows what it means.
    """
    found = Remarks(document)
    config = ray_schema.schema_problems(document.data, found)
    if config is None:
        # What needs no meaning is told at once all the same.
        security.world_problems(document.data, found)
        security.secret_problems(document.data, found)
        return found, None
    providers.provider_problems(config, found)
    clouds.node_config_problems(config, found)
    said = images.image_problems(list(images.launcher_images(config)), found)
    stated = (config.get("metadata") or {}).get("versions")
    images.version_problems(
        config, said, found, own=own or images.own_versions(), stated=(("metadata", "versions"), stated)
    )
    starting.placeholders(config, found)
    _prices(config, found)
    prepared = ray_schema.prepared(config, found)
    if prepared is None:
        security.world_problems(config, found)
        security.secret_problems(config, found)
    else:
        security.security_problems(prepared, found)
        starting.start_problems(prepared, found)
        _spot(config, found)
    return found, None if found.problems else fleet(config, prepared)


def _prices(config: Config, found: Remarks) -> None:
    """A price above 0 for each node type, as `--for` and a budget in money need it."""
    types = config.get("available_node_types") or {}
    prices = (config.get("metadata") or {}).get("usd_per_hour")
    if not types:
        return
    if not isinstance(prices, dict):
        listed = ", ".join(f"{name}: 0.0" for name in types)
        found.doubt(PRICES, f"no prices are given, so no cost can be told. Write usd_per_hour: {{{listed}}}.")
        return
    for name in types:
        price = prices.get(name)
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 < price <= sys.float_info.max:
            found.wrong((*PRICES, name), f"expected a price above 0, got {price}.")
        elif (label := map_of(types[name].get("labels")).get(PRICE_LABEL)) is not None and label != f"{price:g}":
            told = f'got {label}, and metadata.usd_per_hour has {price:g}. Write "{price:g}" in both.'
            found.wrong(("available_node_types", name, "labels", PRICE_LABEL), told)
    for name in prices.keys() - types.keys():
        found.wrong((*PRICES, name), f"is none of the node types: {', '.join(types)}.", at_key=True)


def _spot(config: Config, found: Remarks) -> None:
    head = config.get("head_node_type")
    node = (config.get("available_node_types") or {}).get(head, {}).get("node_config", {})
    if clouds.is_spot(node):
        told = "the head is spot: when the cloud takes it back, the cluster is gone. Buy it on demand."
        found.doubt(("available_node_types", str(head), "node_config"), told)


def fleet(config: Config, prepared: Config | None) -> Fleet | None:
    """The machines of a file that is right; None where it doesn't say what they have."""
    if prepared is None:
        return None
    if config["provider"]["type"] == "local":
        return _own_machines(config, prepared)
    prices = map_of(map_of(config.get("metadata")).get("usd_per_hour"))
    head = prepared["head_node_type"]
    types = []
    for name, kind in prepared["available_node_types"].items():
        node = kind["node_config"]
        there = clouds.machine(config["provider"]["type"], node)
        types.append(
            NodeType(
                name,
                float(kind["resources"].get("CPU", 0)),
                float(kind["resources"].get("GPU", 0)),
                least=1 if name == head else kind.get("min_workers", 0),
                most=1 if name == head else min(kind["max_workers"], prepared["max_workers"]),
                machine=clouds.machine_name(node),
                gpu_memory=there.gpu_memory,
                usd_per_hour=prices.get(name),
                spot=clouds.is_spot(node),
                head=name == head,
            )
        )
    types.sort(key=lambda kind: not kind.head)
    return Fleet(tuple(types), prepared["max_workers"])


def _own_machines(config: Config, prepared: Config) -> Fleet | None:
    """Machines of one's own, where the start commands or the metadata say what Ray will count."""
    said = map_of(map_of(config.get("metadata")).get("resources_per_machine"))
    types = []
    for name, key in (("head", security.STARTS[0]), ("worker", security.STARTS[1])):
        start = next((command for path, command in security.ray_starts(prepared) if path[0] == key), "")
        cpu, gpu = (
            _option(start, option, said.get(what)) for option, what in (("num-cpus", "CPU"), ("num-gpus", "GPU"))
        )
        if cpu is None:
            return None
        number = 1 if name == "head" else len(config["provider"].get("worker_ips", ()))
        types.append(NodeType(name, cpu, gpu or 0.0, least=number, most=number, head=name == "head"))
    return Fleet(tuple(types))


def _option(command: str, name: str, otherwise: Any) -> float | None:
    if match := re.search(rf"--{name}[= ](\d+)", command):
        return float(match[1])
    return float(otherwise) if isinstance(otherwise, int | float) else None
