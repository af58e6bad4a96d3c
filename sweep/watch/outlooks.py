"""What is said of a study's prospects: what more trials would buy, and what repeats have shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sweep.core.convergence import CONFIDENCE
from sweep.core.repeats import Verdict
from sweep.core.study import StudyMachine
from sweep.watch.text import counted, number


def outlook(study: StudyMachine) -> dict[str, Any] | None:
    """What as many trials again as have ended would likely buy; None of too few trials, and of several objectives."""
    found = study.progress.outlook() if len(study.metric.goals) == 1 else None
    if found is None:
        return None
    return {"trials": found.trials, "gain": found.gain, "low": found.low, "high": found.high, "sure": CONFIDENCE}


def outlook_text(metric: str, data: Mapping[str, Any]) -> str:
    """It in a line: "36 more trials would likely improve val_loss by 0.002 (90 %: 0 to 0.006)"."""
    trials = counted(data["trials"], "more trial")
    if not data["high"]:
        return f"{trials} would hardly improve {metric}"
    between = f"{data['sure'] * 100:.0f} %: {number(data['low'])} to {number(data['high'])}"
    return f"{trials} would likely improve {metric} by {number(data['gain'])} ({between})"


def repeats(study: StudyMachine) -> dict[str, Any] | None:
    """The finalists with what their repeats say, the best first; None without any."""
    found = study.repeats
    if not found.chosen:
        return None
    order = [trial.number for trial in study.ranked() if trial.number in found.chosen]
    rows = []
    for finalist in order:
        verdict = found.verdict(finalist)
        first = verdict.first if verdict else None
        rows.append({
            "trial": finalist,
            "repeats": [trial.number for trial in found.of(finalist)],
            "values": list(first.values) if first else [],
            "mean": first.mean if first else None,
            "spread": first.spread if first else None,
            "worth": first.worth if first else None,
            **(_each(study, verdict) if study.metric.several else {}),
            **({"broken": verdict.broken if verdict else ""} if study.metric.bounds else {}),
        })  # fmt: skip
    return {"settled": found.settled, "finalists": rows}


def _each(study: StudyMachine, verdict: Verdict | None) -> dict[str, Any]:
    """What the repeats say of each of several objectives, by name."""
    found = zip(study.metric.goals, verdict.objectives, strict=True) if verdict else ()
    return {"objectives": {goal.name: asdict(worth) for goal, worth in found}}


def repeats_text(row: Mapping[str, Any]) -> str:
    """A finalist in a line: "trial 7: mean 0.312 over 3 other seeds, spread 0.004"."""
    if row["mean"] is None:
        return f"trial {row['trial']}: no repeat came to a value"
    over = f"over {counted(len(row['values']), 'other seed')}"
    broken = f"; breaks a bound: {row['broken']}" if row.get("broken") else ""
    if "objectives" in row:
        return f"trial {row['trial']}: means {over}: {_objectives_text(row['objectives'])}{broken}"
    spread = f", spread {number(row['spread'])}" if len(row["values"]) > 1 else ""
    return f"trial {row['trial']}: mean {number(row['mean'])} {over}{spread}{broken}"


def _objectives_text(objectives: Mapping[str, Mapping[str, Any]]) -> str:
    """Each objective: "val_loss 0.312 (spread 0.004), latency 4.1 (spread 0.2)"."""
    return ", ".join(
        f"{name} {number(one['mean'])}" + (f" (spread {number(one['spread'])})" if len(one["values"]) > 1 else "")
        for name, one in objectives.items()
    )


def repeats_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The finalists for a table of facts; a word more when they can't be compared."""
    rows = [("finalists" if place == 0 else "", repeats_text(row)) for place, row in enumerate(data["finalists"])]
    if not data["settled"]:
        rows.append(("", "not all repeats are through: the best is that of single values"))
    return rows
