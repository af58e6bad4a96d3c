"""Who may run beside whom: what the nodes offer, and what the attempts at work hold of it.

The same arithmetic tells before the start how many trials fit (`count`) and, while they run, whether one more does.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

GRAIN = 10_000
"""Shares are counted in ten-thousandths, as Ray counts them: sums of floats would drift."""

MOST_ON_A_GPU = 16
"""A share that is found rather than named is no smaller than one of so many."""


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster offers.

    Attributes:
        name: unlike any other's.
        cpu: cores.
        gpu: GPUs.
        gpu_memory: bytes of its smallest GPU; None where nobody has asked.
        price: what an hour of it costs; None where the cluster doesn't say.
    """

    name: str
    cpu: float
    gpu: float
    gpu_memory: int | None = None
    price: float | None = None

    @property
    def works(self) -> bool:
        """Whether trials may run there."""
        return self.cpu > 0 or self.gpu > 0


@dataclass(frozen=True)
class Demand:
    """What one attempt holds: a share of one GPU up to 1, or whole GPUs of one node; and cores of that node."""

    gpu: float = 0.0
    cpu: float = 1.0


def share_of(part: float) -> float:
    """The smallest share of the form 1/k that holds this part of a GPU, so that k of them fill it.

    Args:
        part: above 0; more than a GPU gives a whole one.
    """
    at_once = min(MOST_ON_A_GPU, max(1, int(1 / part + 1e-9)))
    return GRAIN // at_once / GRAIN


def count(nodes: Sequence[Node], demand: Demand) -> int:
    """How many attempts that demand the same fit at once on nodes that are free."""
    return sum(_count(node, _needed(demand.gpu), _needed(demand.cpu)) for node in nodes)


