"""The processes that attempts run in: made where there is room, kept from attempt to attempt, let go."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from sweep.core.pool import Demand, Node, Pool
from sweep.core.protocols import Fusing, RunAttempt
from sweep.executors.cluster import Cluster
from sweep.executors.worker import Worker


@dataclass(eq=False)
class Host:
    """A worker, and what it does.

    Attributes:
        worker: the actor.
        share: what it holds, for life.
        number: its own, in the books of who holds what.
        node: the one that it was meant for; once it has begun to work, the one that it is on.
        key: what its lanes have in common; None for one that is idle, or has an attempt that isn't fused.
        attempts: how many it runs.
        fit: whether it can take another.
        proven: it has begun an attempt, so it doesn't die of beginning one.
    """

    worker: Any
    share: Demand
    number: int
    node: str
    key: str | None = None
    attempts: int = 0
    fit: bool = True
    proven: bool = False


class Hosts:
    """All workers, and the books of what they hold.

    Args:
        cluster: where they are.
        run_attempt: sent to them by its name.
        warm_up: called once in each, before its first attempt.
        study: its name.
        fusing: which attempts train together, and how; None where each has a worker to itself.

    Attributes:
        lanes: how many attempts a worker takes at once.
    """

    def __init__(
        self,
        cluster: Cluster,
        run_attempt: RunAttempt,
        warm_up: Callable[[], None],
        *,
        study: str,
        fusing: Fusing | None,
    ) -> None:
        self.lanes = fusing.lanes if fusing else 1
        self._cluster = cluster
        self._run_attempt = run_attempt
        self._warm_up = warm_up
        self._fusing = fusing
        self._class = _named(study)
        self._pool = Pool()
        self._numbers = itertools.count()
        self._all: list[Host] = []

    def begin(self, nodes: tuple[Node, ...]) -> None:
        """These nodes are there, and free."""
        self._pool = Pool(nodes)

    def joined(self, node: Node) -> None:
        """Workers may be made on this node too."""
        self._pool.add(node)

    def closed(self, node: str) -> list[Host]:
        """No worker is made on this node any more, and those that are there take no other attempt; these."""
        self._pool.close(node)
        there = [host for host in self._all if host.node == node]
        for host in there:
            host.fit = False
        return there

    def idle(self) -> list[Host]:
        """Those without an attempt."""
        return [host for host in self._all if not host.attempts]

    def held(self) -> list[Demand]:
        """What those hold that surely have a process."""
        return [host.share for host in self._all if host.proven]

    def find(self, share: Demand, key: str | None) -> Host | None:
        """Where an attempt can run: in a free lane beside others of its key, or on an idle or a new worker."""
        same = [host for host in self._all if host.share == share]
        if key is not None:
            for host in same:
                if host.key == key and host.fit and host.attempts < self.lanes:
                    return host
        # The first ones are on the first GPUs: so idle ones are on as few as can be. Others may have no process yet.
        for host in sorted(same, key=lambda host: not host.proven):
            if not host.attempts:
                return host
        made, idle = self.make(share), self.idle()
        while made is None and idle:
            # They hold what the study's books call free.
            self.drop(idle.pop(0))
            made = self.make(share)
        return made

    def make(self, share: Demand, *, but: str | None = None) -> Host | None:
        """A new worker, where there is room for it; not on the node `but`."""
        number = next(self._numbers)
        node = self._pool.take(number, share, but=but)
        if node is None:
            return None
        host = Host(self._new_worker(share, node), share, number, node)
        self._all.append(host)
        return host

    def began(self, host: Host, node: str, gpus: tuple[int, ...]) -> None:
        """A worker was found to be on this node, with these GPUs."""
        host.node, host.proven = node, True
        self._pool.move(host.number, node, gpus)

    def left(self, host: Host, *, fit: bool) -> None:
        """An attempt of a worker is over; one that isn't fit any more goes when its last one is."""
        host.attempts -= 1
        host.fit &= fit
        if host.attempts:
            return
        host.key = None
        if not host.fit:
            self.drop(host)

    def drop(self, host: Host) -> None:
        """End a worker, whatever it does."""
        host.fit = False
        ray.kill(host.worker)
        if host in self._all:
            self._all.remove(host)
            self._pool.give(host.number)

    def end(self) -> None:
        """End all."""
        for host in self._all:
            ray.kill(host.worker)
        self._all.clear()

    def forget(self) -> None:
        """They have ended with Ray."""
        self._all.clear()

    def _new_worker(self, share: Demand, node: str) -> Any:
        options = {
            "num_cpus": share.cpu,
            "num_gpus": share.gpu,
            "concurrency_groups": {"control": 1},
            "max_concurrency": self.lanes,
            "max_restarts": 0,
            **self._cluster.at(node),
        }
        return ray.remote(**options)(self._class).remote(
            self._run_attempt,
            self._warm_up,
            gpu=share.gpu,
            run_fused=self._fusing.run_attempt if self._fusing else None,
        )


def _named(study: str) -> type[Worker]:
    """The worker's class under the study's name: what the Ray dashboard shows first."""
    # One call for each report: not for the task table, which shows the attempts.
    beside = {"concurrency_group": "control", "enable_task_events": False}
    methods = {
        "attempt": ray.method(num_returns="streaming")(Worker.attempt),
        "decide": ray.method(**beside)(Worker.decide),
        "leave": ray.method(**beside)(Worker.leave),
    }
    return type(study, (Worker,), {**methods, "__module__": __name__, "__repr__": lambda _: f"{study} worker"})
