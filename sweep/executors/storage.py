"""Whether a cluster's nodes have the studies' folder in common: checkpoints are written by one, read by another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.errors import InputError
from sweep.executors.nodes import Seen
from sweep.store.markers import marked, sees

ANSWER_S = 120.0
"""How long a node may take to look: on a busy one a process has to start for it."""


def check(storage: Path, nodes: Mapping[str, str]) -> None:
    """See that nodes find there what this process writes.

    Args:
        storage: folder of the studies.
        nodes: name to Ray's id of those that trials may run on.

    Raises:
        InputError: some don't.
    """
    if found := unshared(storage, nodes):
        raise InputError(refusal(storage, found))


def unshared(storage: Path, nodes: Mapping[str, str]) -> list[str]:
    """Those nodes that don't see a file which this process writes in the folder.

    This process's own node isn't asked, and one that gives no answer isn't listed: when it is gone, Ray tells.
    """
    here = ray.get_runtime_context().get_node_id()
    others = {name: node for name, node in nodes.items() if node != here}
    if not others:
        return []
    with marked(storage) as marker:
        if marker is None:
            return []
        asked = {name: _ask(node).remote(marker) for name, node in others.items()}
        # All at once, so that it lasts as long as the slowest.
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_S)
        return [name for name, answer in asked.items() if not _saw(answer)]


@dataclass(frozen=True)
class _Asked:
    """A node that has joined and was asked.

    Attributes:
        seen: that it has joined.
        answer: whether it sees the marker.
        marker: removes the marker.
    """

    seen: Seen
    answer: Any
    marker: ExitStack


class Gate:
    """Lets nodes that join in when they are known to have the studies' folder, without waiting for their answer.

    Args:
        studies: the folder.
        id_of: Ray's id of a node, by its name.
    """

    def __init__(self, studies: Path, id_of: Callable[[str], str | None]) -> None:
        self._studies = studies
        self._id_of = id_of
        self._asked: dict[str, _Asked] = {}

    def take(self, seen: Iterable[Seen]) -> list[Seen]:
        """What is true by now of what was seen: that a node has joined is told later, or that it is barred."""
        told = []
        for each in seen:
            name = each.node.name
            if each.change == "joined" and each.node.works:
                told += self._ask(each)
            elif name not in self._asked:
                told.append(each)
            else:
                # Nobody knew of it, so nobody need know that it goes.
                self._asked.pop(name).marker.close()
        return [*told, *self._answered()]

    def close(self) -> None:
        """Nobody's answer is waited for any more."""
        for asked in self._asked.values():
            asked.marker.close()
        self._asked.clear()

    def _ask(self, seen: Seen) -> list[Seen]:
        node, stack = self._id_of(seen.node.name), ExitStack()
        marker = stack.enter_context(marked(self._studies))
        if node is None or marker is None:
            stack.close()
            return [seen]
        self._asked[seen.node.name] = _Asked(seen, _ask(node).remote(marker), stack)
        return []

    def _answered(self) -> list[Seen]:
        told = []
        for name, asked in list(self._asked.items()):
            if ray.wait([asked.answer], timeout=0)[0]:
                del self._asked[name]
                asked.marker.close()
                barred = replace(asked.seen, change="barred", reason=refusal(self._studies, [name]))
                told.append(asked.seen if _saw(asked.answer) else barred)
        return told


def refusal(storage: Path, nodes: Collection[str]) -> str:
    """What to tell of nodes that don't have the folder."""
    listed = ", ".join(nodes)
    return (
        f"storage: {storage.absolute()} on {listed} isn't the folder of that name here on {_host()}, where the study's "
        "driver runs: a trial's checkpoints would lie where nobody else finds them. Mount one folder on all nodes "
        "(NFS, EFS) and name it: storage: in the search file, or --set storage=FOLDER. "
        "`sweep doctor --address auto --storage FOLDER` on a node looks at all of them."
    )


def _host() -> str:
    here = ray.get_runtime_context().get_node_id()
    return next((str(node["NodeManagerHostname"]) for node in ray.nodes() if node["NodeID"] == here), "this node")


def _ask(node: str) -> Any:
    """`sees` as a task on this node, which takes no core from the trials there."""
    return ray.remote(sees).options(
        num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
    )


def _saw(answer: Any) -> bool:
    try:
        return bool(ray.get(answer, timeout=0))
    except ray.exceptions.RayError:
        return True
