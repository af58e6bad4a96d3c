"""When the machines worked, on whose trials, and when they waited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sweep.core import events as ev
from sweep.core.pool import Node
from sweep.core.study import StudyMachine
from sweep.core.trial import Attempt, Trial
from sweep.watch.words import outcome_word, trial_state

FATES = ("best", "complete", "paused", "stopped", "failed", "lost", "running", "waiting")
"""What became of a trial, or of an attempt's work, in the order of legends."""


@dataclass
class Run:
    """A driver's work on the study.

    Attributes:
        began, ended: seconds since 1970; a run that died ended with its last event.
        executor: which.
        slots: from when on how many trials fit at once.
        nodes: what there was to share out.
        notes: what it told at its start.
        reason: why it ended; empty when it died or is at work.
    """

    began: float
    ended: float
    executor: str
    slots: list[tuple[float, int]]
    nodes: list[Node]
    notes: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def slot_seconds(self) -> float:
        """Seconds times trials that could have run."""
        ends = [*(time for time, _ in self.slots[1:]), self.ended]
        return sum((max(0.0, end - time)) * slots for (time, slots), end in zip(self.slots, ends, strict=True))


@dataclass(frozen=True)
class Span:
    """An attempt on the time axis.

    Attributes:
        fate: what became of the work: the trial's, or lost where the attempt's was done anew.
        row: a line of its own among the attempts at the same time on the same machine.
    """

    trial: int
    attempt: int
    began: float
    ended: float
    node: str
    device: str
    gpu: float
    fate: str
    row: int = 0


@dataclass(frozen=True)
class Occupancy:
    """How the machines' time was used.

    Attributes:
        runs: the drivers' work, oldest first.
        spans: the attempts, by row.
        rows: what each row is called.
        busy: the part of the slots' time with an attempt in it, between the first attempt's start and the last one's
            end of each run; None before any.
        hours: hours by fate: of GPUs where trials hold any, of slots otherwise.
        gpu: whether those are GPU-hours.
    """

    runs: list[Run]
    spans: list[Span]
    rows: list[str]
    busy: float | None
    hours: dict[str, float]
    gpu: bool

    @property
    def total(self) -> float:
        """All hours."""
        return sum(self.hours.values())


def fates(study: StudyMachine, *, live: bool) -> dict[int, str]:
    """What became of each trial."""
    states = {number: trial_state(trial, live=live).value for number, trial in study.trials.items()}
    best = study.best
    return states if best is None else {**states, best.number: "best"}


def runs(history: Iterable[ev.AnyEvent]) -> list[Run]:
    """The drivers' work on a study, from its events."""
    found: list[Run] = []
    for event in history:
        follow(found, event)
    return found


def follow(found: list[Run], event: ev.AnyEvent) -> None:
    """Take the next event of a study into the drivers' work on it so far."""
    match event:
        case ev.RunStarted():
            found.append(
                Run(event.time, event.time, event.executor, [(event.time, event.slots)], event.nodes, event.notes)
            )
        case ev.ShareChosen():
            found[-1].slots.append((event.time, event.slots))
        case ev.RunEnded():
            found[-1].reason = event.reason
        case _:
            pass
    if found and not isinstance(event, ev.Promoted | ev.PromotionsDone):
        found[-1].ended = max(found[-1].ended, event.time)


def occupancy(study: StudyMachine, history: Sequence[Run], became: Mapping[int, str], *, live: bool) -> Occupancy:
    """How the time of a study's machines was used.

    Args:
        study: its state.
        history: the drivers' work on it.
        became: the trials' `fates`.
        live: whether a driver is at work on it.
    """
    last = history[-1].ended if history else 0.0
    spans = _in_rows([
        _span(trial, attempt, last, became[trial.number], live=live)
        for trial in study.trials.values()
        for attempt in trial.attempts
    ])  # fmt: skip
    names: dict[int, str] = {span.row: _where(span) for span in spans}
    used = sum(span.ended - span.began for span in spans)
    # Fused trials hold one slot and one share together.
    there = max(sum(_between(run, spans) for run in history), used if study.spec.resources.fuse == 1 else 0.0)
    gpu = study.limits.gpu_s > 0
    return Occupancy(
        runs=list(history),
        spans=spans,
        rows=[names[row] for row in sorted(names)],
        busy=used / there if there and study.spec.resources.fuse == 1 else None,
        hours=_hours(spans, study.limits.gpu_s if gpu else None),
        gpu=gpu,
    )


def _span(trial: Trial, attempt: Attempt, last: float, became: str, *, live: bool) -> Span:
    outcome = outcome_word(attempt, live=live)
    if outcome == "lost" or (outcome == "failed" and became != "failed"):
        became = "lost"
    ended = attempt.ended if attempt.ended is not None else max(last, attempt.started)
    return Span(
        trial.number, attempt.number, attempt.started, ended, attempt.node, attempt.device, attempt.gpu or 0.0, became
    )


def _in_rows(spans: Sequence[Span]) -> list[Span]:
    """Each in the first row of its machine and device that is free; rows by machine."""
    free: dict[tuple[str, str], list[float]] = {}
    placed: list[tuple[tuple[str, str], int, Span]] = []
    for span in sorted(spans, key=lambda each: (each.began, each.trial)):
        where = (span.node, span.device)
        ends = free.setdefault(where, [])
        row = next((row for row, end in enumerate(ends) if end <= span.began), len(ends))
        ends[row : row + 1] = [span.ended]
        placed.append((where, row, span))
    first: dict[tuple[str, str], int] = {}
    for where in sorted(free):
        first[where] = sum(len(free[before]) for before in first)
    return sorted(
        (replace(span, row=first[where] + row) for where, row, span in placed), key=lambda each: (each.row, each.began)
    )


def _where(span: Span) -> str:
    return " ".join(part for part in (span.node, span.device) if part) or "here"


def _between(run: Run, spans: Sequence[Span]) -> float:
    """The run's slot seconds from its first attempt's start to its last one's end."""
    inside = [span for span in spans if run.began <= span.began <= run.ended]
    if not inside:
        return 0.0
    first, last = min(span.began for span in inside), max(span.ended for span in inside)
    cut = Run(first, last, run.executor, [(max(first, time), slots) for time, slots in run.slots], run.nodes)
    return cut.slot_seconds


def _hours(spans: Sequence[Span], gpu_s: float | None) -> dict[str, float]:
    """Hours by fate, in the order of `FATES`; the GPUs' as the study's own books count them."""
    found = dict.fromkeys(FATES, 0.0)
    for span in spans:
        found[span.fate] += (span.ended - span.began) / 3600 * (1.0 if gpu_s is None else span.gpu)
    total = sum(found.values())
    # Attempts that train as one batch hold one share together: the books count it once.
    scale = gpu_s / 3600 / total if gpu_s is not None and total else 1.0
    return {name: hours * scale for name, hours in found.items() if hours}
