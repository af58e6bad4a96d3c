"""Why the best trial won: its way through the rungs, who came next, and what more trials would likely buy."""

from __future__ import annotations

from sweep.core.space import constants
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.watch.outlooks import outlook, outlook_text, repeats
from sweep.watch.report.comparing import at, place_among, rungs
from sweep.watch.report.importance import Influence
from sweep.watch.text import counted, number, sentence, shown

MOST_NAMED = 3
"""Parameters that are named as those that mattered."""

SURE_OF = 0.1
"""Parts of the variance that a forest must explain, so that it is quoted."""

ENOUGH = 30
"""Trials of which it says something that a forest finds nothing in them."""


def story(study: StudyMachine, found: Influence | None) -> list[str]:
    """Sentences, the most important first; how it stands where there is no best trial."""
    best = study.best
    if best is None:
        return [f"No trial has reported a finite {study.metric.name} yet."]
    report = best.best(study.metric)
    value = best.value(study.metric)
    if report is None or value is None:
        return [f"No trial has reported a finite {study.metric.name} yet."]
    time_attr = study.spec.scheduler.time_attr
    ahead = _against(study, best, value)
    lines = [
        f"Trial {best.number} has the best {study.metric.name}, {number(value)} at {time_attr} {report.t}{ahead}.",
        *_way(study, best),
        *_differs(study, best),
        *_mattered(study, found),
        *_repeated(study, best),
    ]
    more = outlook(study)
    if more is not None:
        lines.append(sentence(outlook_text(study.metric.name, more)))
    return lines


def _against(study: StudyMachine, best: Trial, value: float) -> str:
    others = [trial for trial in study.ranked() if trial is not best and trial.repeat_of is None]
    if not others:
        return ""
    second = others[0].value(study.metric)
    middle = others[len(others) // 2].value(study.metric)
    if second is None or middle is None or study.metric.several:
        return ""
    gap = number(abs(second - value))
    return (
        f"; next is trial {others[0].number} with {number(second)} ({gap} behind), the middle one has {number(middle)}"
    )


def _way(study: StudyMachine, best: Trial) -> list[str]:
    """Its place at each rung among all that came there."""
    searched = [trial for trial in study.trials.values() if trial.repeat_of is None]
    places = []
    for t in rungs(study):
        own = at(best, t)
        there = [report.metrics.get(study.metric.name) for trial in searched if (report := at(trial, t))]
        values = [value for value in there if value is not None]
        if own is None or study.metric.name not in own.metrics or len(values) < 2:  # noqa: PLR2004
            continue
        place = place_among(own.metrics[study.metric.name], values, study)
        places.append(f"{_ordinal(place)} of {len(values)} at {study.spec.scheduler.time_attr} {t}")
    return [f"On its way it was {', '.join(places)}."] if len(places) > 1 else []


def _ordinal(place: int) -> str:
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def _differs(study: StudyMachine, best: Trial) -> list[str]:
    same = constants(study.spec)
    values = [f"{name} {shown(value)}" for name, value in best.config.items() if name not in same]
    return [f"Its config: {', '.join(values)}."] if values else []


def _mattered(study: StudyMachine, found: Influence | None) -> list[str]:
    if found is None:
        return []
    t, trials = f"{study.spec.scheduler.time_attr} {found.compared.t}", counted(len(found.compared.trials), "trial")
    where = f"{study.metric.name} of {trials} at {t}"
    named = [weight.axis.name for weight in found.weights if weight.low > 0][:MOST_NAMED]
    if found.explained >= SURE_OF and not named:
        return [f"{found.weights[0].axis.name} seems to matter most for the {where}: they are too few to be sure."]
    if found.explained < SURE_OF and len(found.compared.trials) < ENOUGH:
        return [f"What mattered can't be told: {trials} at {t} are too few."]
    if found.explained < SURE_OF:
        return [f"No parameter explains the {where}: differences between configs there are mostly chance."]
    words = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return [f"What mattered most was {words}; the parameters explain {found.explained:.0%} of the {where}."]


def _repeated(study: StudyMachine, best: Trial) -> list[str]:
    data = repeats(study)
    row = next((row for row in data["finalists"] if row["trial"] == best.number), None) if data else None
    if row is None or row["mean"] is None:
        return []
    runs = counted(len(row["values"]), "repeat")
    return [f"Over {runs} with other seeds it has {number(row['mean'])} on average, spread {number(row['spread'])}."]
