"""What a cluster file's machines hold of a study: trials at once, on which of them, at what price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.core.capacity import at_once, grant
from sweep.core.pool import Demand, Node, count
from sweep.core.spec import StudySpec


@dataclass(frozen=True)
class NodeType:
    """A kind of machine in a cluster file.

    Attributes:
        name: its name there.
        cpu: cores that Ray gives out.
        gpu: GPUs.
        least: how many there are as long as the cluster is up.
        most: how many there may be.
        machine: what the cloud calls it.
        gpu_memory: bytes of one of its GPUs; None where nobody knows.
        usd_per_hour: what one costs; None where the file doesn't say.
        spot: the cloud may take it back.
        head: it holds Ray's control store and the driver.
    """

    name: str
    cpu: float
    gpu: float
    least: int
    most: int
    machine: str = ""
    gpu_memory: int | None = None
    usd_per_hour: float | None = None
    spot: bool = False
    head: bool = False

    @property
    def node(self) -> Node:
        """One of them."""
        return Node(self.name, self.cpu, self.gpu, self.gpu_memory)


@dataclass(frozen=True)
class Fleet:
    """The machines of a cluster file.

    Attributes:
        types: the head's first.
        most_workers: of all types together; None where only each type has its limit.
    """

    types: tuple[NodeType, ...]
    most_workers: int | None = None

    def at_start(self) -> dict[str, int]:
        """How many of each type are there while the cluster is up."""
        return {kind.name: kind.least for kind in self.types}


@dataclass(frozen=True)
class Stage:
    """Some machines of a fleet at work.

    Attributes:
        nodes: how many of each type.
        trials: at once on them.
        usd_per_hour: of all; None where a price is missing.
    """

    nodes: dict[str, int]
    trials: int
    usd_per_hour: float | None


@dataclass(frozen=True)
class Fit:
    """A study on a fleet.

    Attributes:
        gpu: what a trial holds of a GPU, or whole GPUs.
        cpu: cores that it holds.
        per_node: how many trials one machine of each type holds.
        start: the machines that are always there.
        full: as many as may be, and as the study can fill.
        longest_h: hours, if the budget bounds them.
        notes: what the user should know.
    """

    gpu: float
    cpu: float
    per_node: dict[str, int]
    start: Stage
    full: Stage
    longest_h: float | None
    notes: tuple[str, ...]

    @property
    def most_usd(self) -> float | None:
        """What the machines cost if all are on from the study's start to the end of its time; None if unbounded."""
        if self.longest_h is None or self.full.usd_per_hour is None:
            return None
        return self.longest_h * self.full.usd_per_hour


def fit(spec: StudySpec, fleet: Fleet, *, lanes: int = 1) -> Fit:
    """How much of a study a fleet can do at once.

    Args:
        spec: its file.
        fleet: the machines.
        lanes: how many trials a process trains together (`resources.fuse`).

    Raises:
        ResourceError: no machine holds even one trial.
    """
    resources = spec.resources
    granted = grant(resources, [kind.node for kind in fleet.types])
    demand = Demand(granted.gpu, granted.cpu)
    per_node = {kind.name: count([kind.node], demand) for kind in fleet.types}
    limit = min(resources.max_concurrent or math.inf, spec.budget.trials or math.inf)

    def stage(nodes: dict[str, int]) -> Stage:
        slots = sum(number * per_node[name] for name, number in nodes.items())
        trials = at_once(resources, slots, lanes)
        return Stage(nodes, int(min(trials, limit)), _price(fleet.types, nodes))

    start = stage(fleet.at_start())
    full = stage(_filled(fleet, per_node, math.ceil(limit / lanes) if limit < math.inf else math.inf))
    return Fit(
        gpu=granted.gpu,
        cpu=granted.cpu,
        per_node=per_node,
        start=start,
        full=full,
        longest_h=spec.budget.time_s / 3600 if spec.budget.time_s else None,
        notes=(*granted.notes, *_notes(fleet, per_node, start, full)),
    )


def _filled(fleet: Fleet, per_node: dict[str, int], wanted: float) -> dict[str, int]:
    """Machines of each type when workers are added, those that are cheapest for a trial first, until all have room."""
    nodes = fleet.at_start()
    room = math.inf if fleet.most_workers is None else fleet.most_workers
    room -= sum(kind.least for kind in fleet.types if not kind.head)
    missing = wanted - sum(number * per_node[name] for name, number in nodes.items())
    for kind in sorted(fleet.types, key=lambda kind: _worth(kind, per_node[kind.name], limited=room < math.inf)):
        holds = per_node[kind.name]
        if holds and not kind.head and missing > 0:
            needed = math.ceil(missing / holds) if missing < math.inf else math.inf
            added = int(max(0, min(kind.most - kind.least, room, needed)))
            nodes[kind.name] += added
            room -= added
            missing -= added * holds
    return nodes


def _worth(kind: NodeType, holds: int, *, limited: bool) -> tuple[float, float, str]:
    """Sorts types. Where workers are limited in number the large ones come first, so that the most trials have room."""
    price = math.inf if kind.usd_per_hour is None or not holds else kind.usd_per_hour / holds
    return (-holds, price, kind.name) if limited else (price, -holds, kind.name)


def _price(types: Sequence[NodeType], nodes: dict[str, int]) -> float | None:
    total = 0.0
    for kind in types:
        if nodes[kind.name] and kind.usd_per_hour is None:
            return None
        total += nodes[kind.name] * (kind.usd_per_hour or 0.0)
    return total


def _notes(fleet: Fleet, per_node: dict[str, int], start: Stage, full: Stage) -> list[str]:
    notes = []
    if not start.trials:
        notes.append(
            "No trial has room on the machines that are there at the start, and a launch counts those: "
            "it is refused until a worker is up. Set min_workers to 1 in a type that holds trials."
        )
    heads = [kind for kind in fleet.types if kind.head]
    if any(per_node[kind.name] for kind in heads) and len(fleet.types) > 1:
        notes.append(
            "Trials run on the head too, beside Ray's control store. Give it no cores (CPU: 0) to keep them off."
        )
    idle = [kind.name for kind in fleet.types if not kind.head and not per_node[kind.name]]
    if idle:
        notes.append(f"No trial fits on {', '.join(idle)}.")
    unpriced = [kind.name for kind in fleet.types if kind.usd_per_hour is None]
    if unpriced and len(unpriced) < len(fleet.types):
        notes.append(f"No price is given for {', '.join(unpriced)}, so there is none for the whole.")
    if any(kind.spot and full.nodes[kind.name] for kind in fleet.types):
        notes.append("Spot machines are counted at the price in the file; the cloud's own may be lower.")
    return notes
