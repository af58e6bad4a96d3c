"""What a report says in words and tables, whatever it is drawn with."""

from __future__ import annotations

import platform
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.core.resolved import resolved_yaml, spec_sha256
from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.errors import SpecError
from sweep.store import events
from sweep.store.study_folder import StoredStudy
from sweep.watch.report import advice, failures, importance, occupancy, story
from sweep.watch.report.subject import Subject
from sweep.watch.text import counted, duration, measured, number, plain, shown
from sweep.watch.words import counts_text, state_word, trial_counts

MOST_TRIALS = 25
MOST_CAUSES = 12


@dataclass(frozen=True)
class Tile:
    """A number that stands at the top."""

    name: str
    value: str
    more: str


@dataclass(frozen=True)
class Facts:
    """A study, told.

    Attributes:
        stored: the study.
        subject: what figures are drawn of.
        headline: how it stands, in a line.
        tiles: its most important numbers.
        story: why the best trial won, in sentences.
        causes: of failures.
        advice: for ranges.
        next_file: the search file that follows from it; empty where there is none.
        origin: where it comes from: (name, text).
    """

    stored: StoredStudy
    subject: Subject
    headline: str
    tiles: list[Tile]
    story: list[str]
    causes: list[failures.Cause]
    advice: list[advice.Advice]
    next_file: str
    origin: list[tuple[str, str]]

    @property
    def study(self) -> StudyMachine:
        """The study's state."""
        return self.stored.machine

    @property
    def name(self) -> str:
        """The study's name."""
        return self.stored.spec.name

    @property
    def spec(self) -> str:
        """The search file, defaults written out."""
        return resolved_yaml(self.stored.spec)

    def plain(self) -> dict[str, Any]:
        """All of it as JSON values."""
        learned, used = self.subject.influence, self.subject.occupancy
        found = {
            "study": self.name,
            "headline": self.headline,
            "numbers": {tile.name: {"value": tile.value, "more": tile.more} for tile in self.tiles},
            "story": self.story,
            "importance": learned and {
                "t": learned.compared.t,
                "trials": len(learned.compared.trials),
                "explained": learned.explained,
                "parameters": {
                    one.axis.name: {"mean": one.mean, "low": one.low, "high": one.high} for one in learned.weights
                },
            },
            "hours": {"unit": "gpu" if used.gpu else "slot", "by_fate": used.hours, "busy": used.busy},
            "failures": [
                {
                    "text": cause.text,
                    "attempts": [{"trial": trial, "attempt": attempt} for trial, attempt in cause.attempts],
                    "trials_failed": cause.trials_failed,
                    "log": str(cause.log),
                }
                for cause in self.causes
            ],
            "advice": [
                {"parameter": one.axis.name, "kind": one.kind, "min": one.low, "max": one.high, "text": one.text}
                for one in self.advice
            ],
            "origin": [{"name": name, "text": text} for name, text in self.origin],
        }  # fmt: skip
        values: dict[str, Any] = plain(found)
        return values


def facts(stored: StoredStudy, *, live: bool) -> Facts:
    """What there is to say of a study.

    Args:
        stored: the study, as it was read.
        live: whether a driver is at work on it.
    """
    study = stored.machine
    subject = subject_of(stored, live=live)
    runs, found = subject.runs, subject.influence
    advised = advice.advice(study)
    try:
        following = advice.next_file(study, advised)
    except SpecError:
        # A moved range breaks a rule of the file, such as a constraint that names its end.
        advised, following = [], ""
    return Facts(
        stored=stored,
        subject=subject,
        headline=_headline(study, live=live),
        tiles=_tiles(subject, live=live),
        story=story.story(study, found),
        causes=failures.causes(study, stored.paths)[:MOST_CAUSES],
        advice=advised,
        next_file=following,
        origin=_origin(stored, runs),
    )


def subject_of(stored: StoredStudy, *, live: bool, learned: bool = True) -> Subject:
    """What is drawn of a study.

    Args:
        stored: the study.
        live: whether a driver is at work on it.
        learned: whether a forest learns of its parameters, which takes seconds; those who draw none of that go without.
    """
    study = stored.machine
    runs = occupancy.runs(events.read(stored.paths.events))
    fates = occupancy.fates(study, live=live)
    used = occupancy.occupancy(study, runs, fates, live=live)
    return Subject(study, runs, used, importance.influence(study) if learned else None, fates)


def _headline(study: StudyMachine, *, live: bool) -> str:
    ending = study.ended.reason if study.ended else study.ending.reason if study.ending else ""
    return f"{state_word(study, live=live)}{f': {ending}' if ending else ''}"


