"""The nodes of a Ray cluster as they come and go, by a look at its control store now and then."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray

# As Ray Serve does: no public call tells which nodes drain.
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from sweep.core.limits import PRICE_LABEL
from sweep.core.pool import Node

LOOK_S = 1.0
"""How often it is looked: the least time between two looks."""

ANSWER_S = 2.0
"""How long the control store may take to answer; the look after that asks again."""

KNOCK_S = 0.5
"""How long a node that is doubted may take to answer a knock."""

KNOCKS = 256
"""At how many nodes it is knocked at once."""

_DRAINED = "it was announced to go"
_DEATHS = {1: "it was shut down", 2: "it died", 3: _DRAINED, 4: "it had nothing to do"}
"""By Ray's NodeDeathInfo.Reason."""


@dataclass(frozen=True)
class Sight:
    """A node as the control store shows it.

    Attributes:
        id: Ray's name for it.
        host: its host's name.
        cpu: cores that it offers.
        gpu: GPUs that it offers.
        price: what an hour of it costs, where a label says so.
        alive: whether it is there.
        drains: whether it was announced to go.
        until: when, in seconds since 1970; None where nothing is said.
        death: why it isn't there, where that is known.
        door: address and port where its part of Ray listens.
    """

    id: str
    host: str
    cpu: float = 0.0
    gpu: float = 0.0
    price: float | None = None
    alive: bool = True
    drains: bool = False
    until: float | None = None
    death: str = ""
    door: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Seen:
    """What has become of a node since the look before; see `sweep.core.events.NodeChanged`."""

    change: Literal["joined", "barred", "draining", "left"]
    node: Node
    reason: str = ""


class Nodes:
    """Each node under its host's name, which a second one on the same host doesn't get: that is told apart by its id.

    A host that comes back after its node has gone has its name again. One that is doubted is there if it answers a
    knock, for Ray calls a node dead only after it has missed some of its calls.

    Args:
        answers: whether somebody listens at a door.
    """

    def __init__(self, answers: Callable[[tuple[str, int]], bool] | None = None) -> None:
        self._answers = answers or _answers
        self._nodes: dict[str, Node] = {}  # those that are there, by id
        self._draining: set[str] = set()
        self._doubted: set[str] = set()

    def take(self, sights: Iterable[Sight], now: float) -> list[Seen]:
        """Take in what was seen; what is gone comes before what is new."""
        sights = list(sights)
        deaths = {sight.id: sight.death for sight in sights if not sight.alive}
        alive = {sight.id: sight for sight in sights if sight.alive}
        self._doubted &= alive.keys()
        for key in self._silent([alive[key] for key in sorted(self._doubted)]):
            del alive[key]
            deaths[key] = "it doesn't answer"
        self._doubted -= alive.keys()
        seen = [self._gone(key, deaths.get(key, "")) for key in list(self._nodes) if key not in alive]
        for sight in alive.values():
            if sight.id not in self._nodes:
                seen.append(Seen("joined", self._named(sight)))
            if sight.drains and sight.id not in self._draining:
                self._draining.add(sight.id)
                seen.append(Seen("draining", self._nodes[sight.id], _notice(sight.until, now)))
        return seen

    def _silent(self, doubted: Sequence[Sight]) -> list[str]:
        """Those that don't answer. All are knocked at together: of a rack that has gone each takes its whole time."""
        if not doubted:
            return []
        with ThreadPoolExecutor(min(len(doubted), KNOCKS), thread_name_prefix="knock") as pool:
            answers = pool.map(self._answers, [sight.door for sight in doubted])
            return [sight.id for sight, answer in zip(doubted, answers, strict=True) if not answer]

    def _named(self, sight: Sight) -> Node:
        taken = {node.name for node in self._nodes.values()}
        name = f"{sight.host}/{sight.id[:8]}" if sight.host in taken else sight.host
        node = self._nodes[sight.id] = Node(name, sight.cpu, sight.gpu, price=sight.price)
        return node

    def _gone(self, key: str, death: str) -> Seen:
        drained, node = key in self._draining, self._nodes.pop(key)
        self._draining.discard(key)
        return Seen("left", node, _DRAINED if drained else death)

    def doubt(self, name: str) -> None:
        """Something was lost on the node: it may be gone."""
        key = self.id_of(name)
        if key is not None:
            self._doubted.add(key)

    def measured(self, memory: Mapping[str, int | None]) -> None:
        """So many bytes has the smallest GPU of each, by name."""
        for key, node in self._nodes.items():
            if node.name in memory:
                self._nodes[key] = replace(node, gpu_memory=memory[node.name])

    @property
    def there(self) -> list[Node]:
        """Those that are there, draining ones too."""
        return list(self._nodes.values())

    @property
    def open(self) -> list[Node]:
        """Those on which something may be started."""
        return [node for key, node in self._nodes.items() if key not in self._draining]

    def id_of(self, name: str) -> str | None:
        """Ray's id of a node that is there."""
        return next((key for key, node in self._nodes.items() if node.name == name), None)

    def name_of(self, key: str) -> str | None:
        """The name of a node that is there, by Ray's id."""
        node = self._nodes.get(key)
        return node.name if node else None

    def takes(self, name: str) -> bool:
        """Whether something may be started on the node."""
        return any(node.name == name for node in self.open)

    def drains(self, name: str) -> bool:
        """Whether the node is there, and nothing may be started on it any more."""
        return any(self._nodes[key].name == name for key in self._draining if key in self._nodes)


