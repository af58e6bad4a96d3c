"""Runs attempts on Ray in processes that stay warm from trial to trial: a trial starts in milliseconds.

Each worker is an actor with a share, which it keeps: attempts of other shares have other workers. An attempt is one
call of it, named after study, trial and parameters, so it is a row of the Ray dashboard's task table; the call streams
the attempt's reports. Fused attempts are calls of the same worker at the same time, as many as it has lanes. Ray Tune
isn't involved: its controller starts a process for each trial, or handles one event a turn where it reuses them.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from sweep.core.capacity import at_once
from sweep.core.pool import Demand, Node, count, gpus_of
from sweep.core.protocols import Capacity, Decision, Director, Fusing, NodeChange, Placement, RunAttempt
from sweep.core.spec import Resources
from sweep.errors import ResourceError, WorkError, first_line
from sweep.executors.cluster import Cluster, quiet, taken
from sweep.executors.deaths import death
from sweep.executors.hesitation import Hesitation
from sweep.executors.hosts import Host, Hosts
from sweep.executors.messages import Message
from sweep.executors.wishes import Wishes, can_grow
from sweep.executors.work import Work
from sweep.machine import oom_kills

TICK_S = 0.5
"""How often the study is told that time passes while nothing happens."""

BEGIN_S = 30.0
"""How long a worker may take to begin before its attempt is given to another, or idle ones make room for it."""

MOVE_S = 90.0
"""How much longer before a new one is made on another node. One that is about to begin should not be given up."""

IDLE_S = 30.0
"""How long workers are kept that the study has nothing for, as at its end or while it is paused."""

STARTED_AT_ONCE = 16
"""Workers started before there is a trial for each."""


class WarmExecutor:
    """See `sweep.core.protocols.Executor`.

    Args:
        run_attempt: sent to the workers by its name.
        warm_up: called once in each new worker, before its first attempt.
        resources: of the search file; its `isolation` says whether processes stay.
        study: its name.
        ray_options: for `ray.init`; see `Cluster`.
        studies: their folder, which all nodes have to share.
        fusing: which attempts train together, and how; none where processes don't stay.
    """

    name = "ray"

    def __init__(
        self,
        run_attempt: RunAttempt,
        warm_up: Callable[[], None],
        resources: Resources,
        *,
        study: str,
        ray_options: Mapping[str, Any] | None = None,
        studies: Path | None = None,
        fusing: Fusing | None = None,
    ) -> None:
        self._resources = resources
        self._cluster = Cluster(ray_options or {}, studies)
        self._fresh = resources.isolation == "process"
        self._fusing = None if self._fresh else fusing
        self._hosts = Hosts(self._cluster, run_attempt, warm_up, study=study, fusing=self._fusing)
        self._most: float = resources.max_concurrent or math.inf
        self._share = Demand()
        self._open: dict[str, Node] = {}
        self._ever: list[Node] = []
        self._waiting: list[tuple[Placement, str | None]] = []
        self._work: dict[Any, Work] = {}
        self._wishes = Wishes()
        self._grows = False
        self._used = self._listened = time.monotonic()
        self._decided: list[tuple[Work, Decision]] = []
        self._told_delay = False
        self._hesitation = Hesitation()

    def open(self) -> Capacity:
        """Connect to Ray, or start one on this machine, and let the workers start.

        Raises:
            InputError: there is no such cluster, it doesn't let us in, or its nodes don't share the studies' folder.
            ResourceError: no node can hold a trial.
        """
        capacity = self._cluster.open(self._resources)
        self._grows = can_grow()
        self._hosts.begin(capacity.nodes)
        self._share = Demand(capacity.gpu, capacity.cpu)
        self._open = {node.name: node for node in capacity.nodes}
        self._ever = list(capacity.nodes)
        # They import torch while the study is made, and nodes are asked; more come when there is work for them.
        for _ in range(min(capacity.slots, STARTED_AT_ONCE)):
            self._hosts.make(self._share)
        self._cluster.settle()
        if self._hosts.lanes > 1:
            # Only the lanes can be counted beforehand: who may share a worker shows when it is known who comes.
            self._most = at_once(self._resources, capacity.slots, self._hosts.lanes)
            capacity = replace(capacity, slots=int(self._most), nodes=())
        return capacity

    def run(self, director: Director) -> None:
        """Place attempts until the director has finished.

        Raises:
            ResourceError: an attempt that no node can hold.
            WorkError: the cluster is gone.
        """
        try:
            with quiet():
                while not director.finished:
                    self._turn(director)
        except ray.exceptions.RaySystemError as error:
            why = first_line(error).removesuffix(".")
            raise WorkError(
                f"the Ray cluster is gone, or takes no more work: {why}. On another one: resume."
            ) from error

    def _turn(self, director: Director) -> None:
        self._end_unwanted(director)
        self._share = director.share()
        self._look_around(director)
        self._make_room()
        self._tell_delay(director)
        self._place(director)
        self._wish(director)
        self._listen(director)
        self._end_stuck(director)
        director.tick()

    def _place(self, director: Director) -> None:
        while len(self._work) + len(self._waiting) < self._most:
            placement = director.next_placement()
            if placement is None:
                break
            self._waiting.append((placement, self._fusing.key(placement) if self._fusing else None))
        if not self._hesitation.over(time.monotonic()):
            return
        # One that fits nowhere at the moment doesn't hold up those behind it.
        self._waiting = [each for each in self._waiting if not self._started(*each)]
        if self._waiting and not self._work:
            first = self._waiting[0][0]
            if count(self._ever, Demand(first.gpu, first.cpu)):
                # A node that could hold it has gone, or is about to: another one may come.
                return
            raise ResourceError(
                f"trial {first.trial} asks for {first.gpu:g} GPU and {first.cpu:g} CPU, and no node offers that, "
                "though nothing else runs. Lower resources.gpu or resources.cpu, or add a node and resume."
            )

    def _started(self, placement: Placement, key: str | None) -> bool:
        """Start an attempt, if there is a worker for it."""
        host = self._hosts.find(Demand(placement.gpu, placement.cpu), key)
        if host is None:
            return False
        host.key, host.attempts = key, host.attempts + 1
        name = f"{placement.study} #{placement.trial} {placement.label} attempt {placement.attempt}"
        stream = host.worker.attempt.options(name=name).remote(placement, fused=key is not None)
        self._work[stream] = Work(placement, host, stream)
        return True

    # Nodes that come and go

    def _look_around(self, director: Director) -> None:
        """Take in what has become of the cluster's nodes."""
        for seen in self._cluster.changes():
            name = seen.node.name
            if seen.change == "joined":
                self._open[name] = seen.node
                self._ever.append(seen.node)
                self._hosts.joined(seen.node)
            else:
                self._open.pop(name, None)
            if self._hosts.lanes > 1:
                self._most = self._slots()
            machines, hour = self._cluster.machines, self._cluster.hour
            director.node_changed(NodeChange(seen.change, seen.node, self._slots(), machines, hour, seen.reason))
            if seen.change != "joined":
                self._clear(name)

    def _wish(self, director: Director) -> None:
        """Ask a cluster that may grow for places that the study lacks, and let go of workers that it has no use for."""
        if self._grows and self._wishes.due():
            missing = max(0.0, director.wanted() - self._slots())
            self._wishes.ask(missing / self._hosts.lanes, self._share)
        now = time.monotonic()
        if self._waiting or director.wanted() > len(self._work):
            self._used = now
        elif now - self._used > IDLE_S:
            # They hold their machine, which else might be given back, or serve somebody else.
            for host in self._hosts.idle():
                self._hosts.drop(host)

    def _slots(self) -> int:
        """How many attempts of the run's share fit at once on the nodes that are open."""
        slots = count(list(self._open.values()), self._share)
        slots = min(slots, self._resources.max_concurrent or slots)
        return at_once(self._resources, slots, self._hosts.lanes)

    def _clear(self, node: str) -> None:
        """A node is about to go, or gone: idle workers there go, attempts leave, those that haven't begun are put back.

        The attempts that ran on a node that is gone are lost; Ray tells of each.
        """
        for host in self._hosts.closed(node):
            works = [work for work in self._work.values() if work.host is host]
            if any(work.started for work in works):
                for work in works:
                    self._leave(work)
                continue
            self._put_back(host, works)

    def _put_back(self, host: Host, works: list[Work]) -> None:
        """A worker goes, and its attempts, none of which has begun, wait for another one."""
        for work in works:
            del self._work[work.stream]
        self._waiting[:0] = [(work.placement, host.key) for work in works]
        self._hosts.drop(host)

    def _leave(self, work: Work) -> None:
        """Let an attempt be ready to go on elsewhere: its next report comes with a checkpoint, and waits."""
        work.host.worker.leave.remote(*work.key)

    def _make_room(self) -> None:
        """Let idle workers have the attempts that can't begin where the books show room; else let them go there.

        Another study may be there, whose end may be far, or Ray has put somebody elsewhere than the books say.
        """
        # What was there to be heard then has been heard, however long the disk has held up the driver since.
        until = self._listened - BEGIN_S
        late = [work for work in self._work.values() if work.late(until)]
        idle = self._hosts.idle() if late else []
        warm = [host.share for host in idle if host.proven]
        for work in late:
            host = work.host
            if host.attempts > 1:
                continue
            if host.proven:
                # It has begun others at once: it hangs.
                self._put_back(host, [work])
            elif host.share in warm:
                warm.remove(host.share)
                self._put_back(host, [work])
            elif work.late(until - MOVE_S) and self._hosts.make(host.share, but=host.node):
                # A node that has come since, as it was asked for.
                self._put_back(host, [work])
            else:
                for other in idle:
                    if other.node == host.node and not (other.proven and other.share == host.share):
                        self._hosts.drop(other)

    def _tell_delay(self, director: Director) -> None:
        """Say what attempts wait for that have been without a process for long."""
        late = [work for work in self._work.values() if work.late(self._listened - BEGIN_S)]
        if late and not self._told_delay:
            self._told_delay = True
            if reason := taken(late[0].host.share, self._hosts.held()):
                director.delayed(len(late), reason)
        elif all(work.started for work in self._work.values()):
            self._told_delay = False

    def _listen(self, director: Director) -> None:
        """Take in what has come, or wait a little for it; decisions go out when all of it is on the disk."""
        if not self._work:
            # The study is paused, or waits for a node.
            time.sleep(0 if director.finished else TICK_S)
            return
        self._listened = time.monotonic()
        ready, others = ray.wait(list(self._work), num_returns=1, timeout=TICK_S, fetch_local=True)
        if ready and others:
            ready += ray.wait(others, num_returns=len(others), timeout=0, fetch_local=True)[0]
        with director.batch():
            for stream in ready:
                self._hear(director, self._work[stream])
        for work, decision in self._decided:
            work.host.worker.decide.remote(*work.key, decision)
        self._decided.clear()

    def _hear(self, director: Director, work: Work) -> None:
        try:
            messages: list[Message] = ray.get(next(work.stream))
        except (ray.exceptions.RayError, StopIteration) as error:
            self._lost(director, work, error)
        else:
            for message in messages:
                self._take(director, work, message)

    def _take(self, director: Director, work: Work, message: Message) -> None:
        if message.kind == "hello":
            work.started = True
            self._hesitation.began()
            node = self._cluster.nodes.name_of(message.node_id) or message.node
            self._hosts.began(work.host, node, gpus_of(message.device))
            # Only of this machine is it known whether its kernel ended a process for its memory.
            work.oom_kills = oom_kills() if message.node == socket.gethostname() else None
            director.started(work.placement, node=node, device=message.device, batch=work.batch)
            if self._cluster.nodes.drains(node):
                self._leave(work)
        elif message.kind == "report":
            self._report(director, work, message)
        else:
            self._over(director, work, message)

    def _report(self, director: Director, work: Work, message: Message) -> None:
        now = time.monotonic()
        work.reported(now)
        decision = director.reported(work.placement, message.metrics, message.checkpoint)
        if decision.action != "advance" or message.awaited:
            self._decided.append((work, decision))
        if decision.action != "advance":
            work.told(decision, now)

    def _over(self, director: Director, work: Work, message: Message) -> None:
        del self._work[work.stream]
        # On a node that has gone, workers may live for some seconds.
        stays = not self._fresh and self._cluster.nodes.takes(work.host.node)
        self._hosts.left(work.host, fit=message.fit and stays)
        if message.memory is not None:
            director.measured(work.placement, message.memory)
        outcome = work.decision.outcome if work.decision else message.outcome
        director.ended(work.placement, outcome or "failed", message.error, message.cause)

    def _lost(self, director: Director, work: Work, error: BaseException) -> None:
        """The worker's process is gone, or the call broke off."""
        del self._work[work.stream]
        # The others in its lanes hear of it from Ray, and are lost too.
        key = work.host.key
        self._hosts.drop(work.host)
        self._cluster.doubt(work.host.node)
        if not work.started:
            self._hesitation.died(time.monotonic())
        if not work.started and work.host.proven:
            # It had died before: of that nothing is known of the attempt, which has begun nowhere.
            self._waiting.insert(0, (work.placement, key))
            return
        if not work.started:
            director.started(work.placement, node="", device="", batch=work.batch)
        if work.decision is not None and work.decision.outcome is not None:
            director.ended(work.placement, work.decision.outcome)
        else:
            end = death(error, oom_killed=work.oom_kills is not None and work.oom_kills < (oom_kills() or 0))
            director.ended(work.placement, end.outcome or "lost", end.error, end.cause)

    def _end_unwanted(self, director: Director) -> None:
        """End attempts that are over for the study, in whatever step they are; others in their lanes are lost."""
        unwanted = director.unwanted()
        for work in list(self._work.values()) if unwanted else []:
            if work.key in unwanted:
                del self._work[work.stream]
                self._hosts.drop(work.host)

    def _end_stuck(self, director: Director) -> None:
        """Replace workers whose training function was told to end and doesn't."""
        now = time.monotonic()
        for work in [work for work in self._work.values() if work.stuck(now)]:
            self._lost(director, work, TimeoutError("it was told to end and went on"))

    def close(self) -> None:
        """Let the workers go, and shut down the Ray that we started."""
        if ray.is_initialized():
            self._wishes.end()
            self._hosts.end()
        self._hosts.forget()
        self._waiting.clear()
        self._work.clear()
        self._cluster.close()
