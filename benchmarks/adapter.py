"""The shipping study, sampler and driver under the interface of a replay harness: suggest, report, complete.

    python run.py --algo sweep=benchmarks.adapter:Sweep --task public --seeds 10 --out sweep.jsonl

The harness owns the clock; here is no executor but the harness itself, which the driver takes for one. Its space is a
list of objects with a name, and either low, high and log, or values; lists whose class is called Ord are ordered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweep.core.parameters import Choice, FloatRange, IntRange, Parameter
from sweep.core.protocols import Capacity, Placement
from sweep.core.spec import Budget, Metric, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.driver import Driver
from sweep.samplers.guided_sampler import make_sampler
from sweep.store.in_memory import MemoryLog, NoFiles

UNBOUNDED_S = 1e12


class Sweep:
    """A study for the harness; `options` are keys of `search` and `scheduler`, for comparisons."""

    def __init__(
        self,
        space: Any,
        min_epochs: int,
        max_epochs: int,
        eta: int,
        seed: int,
        workers: int,
        *,
        job: Any = None,
        algorithm: str = "gp",
        **scheduler: Any,
    ) -> None:
        self._job = job or _harness_job()
        spec = StudySpec(
            name="replayed",
            entrypoint="replayed:train",
            metric=Metric(name="error", goal="minimize"),
            parameters={each.name: _parameter(each) for each in space},
            search=Search(algorithm=algorithm, seed=seed % 2**31),
            scheduler=Scheduler(
                **{"grace_period": min_epochs, "max_t": max_epochs, "reduction_factor": eta, **scheduler}
            ),
            budget=Budget(time=UNBOUNDED_S),
        )
        self._max_t = max_epochs
        self._ticks = 0
        self._live: dict[int, Placement] = {}
        self._last: dict[int, str | None] = {}
        self._driver = Driver(
            StudyMachine(spec),
            files=NoFiles(),
            log=MemoryLog(),
            sampler=make_sampler(spec),
            recorders=[],
            watchers=[],
            entrypoint="replayed:train",
            working_dir=Path(),
            clock=self._clock,
        )
        self._driver.begin("replay", Capacity(slots=workers))

    def _clock(self) -> float:
        # The harness doesn't say what time it is; only the order matters.
        self._ticks += 1
        return float(self._ticks)

    def suggest(self) -> Any:
        """The next attempt, as the harness's job; None when a report has to come first."""
        placement = self._driver.next_placement()
        if placement is None:
            return None
        self._live[placement.trial] = placement
        self._driver.started(placement, node="", device="cpu")
        resumed = placement.checkpoint is not None
        return self._job(placement.trial, dict(placement.config), self._max_t, resumed)

    def report(self, trial_id: int, epoch: int, error: float) -> str:
        """The study's decision on an epoch: "continue", "stop" or "pause"."""
        placement = self._live[trial_id]
        saved = placement.saves(epoch - 1, epoch)
        name = f"{placement.trial_dir}/checkpoints/epoch-{epoch}" if saved else None
        decision = self._driver.reported(placement, {"epoch": float(epoch), "error": float(error)}, name)
        self._last[trial_id] = decision.outcome
        return {"stop": "stop", "pause": "pause"}.get(decision.action, "continue")

    def complete(self, trial_id: int, status: str, epoch: int, error: float) -> None:
        """The attempt is over."""
        del status, epoch, error
        self._driver.ended(self._live.pop(trial_id), self._last.pop(trial_id) or "returned")


def _harness_job() -> Any:
    from sq.sim import Job

    return Job


def _parameter(each: Any) -> Parameter:
    if hasattr(each, "values"):
        return Choice(values=list(each.values), ordered=type(each).__name__ == "Ord")
    kind = IntRange if type(each).__name__ == "Int" else FloatRange
    return kind(min=each.low, max=each.high, log=each.log)
