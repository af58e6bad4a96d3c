"""How many trials fit on some machines at once, and what share of a GPU each gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sweep.core.pool import Demand, Node, count, share_of
from sweep.core.spec import Resources
from sweep.errors import ResourceError

MEMORY_SLACK = 0.98
"""GPUs of one kind differ by some MiB: a share that is so much of the memory asked for holds it."""


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
    # auto: a whole one, until the first trial has shown what it takes.
    share = 1.0 if resources.gpu == "auto" else float(resources.gpu)
    cpu = resources.cpu
    notes: tuple[str, ...] = ()
    most, cores = max((node.gpu for node in nodes), default=0), max((node.cpu for node in nodes), default=0)
    if cores <= 0:
        # A cluster's head may offer none by intent, so that trials don't run beside Ray's control store.
        raise ResourceError(
            "no node offers a core yet: this cluster's workers have not started. Start one (min_workers: 1), or wait."
        )
    if (share or resources.gpu_memory) and not most:
        cpu = min(cpu, cores)
        process = " and one process" if share > 1 else ""
        asked = _asked(resources)
        notes = (f"No GPU here: trials run on the CPU ({_cores(cpu)}{process} each, {asked} unused).",)
        share = 0.0
    elif resources.gpu_memory:
        named = 0.0 if resources.gpu == "auto" else share
        share = max(named, _share_of_memory(resources.gpu_memory, nodes))
    elif resources.gpu == "auto":
        notes = ("gpu: auto: a trial gets a whole GPU until the first has ended and shown how much memory it takes.",)
    if share > most:
        raise ResourceError(
            f"resources.gpu: a trial asks for {share:g} GPU{'s' * (share != 1)}, and no node has more than {most:g}. "
            "Lower it, or add a node."
        )
    slots = count(nodes, Demand(share, cpu))
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


def too_small(resources: Resources, share: float, node: Node) -> str:
    """Why a trial with this share lacks memory on a node's GPUs; "" where it doesn't, or nobody knows.

    For nodes that join: a share is that of the smallest GPU there was at the start.
    """
    if not (resources.gpu_memory and share and node.gpu and node.gpu_memory):
        return ""
    whole = node.gpu_memory / 2**30
    given = min(share, 1.0) * whole
    if given >= MEMORY_SLACK * resources.gpu_memory:
        return ""
    cure = " A resume gives trials a share that fits there too." if whole >= resources.gpu_memory else ""
    return (
        f"resources.gpu_memory: a trial asks for {resources.gpu_memory:g} GiB, and its share, {share:g} of a GPU, is "
        f"{given:.1f} GiB there.{cure}"
    )


def _asked(resources: Resources) -> str:
    found = [] if resources.gpu == 0 else [f"gpu: {resources.gpu if resources.gpu == 'auto' else f'{resources.gpu:g}'}"]
    return ", ".join(found + ([f"gpu_memory: {resources.gpu_memory:g}GiB"] if resources.gpu_memory else []))


def _share_of_memory(gib: float, nodes: Sequence[Node]) -> float:
    """The share of the smallest GPU that holds so many GiB.

    Raises:
        ResourceError: it has less, or nobody knows how much it has.
    """
    known = [node.gpu_memory for node in nodes if node.gpu and node.gpu_memory]
    if not known:
        raise ResourceError(
            "resources.gpu_memory: no node says how much memory its GPUs have (nvidia-smi is asked). "
            "Name a share: gpu: 0.25."
        )
    smallest = min(known) / 2**30
    if gib > smallest:
        raise ResourceError(
            f"resources.gpu_memory: a trial asks for {gib:g} GiB, and the smallest GPU has {smallest:.1f}. Lower it."
        )
    return share_of(gib / smallest)


def _cores(count: float) -> str:
    return f"{count:g} core{'s' * (count != 1)}"
