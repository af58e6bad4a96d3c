"""Runs attempts on a clock that jumps: what a training would report, and how long it would take, comes from a function.

Nothing sleeps and nothing is trained, so a study of a thousand trials on any number of workers takes seconds, with the
driver, the study and the sampler that ship. For benchmarks on recorded curves, and for tests of rare events.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweep.core.protocols import Capacity, Decision, Director, Placement

IDLE_TURNS = 100_000
"""Simulated seconds in a row without work after which a study is taken for stuck."""


@dataclass(frozen=True)
class Course:
    """What training with a config shows.

    Attributes:
        curves: metric name to its values at the fidelities 1, 2, and so on; the shortest one is where training ends.
        seconds: what each step takes, or one number for all.
    """

    curves: Mapping[str, Sequence[float]]
    seconds: float | Sequence[float] = 1.0

    @property
    def steps(self) -> int:
        """How many fidelities there are."""
        return min(map(len, self.curves.values()), default=0)

    def at(self, t: int) -> dict[str, float]:
        """The metrics at fidelity `t`, from 1."""
        return {name: float(values[t - 1]) for name, values in self.curves.items()}

    def seconds_of(self, t: int) -> float:
        """What the step to fidelity `t` takes."""
        return self.seconds if isinstance(self.seconds, int | float) else self.seconds[t - 1]


Simulate = Callable[[Mapping[str, Any]], Course]
"""A config's course; asked once for each attempt."""

Fault = Callable[[Placement, int], Literal["failed", "lost"] | None]
"""Asked before each report: whether the attempt ends at this fidelity instead, and how."""


@dataclass(frozen=True)
class NodeLoss:
    """A node that dies, and what ran on it.

    Attributes:
        node: its number.
        at_s: when, on the simulated clock.
        back_s: how much later it takes attempts again.
    """

    node: int
    at_s: float
    back_s: float = 0.0


class SimulatedCrash(Exception):  # noqa: N818 - the machine's, nobody's error
    """The driver's own machine went down; what the log has is all that is left."""


@dataclass
class _Work:
    """An attempt at work; `told` is a decision that it hasn't heard yet."""

    placement: Placement
    course: Course
    slot: int
    t: int
    told: Decision | None = None
    over: bool = False


