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


def grant(resources: Resources, nodes: Sequence[Node]) -> tuple[int, float, tuple[str, ...]]:
    """How many trials fit at once, the GPU share each gets, and what the user should know.

    Raises:
        ResourceError: no node can hold even one trial.
    """
    share = float(resources.gpu) if isinstance(resources.gpu, int | float) else 0.0
    notes: tuple[str, ...] = ()
    most = max(node.gpu for node in nodes)
    if share and not most:
        notes = (f"No GPU here: trials run on the CPU ({resources.cpu:g} core each, gpu: {share:g} unused).",)
        share = 0.0
    if share > most:
        raise ResourceError(
            f"resources.gpu: a trial asks for {share:g} GPUs, and no node has more than {most:g}. "
            "Lower it, or add a node."
        )
    slots = sum(_fit(node, resources.cpu, share) for node in nodes)
    if not slots:
        cores = max(node.cpu for node in nodes)
        raise ResourceError(
            f"resources.cpu: a trial asks for {resources.cpu:g} cores (and {share:g} GPU), and no node offers that: "
            f"the largest has {cores:g} cores. Lower it, or add a node."
        )
    return min(slots, resources.max_concurrent or slots), share, notes


def _fit(node: Node, cpu: float, share: float) -> int:
    by_cpu = int(node.cpu / cpu + 1e-9)
    if not share:
        return by_cpu
    # Fractions don't span GPUs: three times 0.3 fit on one, and a tenth of it stays idle.
    by_gpu = int(node.gpu) * int(1 / share + 1e-9) if share <= 1 else int(node.gpu // share)
    return min(by_cpu, by_gpu)
