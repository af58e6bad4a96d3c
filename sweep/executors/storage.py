"""Whether a cluster's nodes are fit for trials.

They have the studies' folder in common, for checkpoints are written by one and read by another; and their GPUs have the
memory that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.core.pool import Node
from sweep.errors import InputError
from sweep.executors.nodes import Seen
from sweep.machine import smallest_gpu
from sweep.store.markers import marked, sees

ANSWER_S = 120.0
"""How long a node may take to look: on a busy one a process has to start for it."""


class Check:
    """Has nodes look for what this process writes in the folder, while other things are done.

    This process's own node isn't asked, and one that gives no answer isn't named: when it is gone, Ray tells.

    Args:
        studies: the folder.
        nodes: name to Ray's id of those that trials may run on.
    """

    def __init__(self, studies: Path, nodes: Mapping[str, str]) -> None:
        here = ray.get_runtime_context().get_node_id()
        others = {name: node for name, node in nodes.items() if node != here}
        self._studies = studies
        self._marker = ExitStack()
        marker = self._marker.enter_context(marked(studies)) if others else None
        self._asked = {name: ask(sees, node).remote(marker) for name, node in others.items()} if marker else {}

    def settle(self) -> None:
        """Wait for the answers.

        Raises:
            InputError: some don't see it.
        """
        if self._asked:
            # All at once, so that it lasts as long as the slowest.
            ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=ANSWER_S)
        self.close()
        if apart := [name for name, answer in self._asked.items() if not _answer(answer, True)]:
            raise InputError(refusal(self._studies, apart))

    def close(self) -> None:
        """Nobody's answer is waited for any more."""
        self._marker.close()


def gpu_memory(nodes: Mapping[str, str]) -> dict[str, int | None]:
    """How much the smallest GPU of each node has; None of one that can't tell, or gives no answer."""
    asked = {name: ask(smallest_gpu, node).remote() for name, node in nodes.items()}
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_S)
    return {name: _answer(answer, None) for name, answer in asked.items()}


@dataclass(frozen=True)
class _Asked:
    """A node that has joined and was asked.

    Attributes:
        seen: that it has joined.
        sees: whether it sees the marker; None where there is nothing to see.
        memory: how much its smallest GPU has; None where that doesn't matter.
        marker: removes the marker.
    """

    seen: Seen
    sees: Any
    memory: Any
    marker: ExitStack

    @property
    def answers(self) -> list[Any]:
        """Those that are waited for."""
        return [answer for answer in (self.sees, self.memory) if answer is not None]


class Gate:
    """Lets nodes that join in when they are known to be fit for trials, without waiting for their answer.

    Args:
        studies: the folder that they have to have in common; None where they need none.
        id_of: Ray's id of a node, by its name.
        hinders: why trials can't run on a node whose GPUs' memory is known, "" where they can; None where the memory
            doesn't matter.
    """

    def __init__(
        self,
        studies: Path | None,
        id_of: Callable[[str], str | None],
        hinders: Callable[[Node], str] | None = None,
    ) -> None:
        self._studies = studies
        self._id_of = id_of
        self._hinders = hinders
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
        marker = stack.enter_context(marked(self._studies)) if self._studies is not None else None
        measures = self._hinders is not None and seen.node.gpu > 0
        if node is None or not (marker or measures):
            stack.close()
            return [seen]
        self._asked[seen.node.name] = _Asked(
            seen,
            ask(sees, node).remote(marker) if marker else None,
            ask(smallest_gpu, node).remote() if measures else None,
            stack,
        )
        return []

    def _answered(self) -> list[Seen]:
        told = []
        for name, asked in list(self._asked.items()):
            answers = asked.answers
            if len(ray.wait(answers, num_returns=len(answers), timeout=0)[0]) == len(answers):
                del self._asked[name]
                asked.marker.close()
                told.append(self._judged(asked))
        return told

    def _judged(self, asked: _Asked) -> Seen:
        node = asked.seen.node
        if asked.memory is not None:
            node = replace(node, gpu_memory=_answer(asked.memory, None))
        if self._studies is not None and asked.sees is not None and not _answer(asked.sees, True):
            return Seen("barred", node, refusal(self._studies, [node.name]))
        reason = self._hinders(node) if self._hinders is not None else ""
        return Seen("barred", node, reason) if reason else replace(asked.seen, node=node)


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


def ask(what: Callable[..., Any], node: str) -> Any:
    """A function as a task on this node, which takes no core from the trials there."""
    return ray.remote(what).options(
        num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
    )


def _answer(answer: Any, otherwise: Any) -> Any:
    """What a node has answered; when it is gone, Ray tells."""
    try:
        return ray.get(answer, timeout=0)
    except ray.exceptions.RayError:
        return otherwise
