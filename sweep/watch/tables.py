"""What the reading verbs say of whole studies: `ls` and `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.core import plan
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial, TrialState
from sweep.store.paths import StudyPaths
from sweep.watch.fronts import front, front_text, nearest
from sweep.watch.outlooks import outlook, outlook_text, repeats, repeats_rows
from sweep.watch.stories import best, trial_story
from sweep.watch.tails import Tails, alike, brief
from sweep.watch.text import Glyphs, duration, measured, number, plain
from sweep.watch.trials import trials_csv, trials_table
from sweep.watch.view import Cell, Hanging, View, facts, note, stacked, table
from sweep.watch.words import STUDY_STYLES, counts_text, outcome_word, state_word, trial_counts

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["best", "state_word", "status", "studies_table", "study_row", "trial_story", "trials_csv", "trials_table"]

_BAR_WIDTH = 20


# ls


def study_row(study: StudyMachine, paths: StudyPaths, *, live: bool = False) -> dict[str, Any]:
    """A study in a line: name, state, trials, best value, time and folder."""
    counts = study.counts()
    top = study.best
    row = {
        "name": study.spec.name,
        "state": state_word(study, live=live),
        "trials": len(study.trials),
        "ended": sum(count for state, count in counts.items() if state.final),
        "failed": counts[TrialState.FAILED],
        "repeats": len(study.trials) - study.books.proposed,
        "budget_trials": study.limits.trials,
        "metric": study.metric.name,
        "best": top.value(study.metric) if top else None,
        "best_trial": top.number if top else None,
        "elapsed_s": study.elapsed_s,
        "path": paths.told(paths.root),
    }
    found: dict[str, Any] = plain(row)
    return found


def damaged_row(paths: StudyPaths, reason: str) -> dict[str, Any]:
    """A study that can't be read, in a line with the keys of `study_row`, and why."""
    known = {"name": paths.root.name, "state": "damaged", "path": paths.told(paths.root), "reason": reason}
    unknown = ("trials", "repeats", "ended", "failed", "budget_trials", "metric", "best", "best_trial", "elapsed_s")
    return {**known, **dict.fromkeys(unknown)}


def studies_table(rows: Sequence[Mapping[str, Any]]) -> View:
    """The studies of a storage folder, from `study_row`s."""

    def draw(glyphs: Glyphs, _: int) -> RenderableType:
        columns = [("study", "f"), ("state", "l"), ("trials", "r"), ("failed", "r"), ("best", "f"), ("time", "r")]
        drawn = table(columns, [_study_cells(row) for row in rows], glyphs)
        damaged = [note(f"{row['name']}: {row['reason']}", glyphs, "red") for row in rows if row["state"] == "damaged"]
        return stacked([drawn, *damaged]) if damaged else drawn

    return View([dict(row) for row in rows], draw)


def _study_cells(row: Mapping[str, Any]) -> list[Cell]:
    if row["state"] == "damaged":
        return [(row["name"], "bold"), ("damaged", "red"), "-", "-", "-", "-"]
    total = "" if row["budget_trials"] is None else f" of {row['budget_trials']}"
    value = "-" if row["best"] is None else f"{row['metric']} {number(row['best'])} (trial {row['best_trial']})"
    failed = (str(row["failed"]), "red") if row["failed"] else "0"
    state = (row["state"], STUDY_STYLES[row["state"]])
    return [
        (row["name"], "bold"),
        state,
        f"{row['trials'] - row['repeats']}{total}{_repeats(row)}",
        failed,
        value,
        duration(row["elapsed_s"]),
    ]


def _repeats(row: Mapping[str, Any]) -> str:
    return f" + {row['repeats']}" if row["repeats"] else ""


# status