class SimulatedExecutor:
    """See `sweep.core.protocols.Executor`.

    A checkpoint is a name that states its fidelity; an attempt with one goes on along its config's curve from there.

    Args:
        simulate: what a config's training would be.
        slots: attempts at once.
        nodes: on how many nodes they are, in equal parts.
        gpu: the share of each.
        start_s: what an attempt takes before its first step.
        ahead: attempts don't wait for decisions, as on warm workers: one that is to end does one more step.
        fault: which attempts fail or are lost, and when.
        losses: nodes that die.
        crash_at_s: when `run` ends with a `SimulatedCrash`.
        now: what the clock shows at first.
    """

    name = "simulated"

    def __init__(
        self,
        simulate: Simulate,
        *,
        slots: int = 1,
        nodes: int = 1,
        gpu: float = 0.0,
        start_s: float = 0.0,
        ahead: bool = False,
        fault: Fault | None = None,
        losses: Sequence[NodeLoss] = (),
        crash_at_s: float | None = None,
        now: float = 0.0,
    ) -> None:
        self.now = now
        self._simulate = simulate
        self._slots = slots
        self._nodes = nodes
        self._gpu = gpu
        self._start_s = start_s
        self._ahead = ahead
        self._fault = fault
        self._crash_at_s = crash_at_s
        # Heaps: slots, and when a node is back with a slot of it that was found free while it was away.
        self._free = list(range(slots))
        self._away: list[tuple[float, int]] = []
        self._back_at = dict.fromkeys(range(nodes), now)
        self._at_work: dict[int, _Work] = {}
        self._numbers = itertools.count()
        # When, in which order of equals, and what: the next step of an attempt, or the death of a node.
        self._agenda: list[tuple[float, int, _Work | NodeLoss]] = []
        for loss in losses:
            if loss.at_s >= now:
                self._at(loss.at_s, loss)

    def clock(self) -> float:
        """The simulated time: the driver's clock."""
        return self.now

    def open(self) -> Capacity:
        """All slots, at once."""
        return Capacity(slots=self._slots, gpu=self._gpu, machines=self._nodes)

    def run(self, director: Director) -> None:
        """Let attempts run, one event after the other, until the director has finished.

        Raises:
            SimulatedCrash: `crash_at_s` has come.
            RuntimeError: nothing runs and nothing is placed, and the study doesn't end.
        """
        idle = 0
        while not director.finished:
            self._place(director)
            if director.finished:
                return
            if self._at_work:
                idle = 0
                self._turn(director)
            else:
                idle += 1
                if idle > IDLE_TURNS:
                    raise RuntimeError("the study has nothing to run, and doesn't end")
                self._pass(self.now + 1)
                director.tick()

    def close(self) -> None:
        """Nothing to let go."""

    # Time

    def _at(self, when: float, what: _Work | NodeLoss) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), what))

    def _pass(self, until: float) -> None:
        if self._crash_at_s is not None and until >= self._crash_at_s:
            self.now = self._crash_at_s
            raise SimulatedCrash(f"at {self.now:g} s")
        self.now = max(self.now, until)

    def _turn(self, director: Director) -> None:
        when, _, what = heapq.heappop(self._agenda)
        if isinstance(what, NodeLoss):
            self._pass(when)
            self._lose(director, what)
        elif not what.over:
            self._pass(when)
            self._step(director, what)

    # Attempts

    def _place(self, director: Director) -> None:
        director.tick()
        unwanted = director.unwanted()
        for work in list(self._at_work.values()) if unwanted else []:
            if (work.placement.trial, work.placement.attempt) in unwanted:
                self._over(work)
        while (slot := self._place_for_one()) is not None:
            placement = director.next_placement()
            if placement is None:
                return
            self._begin(director, placement, slot)

    def _place_for_one(self) -> int | None:
        """The lowest free slot whose node is up."""
        while self._away and self._away[0][0] <= self.now:
            heapq.heappush(self._free, heapq.heappop(self._away)[1])
        while self._free:
            back_at = self._back_at[self._node(self._free[0])]
            if back_at <= self.now:
                return self._free[0]
            heapq.heappush(self._away, (back_at, heapq.heappop(self._free)))
        return None

    def _node(self, slot: int) -> int:
        return slot * self._nodes // self._slots

    def _begin(self, director: Director, placement: Placement, slot: int) -> None:
        t = int(placement.checkpoint.rpartition("-")[2]) if placement.checkpoint else 0
        work = _Work(placement, self._simulate(placement.config), slot, t)
        self._at_work[slot] = work
        heapq.heappop(self._free)  # the lowest one, which it was given
        director.started(placement, node=f"node-{self._node(slot)}", device="cuda:0" if placement.gpu else "cpu")
        self._at(self.now + self._start_s + self._seconds(work), work)

    def _seconds(self, work: _Work) -> float:
        """What the next step takes; none where training is over."""
        return work.course.seconds_of(work.t + 1) if work.t < work.course.steps else 0.0

    def _step(self, director: Director, work: _Work) -> None:
        placement = work.placement
        if work.t >= work.course.steps:
            self._end(director, work, work.told)
            return
        before, work.t = work.t, work.t + 1
        fault = self._fault(placement, work.t) if self._fault else None
        if fault is not None:
            self._over(work)
            director.ended(placement, fault, f"simulated: {fault} at {placement.time_attr} {work.t}")
            return
        if work.told is not None and work.told.action != "pause":
            # It was told to end before this report.
            self._end(director, work, work.told)
            return
        metrics = {**work.course.at(work.t), placement.time_attr: float(work.t)}
        saved = placement.saves(before, work.t)
        name = f"{placement.trial_dir}/checkpoints/{placement.time_attr}-{work.t}"
        decision = director.reported(placement, metrics, name if saved else None)
        if work.told is not None:
            self._end(director, work, work.told)
        elif decision.action == "advance" or (self._ahead and work.t < min(placement.max_t, work.course.steps)):
            work.told = None if decision.action == "advance" else decision
            self._at(self.now + self._seconds(work), work)
        else:
            self._end(director, work, decision)

    def _end(self, director: Director, work: _Work, decision: Decision | None) -> None:
        self._over(work)
        director.ended(work.placement, (decision and decision.outcome) or "returned")

    def _over(self, work: _Work) -> None:
        work.over = True
        del self._at_work[work.slot]
        heapq.heappush(self._free, work.slot)

    def _lose(self, director: Director, loss: NodeLoss) -> None:
        self._back_at[loss.node] = self.now + loss.back_s
        for slot in [slot for slot in sorted(self._at_work) if self._node(slot) == loss.node]:
            work = self._at_work[slot]
            self._over(work)
            director.ended(work.placement, "lost", f"simulated: node-{loss.node} died")
