"""A whole study on simulated workers: the code that ships, without training, waiting or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.core.events import Request
from sweep.core.protocols import Sampler
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine, replay
from sweep.driver import Driver, Watcher
from sweep.executors.simulated import Simulate, SimulatedCrash, SimulatedExecutor
from sweep.samplers.teaching import Learner, teach
from sweep.store.in_memory import MemoryLog, NoFiles

__all__ = ["Simulated", "simulate"]


@dataclass(frozen=True)
class Simulated:
    """What came of it.

    Attributes:
        machine: the study, at its end or at the crash.
        log: its events.
        seconds: what the simulated clock shows.
        crashed: whether `crash_at_s` came before the study's end.
    """

    machine: StudyMachine
    log: MemoryLog
    seconds: float
    crashed: bool


def simulate(
    spec: StudySpec,
    course: Simulate,
    *,
    sampler: Sampler | None = None,
    watchers: Sequence[Watcher] = (),
    log: MemoryLog | None = None,
    requests: Sequence[Request] = (),
    **options: Any,
) -> Simulated:
    """Run a study to its end, or to a crash.

    Args:
        spec: the search; its entrypoint is never called.
        course: what training with a config would show.
        sampler: proposes; by default what a launch would take.
        watchers: are told of each event, with the study after it.
        log: of a study that crashed, to go on with.
        requests: what people ask, each when the simulated clock shows its time.
        options: of `SimulatedExecutor`: slots, nodes, faults and so on.
    """
    log = log or MemoryLog()
    history = list(log.events())
    machine = replay(spec, history)

    def learners(known: StudyMachine) -> tuple[Sampler, list[Learner]]:
        from sweep.samplers.guided_sampler import make_sampler

        taught = make_sampler(spec)
        teach(known, [taught])
        return taught, []

    own = sampler is None
    if sampler is None:
        sampler, _ = learners(machine)
    else:
        teach(machine, [sampler])
    executor = SimulatedExecutor(course, **{"now": history[-1].time if history else 0.0, **options})
    driver = Driver(
        machine,
        files=NoFiles(),
        log=log,
        sampler=sampler,
        recorders=[],
        watchers=list(watchers),
        entrypoint="simulated:train",
        working_dir=Path(),
        clock=executor.clock,
        inbox=lambda: [request for request in requests if request.time <= executor.now],
        learners=learners if own else None,
    )
    crashed = False
    try:
        driver.begin(executor.name, executor.open())
        executor.run(driver)
    except SimulatedCrash:
        crashed = True
    return Simulated(machine, log, executor.now, crashed)
