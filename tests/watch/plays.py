"""Histories of small studies: a stand-in for a driver turns the machine's commands into the events it would log."""

from __future__ import annotations

import io
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

from rich.console import Console

from sweep.core import commands as core
from sweep.core import control
from sweep.core import events as ev
from sweep.core.spec import (
    Budget,
    Choice,
    Constant,
    FloatRange,
    Metric,
    Promote,
    Resources,
    Scheduler,
    Search,
    StudySpec,
)  # fmt: skip
from sweep.core.study import StudyMachine

Seen = Callable[[StudyMachine, ev.AnyEvent], None]


def new_spec(**changes: Any) -> StudySpec:
    fields: dict[str, Any] = {
        "name": "toy",
        "entrypoint": "toy:train",
        "metric": Metric(name="val_loss", goal="minimize"),
        "parameters": {
            "lr": FloatRange(min=1e-5, max=1e-1, log=True),
            "optimizer": Choice(values=["adamw", "sgd"]),
            "mixed": Choice(values=[1, "a", None]),
            "width": Constant(value=64),
        },
        "search": Search(algorithm="random"),
        "budget": Budget(trials=12),
        "scheduler": Scheduler(max_t=9),
        "resources": Resources(gpu=0.25),
        "promote": Promote(model="toy"),
    }
    return StudySpec(**{**fields, **changes})


class Play:
    """Acts a study out, an event at a time, on a clock of its own; every event is shown to `seen`."""

    def __init__(self, spec: StudySpec, *, seed: int = 0, slots: int = 3, seen: Seen = lambda *_: None) -> None:
        self.machine = StudyMachine(spec)
        self.now = 1_700_000_000.0
        self.events: list[ev.AnyEvent] = []
        self.over = False
        self._random = random.Random(seed)
        self._slots = slots
        self._seen = seen
        self._to_start: list[tuple[int, int]] = []
        self._running: dict[int, int] = {}

    def begin(self, **facts: Any) -> None:
        self.over = False
        self._to_start, self._running = [], {}
        self.handle(ev.RunStarted(time=self.now, executor="inline", slots=self._slots, **facts))

    def handle(self, event: ev.AnyEvent) -> None:
        waiting = [event]
        while waiting:
            event = waiting.pop(0)
            commands = self.machine.handle(event)
            told: list[ev.AnyEvent] = [event]
            for command in commands:
                match command:
                    case core.Answer(trial, t, decision):
                        decided = ev.Decided(
                            time=self.now, trial=trial, t=t,
                            action=decision.action, reason=decision.reason, rung=decision.rung,
                        )  # fmt: skip
                        self.machine.handle(decided)
                        told.append(decided)
                    case core.AskConfig(trial):
                        waiting.append(ev.TrialCreated(time=self.now, trial=trial, config=self._config()))
                    case core.CreateRepeat(trial, of):
                        config = self.machine.trials[of].config
                        waiting.append(ev.TrialCreated(time=self.now, trial=trial, config=config, repeat_of=of))
                    case core.StartAttempt(trial, attempt):
                        self._to_start.append((trial, attempt))
                    case core.EndRun(reason, complete):
                        self.over = True
                        waiting.append(ev.RunEnded(time=self.now, reason=reason, complete=complete))
            self.events += told
            for each in told:
                self._seen(self.machine, each)

    def _config(self) -> dict[str, Any]:
        draw = self._random
        config = {"lr": 10 ** draw.uniform(-5, -1), "optimizer": draw.choice(["adamw", "sgd"])}
        return {**config, "mixed": draw.choice([1, "a", None]), "width": 64}

    def step(self, kind: str = "report", value: float | None = None) -> None:
        """One thing happens: something placed starts, else a running trial reports, fails or is lost."""
        self.now += 1.5
        if self.over:
            return
        if self._to_start and not self.machine.paused:
            trial, attempt = self._to_start.pop(0)
            self._running[trial] = attempt
            start = ev.AttemptStarted(
                time=self.now, trial=trial, attempt=attempt, node="node-1", device="cpu", gpu=0.25
            )
            self.handle(start)
            return
        if not self._running:
            self.handle(ev.Ticked(time=self.now))
            return
        trial = self._random.choice(list(self._running))
        if kind in ("failed", "lost", "returned"):
            self._end(trial, kind)
            return
        self.report(trial, value)

    def report(self, trial: int, value: float | None = None, **more: float) -> None:
        machine_trial = self.machine.trials[trial]
        t = machine_trial.t + 1
        loss = 2 / t + abs(math.log10(machine_trial.config["lr"]) + 3) if value is None else value
        metrics = {"epoch": float(t), "val_loss": loss, "accuracy": 1 / (1 + abs(loss)), **more}
        self.handle(
            ev.Reported(
                time=self.now, trial=trial, attempt=self._running[trial], metrics=metrics,
                checkpoint=f"trials/{trial:04d}/checkpoints/epoch-{t}",
            )
        )  # fmt: skip
        verdict = machine_trial.verdict
        if verdict is not None:
            self._end(trial, verdict.outcome)

    def _end(self, trial: int, outcome: Any) -> None:
        attempt = self._running.pop(trial)
        error = (
            "Traceback (most recent call last):\nValueError: no [bold]luck[/bold] ✗" if outcome == "failed" else None
        )
        end = ev.AttemptEnded(time=self.now, trial=trial, attempt=attempt, outcome=outcome, error=error)
        self.handle(end)

    def ask(self, verb: ev.Verb) -> None:
        """A person asks for it, and gets an answer."""
        more = {"trials": 2} if verb == "extend" else {}
        request = ev.Request(id=f"{self.now}-{len(self.events)}", time=self.now, verb=verb, **more)
        accepted, answer = control.consider(self.machine, request)
        self.handle(ev.Controlled(time=self.now, request=request, accepted=accepted, answer=answer))

    def to_the_end(self, fail_each: int = 0) -> Play:
        if not self.events:
            self.begin()
        turns = itertools.count(1)
        while not self.over:
            self.step("failed" if fail_each and next(turns) % fail_each == 0 else "report")
        return self


class AsciiStream(io.TextIOWrapper):
    """A text stream that can hold ASCII only."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii")

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]


def drawn(what: Any, size: tuple[int, int] = (80, 24)) -> list[str]:
    """The lines of something that rich can print."""
    out = io.StringIO()
    Console(file=out, width=size[0], height=size[1], legacy_windows=False, _environ={}).print(what)
    return out.getvalue().splitlines()