def status(study: StudyMachine, paths: StudyPaths, *, live: bool = False, now: float | None = None) -> View:
    """How one study stands.

    Args:
        study: its state, whose time is put forward to `now`.
        paths: its files.
        live: whether a driver holds the study's lock.
        now: up to when a live study's time and costs count; up to its last event when left out.
    """
    if live and now is not None:
        study.limits.passed(now)
    ending = study.ended.reason if study.ended else study.ending.reason if study.ending else None
    data: dict[str, Any] = plain({
        "study": study.spec.name,
        "state": state_word(study, live=live),
        "reason": ending,
        "path": paths.told(paths.root),
        "trials": trial_counts(study, live=live),
        "best": _best(study),
        "front": front(study),
        "nearest": nearest(study),
        "elapsed_s": study.elapsed_s,
        "cost": study.limits.paid if study.spec.resources.price else None,
        "budget": budget(study),
        "rungs": rungs(study),
        "repeats": repeats(study),
        "outlook": outlook(study),
        "failures": failures(study, paths),
        "attempts": dict(Counter(outcome_word(a, live=live) for t in study.trials.values() for a in t.attempts)),
        "promotions": [each.model_dump(exclude={"time", "type"}) for each in study.promotions],
        "slots": study.run.slots if live and study.run else None,
        "dashboard": study.run.dashboard if live and study.run else None,
    })  # fmt: skip
    return View(data, lambda glyphs, _: _draw_status(data, study, glyphs))


def _best(study: StudyMachine) -> dict[str, Any] | None:
    trial = study.best
    report = trial.best(study.metric) if trial else None
    if trial is None or report is None:
        return None
    name = study.metric.name
    values = {each: report.metrics[each] for each in study.metric.names}
    return {"trial": trial.number, "metric": name, "value": report.metrics[name], "values": values, "t": report.t}


def budget(study: StudyMachine) -> dict[str, dict[str, float]]:
    """What the file allows, and a person has added; what is used and what is left. Only limits that there are."""
    limits, named = study.limits, study.spec.budget
    used = {
        "trials": (limits.trials, study.books.proposed),
        "time_s": (limits.time_s, study.elapsed_s),
        "gpu_hours": (limits.gpu_hours, limits.gpu_s / 3600),
        "cost": (limits.cost, limits.paid),
        "failures": (named.failures, study.books.failed),
        "patience": (named.patience, study.progress.fruitless),
    }
    return {
        name: {"limit": limit, "used": spent, "left": max(0, limit - spent)}
        for name, (limit, spent) in used.items()
        if limit is not None
    }


def rungs(study: StudyMachine) -> list[dict[str, Any]]:
    """The rungs of the lowest bracket and max_t: how many trials came, went on, were stopped; the best value there.

    One that paused there and went on later counts as gone on, one whose turn never came as stopped; `paused` are those
    that wait there now.
    """
    fidelities = [rung.t for rung in plan.make(study.spec, slots=1).rungs]
    searched = [trial for trial in study.trials.values() if trial.repeat_of is None]
    onward = {(each.trial, each.rung) for each in study.decisions if each.action == "advance"}
    fates = Counter(
        (t, _fate(study, trial, further, (trial.number, t) in onward))
        for t, further in zip(fidelities, [*fidelities[1:], None], strict=True)
        for trial in searched
        if trial.t >= t
    )
    return [
        {
            "t": t,
            "reached": reached,
            **{fate: fates[t, fate] for fate in ("advanced", "stopped", "paused")},
            "best": best_value,
        }
        for t, reached, best_value in plan.survival(searched, fidelities, study.metric)
    ]


def _fate(study: StudyMachine, trial: Trial, further: int | None, onward: bool) -> str:
    """What became of a trial at a rung that it has reached; `further` is the next one."""
    if further is not None and trial.t >= further:
        return "advanced"
    if trial.state is TrialState.STOPPED:
        return "stopped"
    if trial.number in study.books.resting:
        return "paused"
    return "advanced" if onward else "there"