def _notice(until: float | None, now: float) -> str:
    """Why it goes. One that is busy drains only when its machine is taken back: Ray refuses to drain it as idle."""
    return "" if until is None else f"its machine is taken back in {max(0.0, until - now):.0f} s"


def _answers(door: tuple[str, int]) -> bool:
    try:
        socket.create_connection(door, timeout=KNOCK_S).close()
    except OSError:
        return False
    return True


class Outlook:
    """Looks at the control store, no oftener than it should."""

    def __init__(self) -> None:
        self._client: Any = None
        self._next = 0.0

    def due(self) -> bool:
        """Whether the last look is long enough ago."""
        return time.monotonic() >= self._next

    def hurry(self) -> None:
        """The next look is due."""
        self._next = 0.0

    def look(self, answer_s: float = ANSWER_S) -> list[Sight] | None:
        """All nodes, the oldest first; None when the control store doesn't answer in so many seconds."""
        if self._client is None:
            self._client = GcsClient(address=ray.get_runtime_context().gcs_address)
        try:
            infos = self._client.get_all_node_info(timeout=answer_s)
            draining = self._client.get_draining_nodes(timeout=answer_s)
        except ray.exceptions.RayError:
            return None
        finally:
            self._next = time.monotonic() + LOOK_S
        aged = sorted(infos.items(), key=lambda each: (each[1].start_time_ms, each[0].hex()))
        return [_sight(key.hex(), info, draining) for key, info in aged]


def _price(label: str) -> float | None:
    """What a label says; None for one that is no price."""
    try:
        price = float(label)
    except ValueError:
        return None
    return price if 0 <= price < math.inf else None


def _sight(key: str, info: Any, draining: Mapping[str, int]) -> Sight:
    deadline_ms = draining.get(key, 0)
    return Sight(
        id=key,
        host=info.node_manager_hostname,
        cpu=info.resources_total.get("CPU", 0.0),
        gpu=info.resources_total.get("GPU", 0.0),
        price=_price(info.labels.get(PRICE_LABEL, "")),
        # ALIVE is the state's zero.
        alive=info.state == 0,
        drains=key in draining,
        until=deadline_ms / 1000 if deadline_ms else None,
        death=_DEATHS.get(info.death_info.reason, ""),
        door=(info.node_manager_address, info.node_manager_port),
    )
