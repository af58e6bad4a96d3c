"""Examines every node of a Ray cluster that this machine can join, and whether they fit each other."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.core.agreement import agreement
from sweep.core.findings import Examined, Finding, Report, Versions
from sweep.doctor.examination import examine
from sweep.executors.cluster import VersionError, connect, quiet
from sweep.store.markers import marked, sees
from sweep.store.paths import Place

ALL = "all together"
SKEW_S = 1.0
_NODE_S = 400.0
"""A node's probes have limits of their own, of 300 s together."""
_MASK = "CUDA_VISIBLE_DEVICES"
_HEAD = "node:__internal_head__"


@dataclass(frozen=True)
class Seen:
    """A node as it sees itself.

    Attributes:
        examined: its findings.
        versions: what it runs.
        marker: whether it sees the file that this machine wrote in the storage folder.
    """

    examined: Examined
    versions: Versions
    marker: bool


def examine_cluster(address: str, storage: Place, registry: Place) -> Report:
    """Examine all nodes, at once, and compare them.

    Args:
        address: "auto" or HOST:PORT.
        storage: of the studies; a folder all nodes have to share.
        registry: of the models.

    Raises:
        InputError: nobody answers there, or it doesn't let us in.
    """
    try:
        with quiet(), _joined(address):
            return _examined(_absolute(storage), _absolute(registry))
    except VersionError as error:
        here = Versions("this machine", platform.python_version(), ray.__version__)
        versions = (error.head, here)
        return Report((Examined(ALL, tuple(agreement(versions))),), versions)


@contextmanager
def _joined(address: str) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    connect({"address": address, "log_to_driver": False, "logging_level": logging.ERROR})
    try:
        yield
    finally:
        ray.shutdown()


def _absolute(place: Place) -> Place:
    return place.absolute() if isinstance(place, Path) else place


def _examined(storage: Place, registry: Place) -> Report:
    names = nodes(ray.nodes())
    asked = {name: _on(node, max_calls=1)(on_node) for node, name in names.items()}
    here = Versions("this machine", platform.python_version(), ray.__version__)
    # A bucket is one by itself: there is nothing that nodes could fail to see.
    with marked(storage) if isinstance(storage, Path) else nullcontext() as marker:
        answers = {name: ask.remote(storage, registry, marker, name) for name, ask in asked.items()}
        seen = [_answer(name, answer) for name, answer in answers.items()]
    found = [node for node in seen if isinstance(node, Seen)]
    dead = [node for node in seen if isinstance(node, Examined)]
    versions = (*(node.versions for node in found), here)
    together = [
        *agreement(versions),
        *(_seen(storage, found) if isinstance(storage, Path) else []),
        clocks(_clocks(names)),
    ]
    places = (*(node.examined for node in found), *dead, Examined(ALL, tuple(together)))
    return Report(places, versions)


def _seen(storage: Path, found: Sequence[Seen]) -> list[Finding]:
    return [shared(storage, [(node.versions.place, node.marker) for node in found])]


def nodes(known: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Id to name of the nodes that are alive, the head first; two on one host are told apart by their ids."""
    alive = sorted((node for node in known if node["Alive"]), key=lambda node: _HEAD not in node["Resources"])
    hosts = [node["NodeManagerHostname"] for node in alive]
    return {
        node["NodeID"]: host if hosts.count(host) == 1 else f"{host}/{node['NodeID'][:8]}"
        for node, host in zip(alive, hosts, strict=True)
    }


def on_node(storage: Place, registry: Place, marker: Path | None, place: str) -> Seen:
    """What a node says of itself; runs there."""
    # Ray hides the GPUs from a task that asks for none; an examination takes none away from anyone.
    if os.environ.get(_MASK) == "":
        del os.environ[_MASK]
    examined = examine(storage, registry, place)
    return Seen(
        examined, Versions(place, platform.python_version(), ray.__version__), marker is not None and sees(marker)
    )


def shared(storage: Path, seen: Sequence[tuple[str, bool]]) -> Finding:
    """Whether all nodes have the same storage folder: checkpoints are written by one and read by another."""
    blind = [name for name, sees in seen if not sees]
    if blind:
        advice = "Mount one folder on all nodes (NFS, EFS) and name it: --storage, or storage: in the search file."
        return Finding("shared storage", "fail", f"{storage}: not the same folder on {', '.join(blind)}", advice)
    return Finding("shared storage", "ok", f"{storage} is one folder on {len(seen)} of {len(seen)}")


def clocks(read: Mapping[str, tuple[float, float, float]]) -> Finding:
    """Whether the nodes' clocks agree with this machine's.

    Args:
        read: node to (our time before asking, its time, our time after).
    """
    off = {name: max(before - its, its - after, 0.0) for name, (before, its, after) in read.items()}
    wrong = [f"{name} by {seconds:.0f} s" for name, seconds in off.items() if seconds > SKEW_S]
    if wrong:
        return Finding(
            "clocks", "warn", f"differ: {', '.join(wrong)}", "Set them all by NTP: events and logs go by them."
        )
    return Finding("clocks", "ok", f"within {SKEW_S:.0f} s of each other")


def _clocks(names: Mapping[str, str]) -> dict[str, tuple[float, float, float]]:
    read = {}
    for node, name in names.items():
        with contextlib.suppress(ray.exceptions.RayError):
            ask = _on(node)(_now)
            ray.get(ask.remote(), timeout=_NODE_S)  # the first call starts a process
            before = time.time()
            its = ray.get(ask.remote(), timeout=_NODE_S)
            read[name] = (before, its, time.time())
    return read


def _now() -> float:
    return time.time()


def _on(node: str, **options: Any) -> Any:
    """A decorator: the function runs on this node, and takes no CPU from the trials there."""
    return ray.remote(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False), **options)


def _answer(name: str, answer: Any) -> Seen | Examined:
    """A node's answer, or the finding that there is none."""
    try:
        return ray.get(answer, timeout=_NODE_S)  # type: ignore[no-any-return]
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[-1]
        advice = "Is sweep installed there, in the same version? Most simply all nodes run the same image."
        return Examined(name, (Finding("node", "fail", why, advice),))
