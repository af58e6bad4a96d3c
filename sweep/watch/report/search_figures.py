"""Pictures of how a search went."""

from __future__ import annotations

import math

from sweep.core.trial import Trial
from sweep.watch.report import comparing
from sweep.watch.report.drawing import (
    Figure,
    bar,
    fidelity_axis,
    in_order,
    literal,
    markers,
    short,
    unit_of,
    value_axis,
)
from sweep.watch.report.occupancy import FATES
from sweep.watch.report.subject import Subject, best_so_far


def history(subject: Subject) -> Figure | None:
    """Each trial's value over time, and the best so far."""
    groups: dict[str, list[tuple[float, float, int, int]]] = {}
    unit, seconds = unit_of(sum(run.ended - run.began for run in subject.runs))
    for trial in subject.searched():
        report = trial.best(subject.study.metric)
        if report is not None:
            x = subject.worked(report.time) / seconds
            value = report.metrics[subject.metric]
            groups.setdefault(subject.fate(trial), []).append((x, value, trial.number, report.t))
    if not groups:
        return None
    points = sorted(point for group in groups.values() for point in group)
    best = [(subject.worked(time) / seconds, value) for time, value in best_so_far(subject)]
    best.append((points[-1][0], best[-1][1]))
    named = literal(subject.time_attr)
    data = [
        {
            **markers(name, [point[0] for point in group], [point[1] for point in group]),
            "customdata": [[point[2], point[3]] for point in group],
            "hovertemplate": f"trial %{{customdata[0]}}<br>%{{y:.5g}} at {named} %{{customdata[1]}}",
        }
        for name, group in in_order(groups)
    ]
    data.insert(0, {
        "type": "scatter", "mode": "lines", "name": "best so far", "x": short([x for x, _ in best]),
        "y": short([y for _, y in best]), "line": {"shape": "hv", "color": "--best", "width": 1.5},
        "hoverinfo": "skip",
    })  # fmt: skip
    layout = {"xaxis": {"title": f"{unit} of work"}, "yaxis": value_axis(subject, [point[1] for point in points])}
    note = "Each trial's best value, when it had it. Colour: what became of the trial."
    return Figure("history", "History", note, data, layout)


def front(subject: Subject) -> Figure | None:
    """The first two of several objectives."""
    metric = subject.study.metric
    if not metric.several:
        return None
    first, second = metric.goals[0].name, metric.goals[1].name
    on_it = {trial.number for trial in subject.study.front()}
    groups: dict[str, list[tuple[float, float, int]]] = {}
    for trial in subject.searched():
        report = trial.best(metric)
        if report is not None:
            name = "front" if trial.number in on_it else subject.fate(trial)
            groups.setdefault(name, []).append((report.metrics[first], report.metrics[second], trial.number))
    data = []
    for name, group in groups.items():
        points = sorted(group)
        trace = markers("best" if name == "front" else name, [each[0] for each in points], [each[1] for each in points])
        trace |= {"name": name, "customdata": [each[2] for each in points]}
        trace["hovertemplate"] = f"trial %{{customdata}}<br>{first} %{{x:.5g}}<br>{second} %{{y:.5g}}"
        if name == "front":
            trace |= {"mode": "lines+markers", "line": {"color": "--best", "width": 1, "dash": "dot"}}
        data.append(trace)
    layout = {"xaxis": {"title": f"{first} ({metric.goals[0].goal})"},
              "yaxis": {"title": f"{second} ({metric.goals[1].goal})"}}  # fmt: skip
    note = f"The {len(on_it)} trials of the front: no other is better in every objective."
    return Figure("front", "Pareto front", note, data, layout)


def curves(subject: Subject) -> Figure | None:
    """Every learning curve, coloured by what became of its trial."""
    groups: dict[str, list[Trial]] = {}
    values: list[float] = []
    for trial in subject.searched():
        if trial.reports:
            groups.setdefault(subject.fate(trial), []).append(trial)
    data = []
    for name, trials in in_order(groups):
        x: list[float | None] = []
        y: list[float | None] = []
        whose: list[int | None] = []
        for trial in trials:
            for report in trial.reports:
                value = report.metrics.get(subject.metric, math.nan)
                x.append(report.t)
                y.append(value if math.isfinite(value) else None)
                whose.append(trial.number)
            x.append(None)
            y.append(None)
            whose.append(None)
        values += [value for value in y if value is not None]
        data.append({
            "type": "scattergl", "mode": "lines+markers", "name": f"{name} ({len(trials)})", "x": x, "y": short(y),
            "customdata": whose,
            "hovertemplate": f"trial %{{customdata}}<br>{literal(subject.time_attr)} %{{x}}: %{{y:.5g}}",
            "marker": {"size": 3}, "opacity": 1 if name == "best" else 0.55,
            "line": {"color": f"--{name}", "width": 3 if name == "best" else 1},
        })  # fmt: skip
        data[-1]["marker"] = {"size": 6 if name == "best" else 3, "color": f"--{name}"}
    if not values:
        return None
    rungs = comparing.rungs(subject.study)[:-1]
    lines = [
        {"type": "line", "x0": t, "x1": t, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
         "line": {"color": "--muted", "width": 1, "dash": "dot"}}
        for t in rungs
    ]  # fmt: skip
    last = max(report.t for trial in subject.searched() for report in trial.reports)
    axes = {"xaxis": fidelity_axis(subject.time_attr, last), "yaxis": value_axis(subject, values)}
    layout = {**axes, "shapes": lines}
    note = "Every report. Dotted lines are rungs, where trials were judged." if rungs else "Every report."
    return Figure("curves", "Learning curves", note, data, layout)


def survival(subject: Subject) -> Figure | None:
    """How many trials came to each rung, and what became of them there."""
    rungs = comparing.rungs(subject.study)
    trials = subject.searched()
    if len(rungs) < 2 or not any(trial.t >= rungs[0] for trial in trials):  # noqa: PLR2004 - nobody was judged
        return None
    names = [f"{subject.time_attr} {t}" for t in rungs]
    on: list[float] = []
    ended: dict[str, list[float]] = {}
    for t, following in zip(rungs, [*rungs[1:], math.inf], strict=True):
        there = [trial for trial in trials if trial.t >= t]
        on.append(sum(1 for trial in there if trial.t >= following))
        for name in FATES:
            count = sum(1 for trial in there if trial.t < following and subject.fate(trial) == name)
            ended.setdefault(name, []).append(count)
    data = [bar("went on", names, on, "--on")]
    data += [bar(name, names, counts, f"--{name}") for name, counts in ended.items() if any(counts)]
    layout = {"barmode": "stack", "yaxis": {"title": "trials"}, "xaxis": {"type": "category"}}
    return Figure("survival", "Rungs", "Who came to each rung, and what became of them from there.", data, layout)
