"""How many trials fit on some machines at once, and what share of a GPU each gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.core.spec import Resources
from sweep.errors import ResourceError


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster offers."""

    name: str
    cpu: float
    gpu: float


@dataclass(frozen=True)
class Grant:
    """What trials get on some machines.

    Attributes:
        slots: trials at once, at least 1.
        gpu: share of a GPU, or whole GPUs; 0 where there is none.
        cpu: cores.
        notes: what the user should know.
    """

    slots: int
    gpu: float
    cpu: float
    notes: tuple[str, ...] = ()


def grant(resources: Resources, nodes: Sequence[Node]) -> Grant:
    """How many trials fit at once, and what each gets.

    A file that asks for a GPU runs without one too, on the cores that there are.

    Raises:
        ResourceError: no node can hold even one trial, or none has a core yet.
    """
    share = float(resources.gpu) if isinstance(resources.gpu, int | float) else 0.0
    cpu = resources.cpu
    notes: tuple[str, ...] = ()
    most, cores = max((node.gpu for node in nodes), default=0), max((node.cpu for node in nodes), default=0)
    if cores <= 0:
        # A cluster's head may offer none by intent, so that trials don't run beside Ray's control store.
        raise ResourceError(
            "no node offers a core yet: this cluster's workers have not started. Start one (min_workers: 1), or wait."
        )
    if share and not most:
        cpu = min(cpu, cores)
        process = " and one process" if share > 1 else ""
        notes = (f"No GPU here: trials run on the CPU ({_cores(cpu)}{process} each, gpu: {share:g} unused).",)
        share = 0.0
    if share > most:
        raise ResourceError(
            f"resources.gpu: a trial asks for {share:g} GPU{'s' * (share != 1)}, and no node has more than {most:g}. "
            "Lower it, or add a node."
        )
    slots = sum(_fit(node, cpu, share) for node in nodes)
    if not slots:
        beside = f" beside {share:g} GPU" if share else ""
        raise ResourceError(
            f"resources.cpu: a trial asks for {_cores(cpu)}{beside}, and no node offers that: "
            f"the largest has {_cores(cores)}. Lower it, or add a node."
        )
    return Grant(min(slots, resources.max_concurrent or slots), share, cpu, notes)


def at_once(resources: Resources, slots: int, lanes: int) -> int:
    """Trials at once on so many slots, when a slot's process trains up to this many together."""
    return min(slots * lanes, resources.max_concurrent or slots * lanes)


def _cores(count: float) -> str:
    return f"{count:g} core{'s' * (count != 1)}"


def _fit(node: Node, cpu: float, share: float) -> int:
    by_cpu = int(node.cpu / cpu + 1e-9)
    if not share:
        return by_cpu
    # Fractions don't span GPUs: three times 0.3 fit on one, and a tenth of it stays idle.
    by_gpu = int(node.gpu) * int(1 / share + 1e-9) if share <= 1 else int(node.gpu // share)
    return min(by_cpu, by_gpu)