def _tiles(subject: Subject, *, live: bool) -> list[Tile]:
    study, used = subject.study, subject.occupancy
    best = study.best
    report = best.best(study.metric) if best else None
    counts = trial_counts(study, live=live)
    others = measured(study.metric.names[1:], report.metrics) if report else ""
    where = f"trial {best.number}, {subject.time_attr} {report.t}" if best and report else "no trial has a value yet"
    tiles = [
        Tile(
            f"best {study.metric.name}",
            number(report.metrics[study.metric.name]) if report else "-",
            f"{others}; {where}" if others else where,
        ),
        Tile("trials", str(len(study.trials)), counts_text(counts, live=live) or "none yet"),
        Tile("time", duration(study.elapsed_s), counted(len(subject.runs), "run")),
    ]
    unit = "GPU-hours" if used.gpu else "slot-hours"
    busy = f"places busy {used.busy:.0%}" if used.busy is not None else ""
    tiles.append(Tile(unit, number(used.total), busy))
    if study.limits.paid:
        tiles.append(Tile("cost", number(study.limits.paid), "in the currency of resources.price"))
    return tiles


def front_note(study: StudyMachine) -> str:
    """Which rows of `trials_table` are the front; nothing where there is one objective."""
    on_it = len(study.front()) if study.metric.several else 0
    if on_it < 2:  # noqa: PLR2004 - the first row is the best anyway
        return ""
    return f"The first {on_it} are the front: no other trial beats them in all objectives."


def trials_table(subject: Subject) -> tuple[list[str], list[list[str]], str]:
    """The best trials: heads, rows, and how many are left out."""
    study = subject.study
    same = constants(study.spec)
    names = [name for name in study.spec.parameters if name not in same]
    goals = [goal.name for goal in study.metric.goals]
    ranked = [trial for trial in study.ranked() if trial.repeat_of is None]
    rows = []
    for trial in ranked[:MOST_TRIALS]:
        report = trial.best(study.metric)
        values = [number(report.metrics[name]) if report else "-" for name in goals]
        config = [shown(trial.config[name]) if name in trial.config else "" for name in names]
        rows.append([str(trial.number), *values, str(report.t if report else 0), subject.fate(trial), *config])
    left = len(study.trials) - len(rows)
    more = f"{left} more: sweep trials {study.spec.name}" if left else ""
    return ["trial", *goals, subject.time_attr, "fate", *names], rows, more


def cost_rows(used: occupancy.Occupancy) -> list[tuple[str, float, float]]:
    """(fate, hours, part of all)."""
    return [(name, hours, hours / used.total) for name, hours in used.hours.items()]


def told_attempts(cause: failures.Cause) -> str:
    """How often a cause came, and where: "3 attempts: trial 4, trial 7, trial 9"."""
    trials = list(dict.fromkeys(trial for trial, _ in cause.attempts))
    named = ", ".join(f"trial {trial}" for trial in trials[:8]) + (", …" if len(trials) > 8 else "")  # noqa: PLR2004
    ended = f"; it ended {counted(cause.trials_failed, 'trial')}" if cause.trials_failed else "; all went on"
    return f"{counted(len(cause.attempts), 'attempt')}: {named}{ended}"


def _origin(stored: StoredStudy, runs: Sequence[occupancy.Run]) -> list[tuple[str, str]]:
    spec, study = stored.spec, stored.machine
    rows: list[tuple[str, Any]] = [
        ("study", stored.paths.told(stored.paths.root)),
        ("entrypoint", spec.entrypoint) if spec.command is None else ("command", _as_text(spec.command)),
        ("search file", f"SHA-256 {spec_sha256(spec)}"),
        ("made by", f"sweep {stored.created.sweep_version}, {_moment(stored.created.time)}"),
        ("searched by", f"{spec.search.algorithm}, seed {spec.search.seed}; {spec.scheduler.type}"),
    ]
    if spec.search.warm_start:
        rows.append(("learned from", ", ".join(each.study for each in spec.search.warm_start)))
    for place, run in enumerate(runs, start=1):
        nodes = f" on {counted(len(run.nodes), 'node')}" if run.nodes else ""
        slots = f"{counted(run.slots[-1][1], 'trial')} at once{nodes}, executor {run.executor}"
        name = "run" if len(runs) == 1 else f"run {place}"
        rows.append((name, f"{_moment(run.began)}, {duration(run.ended - run.began)}: {slots}"))
        rows += [("", note) for note in run.notes]
    rows += [("registry", f"{each.model} v{each.version}: {each.path}") for each in study.promotions]
    rows.append(("report made", f"{_moment(time.time())} on Python {platform.python_version()}"))
    return [(name, str(text)) for name, text in rows]


def _as_text(command: str | list[str]) -> str:
    return command if isinstance(command, str) else shlex.join(command)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