def failures(study: StudyMachine, paths: StudyPaths) -> list[dict[str, Any]]:
    """Failed trials by their reason, the most frequent first; reason, log and its end are those of the first of them.

    Reasons that differ in numbers only are one.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in study.trials.values():
        if trial.state is TrialState.FAILED:
            groups.setdefault(alike(trial.reason), []).append(trial)
    tails = Tails(paths, fetching=True)
    return [
        _failure(group, *tails.of(group[0].number, max(1, len(group[0].attempts))))
        for group in sorted(groups.values(), key=len, reverse=True)
    ]


def _failure(group: Sequence[Trial], log: str, tail: str) -> dict[str, Any]:
    return {"reason": group[0].reason, "trials": [trial.number for trial in group], "log": log, "tail": tail}


def _draw_status(data: dict[str, Any], study: StudyMachine, glyphs: Glyphs) -> RenderableType:
    counts = counts_text(data["trials"], live=data["state"] in ("running", "paused"))
    top = data["best"]
    time_attr = study.spec.scheduler.time_attr
    rows: list[tuple[str, Cell]] = [
        ("study", (data["study"], "bold")),
        ("state", (data["state"], STUDY_STYLES[data["state"]])),
        ("reason", data["reason"] or ""),
        ("trials", counts or "none yet"),
        (
            "best",
            f"{measured(top['values'], top['values'])}, trial {top['trial']} at {time_attr} {top['t']}"
            if top
            else data["nearest"] or "-",
        ),
        ("front", f"{front_text(data['front'])}: sweep best {data['study']}" if data["front"] else ""),
        *(repeats_rows(data["repeats"]) if data["repeats"] else []),
        ("outlook", outlook_text(study.metric.name, data["outlook"]) if data["outlook"] else ""),
        ("elapsed", duration(data["elapsed_s"])),
        ("cost", "" if data["cost"] is None or "cost" in data["budget"] else number(data["cost"])),
        *((f"budget {name.removesuffix('_s')}", _budget_text(name, each)) for name, each in data["budget"].items()),
        ("promoted", "; ".join(_promotion(each) for each in data["promotions"])),
        ("dashboard", data["dashboard"] or ""),
        ("folder", data["path"]),
    ]
    parts: list[RenderableType] = [facts(rows, glyphs), _rung_table(data["rungs"], time_attr, glyphs)]
    if data["failures"]:
        parts.append(failure_table(data["failures"], glyphs))
    return stacked(parts)


def _budget_text(name: str, each: Mapping[str, float]) -> str:
    def text(value: float) -> str:
        return duration(value) if name == "time_s" else number(value) if name in ("gpu_hours", "cost") else f"{value:g}"

    return f"{text(each['used'])} of {text(each['limit'])}, {text(each['left'])} left"


def _promotion(each: Mapping[str, Any]) -> str:
    alias = f" ({each['alias']})" if each["alias"] else ""
    return f"trial {each['trial']} is {each['model']} v{each['version']}{alias}"


def _rung_table(rows: Sequence[Mapping[str, Any]], time_attr: str, glyphs: Glyphs) -> RenderableType:
    pauses = any(row["paused"] for row in rows)
    most = max((row["reached"] for row in rows), default=0) or 1
    cells: list[list[Cell]] = [
        [
            str(row["t"]),
            str(row["reached"]),
            (glyphs.bar * -(-row["reached"] * _BAR_WIDTH // most), "cyan"),
            str(row["advanced"]),
            str(row["stopped"]),
            *([str(row["paused"])] if pauses else []),
            number(row["best"]),
        ]
        if row["reached"]
        # Nobody has come here yet: zeros would only look like results.
        else [(str(row["t"]), "dim"), *[""] * (6 if pauses else 5)]
        for row in rows
    ]
    heads = [(time_attr, "r"), ("reached", "r"), ("", "l"), ("advanced", "r"), ("stopped", "r")]
    heads += [*([("paused", "r")] if pauses else []), ("best", "r")]
    return table(heads, cells, glyphs)


def failure_table(rows: Sequence[Mapping[str, Any]], glyphs: Glyphs) -> RenderableType:
    """How many trials failed of what, which, and how the first of their logs ends; from `failures`."""
    cells: list[list[Cell]] = []
    for row in rows:
        numbers = ", ".join(map(str, row["trials"]))
        word = "trial" if len(row["trials"]) == 1 else "trials"
        cells += [[str(len(row["trials"])), (row["reason"], "red")], ["", (f"{word} {numbers}", "dim")]]
        cells += [[("log", "dim"), (row["log"], "dim")]]
        cells += [["", (line, "dim")] for line in brief(row["tail"], row["reason"])]
    return Hanging([[("failed", "dim"), ("reason", "dim")], *cells], glyphs, right=True)