def _count(node: Node, gpu: int, cpu: int) -> int:
    by_cpu = _offered(node.cpu) // cpu
    if not gpu:
        return by_cpu
    # Fractions don't span GPUs: three times 0.3 fit on one, and a tenth of it stays idle.
    by_gpu = int(node.gpu) * (GRAIN // gpu) if gpu <= GRAIN else int(node.gpu) * GRAIN // gpu
    return min(by_cpu, by_gpu)


def _needed(amount: float) -> int:
    """What Ray takes for it, which leaves out what is below a grain: of 1/3 there are three to a GPU."""
    return max(math.floor(amount * GRAIN + 1e-6), amount > 0)


def _offered(amount: float) -> int:
    return math.floor(amount * GRAIN + 1e-6)


@dataclass(frozen=True)
class _Place:
    node: int
    gpus: tuple[int, ...]


@dataclass(frozen=True)
class _Held:
    place: _Place
    gpu: int
    cpu: int


@dataclass(frozen=True)
class _Waiting:
    """The head of the line, and the place that is kept for it."""

    key: int
    demand: Demand
    place: _Place


class _Free:
    """What a node has left, in grains; of each GPU by its index."""

    def __init__(self, node: Node) -> None:
        self.cpu = _offered(node.cpu)
        self.gpus = [GRAIN] * int(node.gpu)


class Pool:
    """The books of who holds what. Without nodes it only counts heads.

    An attempt is put where the least stays free beside it: on a GPU that is in use already rather than on a fresh one;
    on a node with GPUs only when it wants one or no other has the cores. So equal shares are on as few GPUs as hold
    them.

    Args:
        nodes: what there is.
        limit: attempts at once, whatever they hold.
    """

    def __init__(self, nodes: Sequence[Node] = (), *, limit: int | None = None) -> None:
        self._nodes = list(nodes)
        self._free = [_Free(node) for node in nodes]
        self._index = {node.name: index for index, node in enumerate(nodes)}
        self._limit = math.inf if limit is None else limit
        self._closed: set[int] = set()
        self._held: dict[int, _Held] = {}
        self._line: _Waiting | None = None
        # An event costs the same however many nodes there are, while nothing is given back.
        self._misfits: set[Demand] = set()

    def add(self, node: Node) -> None:
        """One more node; it may have the name of one that was closed."""
        self._index[node.name] = len(self._nodes)
        self._nodes.append(node)
        self._free.append(_Free(node))
        self._misfits.clear()

    def close(self, name: str) -> None:
        """Nothing more is put on this node; what is there stays until it is given back. Harmless without such a node.

        A node that is gone stays closed, for whoever held something there gives it back when its end is known.
        """
        index = self._index.get(name)
        if index is None:
            return
        self._closed.add(index)
        if self._line is not None and self._line.place.node == index:
            self._line = None
        self._misfits.clear()

    def limit(self, most: int | None) -> None:
        """From now on so many at once, whatever they hold."""
        self._limit = math.inf if most is None else most

    @property
    def full(self) -> bool:
        """As many are at work as may be."""
        return len(self._held) >= self._limit

    def fits(self, demand: Demand) -> bool:
        """Whether one more can start now, without taking what the head of the line waits for."""
        return not self.full and self._best(demand) is not None

    def take(self, key: int, demand: Demand, *, but: str | None = None) -> str | None:
        """Write down that `key` holds this from now on.

        Args:
            key: who.
            demand: what.
            but: a node that won't do.

        Returns:
            The node's name, "" where only heads are counted; None when it doesn't fit.
        """
        place = None if self.full else self._best(demand, None if but is None else self._index.get(but))
        if place is None:
            return None
        if key in self._held:
            raise ValueError(f"{key} holds something already")
        self._held[key] = held = _Held(place, _needed(demand.gpu), _needed(demand.cpu))
        self._book(held, -1)
        if self._line is not None and self._line.key == key:
            self._line = None
            self._misfits.clear()
        return self._nodes[place.node].name if self._nodes else ""

    def give(self, key: int) -> None:
        """What `key` held is free again; harmless when it held nothing."""
        held = self._held.pop(key, None)
        if held is not None:
            self._book(held, +1)
            self._misfits.clear()

    def move(self, key: int, node: str, gpus: Sequence[int]) -> None:
        """`key` was found to be on these GPUs; what can't be, by these books, is left as it was."""
        held, index = self._held.get(key), self._index.get(node)
        if held is None or index is None or len(gpus) != len(held.place.gpus):
            return
        place = _Place(index, tuple(gpus) if gpus else ())
        if place == held.place or any(gpu >= len(self._free[index].gpus) for gpu in gpus):
            return
        self._book(held, +1)
        free = self._free[index]
        possible = free.cpu >= held.cpu and all(free.gpus[gpu] >= min(held.gpu, GRAIN) for gpu in gpus)
        moved = _Held(place, held.gpu, held.cpu) if possible else held
        self._held[key] = moved
        self._book(moved, -1)
        self._misfits.clear()

    def wait(self, key: int, demand: Demand) -> None:
        """`key` stands at the head of the line and fits nowhere yet: nobody else takes what becomes free for it.

        Until it takes something it is kept one place, where the least has to end before it fits.
        """
        if self._line is None or (self._line.key, self._line.demand) != (key, demand):
            place = self._soonest(demand)
            self._line = None if place is None else _Waiting(key, demand, place)
            self._misfits.clear()

    def keep_for(self, waiting: Container[int]) -> None:
        """Nothing is kept for a head of the line that isn't among these any more: it has gone without a place."""
        if self._line is not None and self._line.key not in waiting:
            self._line = None
            self._misfits.clear()

    def gpus_in_use(self) -> int:
        """How many GPUs somebody holds a part of."""
        return sum(part < GRAIN for free in self._free for part in free.gpus)

    # Books

    def _book(self, held: _Held, sign: int) -> None:
        if not self._nodes:
            return
        free = self._free[held.place.node]
        free.cpu += sign * held.cpu
        for gpu in held.place.gpus:
            free.gpus[gpu] += sign * min(held.gpu, GRAIN)

    # Places

    def _best(self, demand: Demand, but: int | None = None) -> _Place | None:
        if not self._nodes:
            return _Place(0, ())
        if demand in self._misfits:
            return None
        places = (scored for scored in self._places(demand) if scored[1].node != but)
        found = min(places, default=None, key=lambda scored: scored[0])
        if found is None:
            if but is None:
                self._misfits.add(demand)
            return None
        return found[1]

    def _places(self, demand: Demand) -> Iterator[tuple[tuple[int, ...], _Place]]:
        """Where it fits, each place with what counts against it."""
        gpu, cpu = _needed(demand.gpu), _needed(demand.cpu)
        for index, free in enumerate(self._free):
            kept_cpu, kept_gpus = self._kept(index, demand)
            if index in self._closed or free.cpu - kept_cpu < cpu:
                continue
            if not gpu:
                yield (len(free.gpus) > 0, -free.cpu, index), _Place(index, ())
            elif gpu <= GRAIN:
                for number, part in enumerate(free.gpus):
                    if part >= gpu and number not in kept_gpus:
                        yield (part, index, number), _Place(index, (number,))
            else:
                whole = [number for number, part in enumerate(free.gpus) if part == GRAIN and number not in kept_gpus]
                if len(whole) * GRAIN >= gpu:
                    yield (len(whole), index), _Place(index, tuple(whole[: gpu // GRAIN]))

    def _kept(self, node: int, demand: Demand) -> tuple[int, tuple[int, ...]]:
        """What of a node is kept for the head of the line; nothing for one that asks for the same."""
        line = self._line
        if line is None or line.demand == demand or line.place.node != node:
            return 0, ()
        return _needed(line.demand.cpu), line.place.gpus

    def _soonest(self, demand: Demand) -> _Place | None:
        """Where the most is free already; None when it fits nowhere even when all are gone."""
        gpu, cpu = _needed(demand.gpu), _needed(demand.cpu)
        wanted = -(-gpu // GRAIN)
        found: list[tuple[int, int, int, _Place]] = []
        for index, (node, free) in enumerate(zip(self._nodes, self._free, strict=True)):
            if index not in self._closed and _count(node, gpu, cpu):
                most = sorted(range(len(free.gpus)), key=lambda number: (-free.gpus[number], number))[:wanted]
                place = _Place(index, tuple(sorted(most)))
                found.append((-sum(free.gpus[number] for number in most), -free.cpu, index, place))
        return min(found)[3] if found else None


def gpus_of(device: str) -> tuple[int, ...]:
    """The GPUs that a device names: "cuda:0,1"."""
    numbers = device.removeprefix("cuda:").split(",") if device.startswith("cuda:") else []
    return tuple(int(number) for number in numbers) if all(number.isdecimal() for number in numbers) else ()
