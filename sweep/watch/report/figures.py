"""The report's pictures, as Plotly's JSON.

Colours are names of the page's CSS variables ("--best"): the page puts in those of its light or dark dress. A figure
holds plain numbers only, so that a thousand trials stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.watch.report import comparing
from sweep.watch.report.axes import ABSENT, Axis
from sweep.watch.report.importance import Influence
from sweep.watch.report.occupancy import FATES, Occupancy, Run
from sweep.watch.text import number

Json = dict[str, Any]
Member = TypeVar("Member")

HEIGHT = 380
ROW = 26
MOST_AXES = 10
SLICE_COLUMNS = 3
DIGITS = 5
"""Of a number in a figure: more can't be seen, and each costs a byte a point."""

_MINUTES, _HOURS = 600.0, 3 * 3600.0
_LOG_FROM = 30.0
"""Values whose largest is so many times the smallest are drawn on a log scale."""

SCALE = [[0, "--scale-best"], [0.5, "--scale-middle"], [1, "--scale-worst"]]
AGES = [[0, "--age-first"], [1, "--age-last"]]


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        name: of its place on the page.
        title: over it.
        note: below the title: what is to be seen, or how it was made.
        data, layout: Plotly's.
    """

    name: str
    title: str
    note: str
    data: list[Json]
    layout: Json

    def plain(self) -> Json:
        """As the page gets it, with every text as text: Plotly reads tags in labels."""
        return {"name": self.name, "data": _literal(self.data), "layout": _literal(self.layout)}


@dataclass(frozen=True)
class Subject:
    """What the pictures are of.

    Attributes:
        study: its state.
        runs: the drivers' work on it.
        occupancy: how machines were used.
        influence: of its parameters, where something was learned of it.
        fates: what became of each trial.
    """

    study: StudyMachine
    runs: list[Run]
    occupancy: Occupancy
    influence: Influence | None
    fates: Mapping[int, str]

    @property
    def metric(self) -> str:
        """The first objective's name."""
        return self.study.metric.name

    @property
    def time_attr(self) -> str:
        """What fidelity is counted in."""
        return self.study.spec.scheduler.time_attr

    def searched(self) -> list[Trial]:
        """The trials that the sampler proposed."""
        return [trial for trial in self.study.trials.values() if trial.repeat_of is None]

    def fate(self, trial: Trial) -> str:
        """What became of a trial."""
        return self.fates[trial.number]

    def worked(self, time: float) -> float:
        """Seconds that drivers had worked on the study at a time."""
        return sum(max(0.0, min(time, run.ended) - run.began) for run in self.runs)


def figures(subject: Subject) -> list[Figure]:
    """All pictures that have something to show, in the page's order."""
    found = [
        history(subject),
        front(subject),
        curves(subject),
        survival(subject),
        importance(subject),
        parallel(subject),
        slices(subject),
        contour(subject),
        timeline(subject),
    ]
    return [figure for figure in found if figure is not None]


# How the search went


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
            **_markers(name, [point[0] for point in group], [point[1] for point in group]),
            "customdata": [[point[2], point[3]] for point in group],
            "hovertemplate": f"trial %{{customdata[0]}}<br>%{{y:.5g}} at {named} %{{customdata[1]}}",
        }
        for name, group in _in_order(groups)
    ]
    data.insert(0, {
        "type": "scatter", "mode": "lines", "name": "best so far", "x": _short([x for x, _ in best]),
        "y": _short([y for _, y in best]), "line": {"shape": "hv", "color": "--best", "width": 1.5},
        "hoverinfo": "skip",
    })  # fmt: skip
    layout = {"xaxis": {"title": f"{unit} of work"}, "yaxis": _value_axis(subject, [point[1] for point in points])}
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
        trace = _markers(
            "best" if name == "front" else name, [each[0] for each in points], [each[1] for each in points]
        )
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
    for name, trials in _in_order(groups):
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
            "type": "scattergl", "mode": "lines+markers", "name": f"{name} ({len(trials)})", "x": x, "y": _short(y),
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
    layout = {"xaxis": {"title": subject.time_attr}, "yaxis": _value_axis(subject, values), "shapes": lines}
    note = "Every report. Dotted lines are rungs, where trials were judged." if rungs else "Every report."
    return Figure("curves", "Learning curves", note, data, layout)


def survival(subject: Subject) -> Figure | None:
    """How many trials came to each rung, and what became of them there."""
    rungs = comparing.rungs(subject.study)
    trials = subject.searched()
    if len(rungs) < 2:  # noqa: PLR2004 - nobody was judged before the end
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
    data = [_bar("went on", names, on, "--on")]
    data += [_bar(name, names, counts, f"--{name}") for name, counts in ended.items() if any(counts)]
    layout = {"barmode": "stack", "yaxis": {"title": "trials"}, "xaxis": {"type": "category"}}
    return Figure("survival", "Rungs", "Who came to each rung, and what became of them from there.", data, layout)


# What the parameters mean


def importance(subject: Subject) -> Figure | None:
    """What each parameter meant, with how sure that is."""
    found = subject.influence
    if found is None:
        return None
    weights = found.weights[:MOST_AXES][::-1]
    data: list[Json] = [{
        "type": "bar", "orientation": "h", "y": [one.axis.name for one in weights],
        "x": _short([max(0.0, one.mean) for one in weights]), "marker": {"color": "--complete"},
        "error_x": {"type": "data", "symmetric": False, "color": "--text", "thickness": 1.2,
                    "array": _short([max(0.0, one.high - max(0.0, one.mean)) for one in weights]),
                    "arrayminus": _short([max(0.0, max(0.0, one.mean) - max(0.0, one.low)) for one in weights])},
        "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
    }]  # fmt: skip
    layout = {
        "height": max(200, 90 + ROW * len(weights)), "showlegend": False, "margin": {"l": 130},
        "xaxis": {"title": "part of what is lost by shuffling", "rangemode": "tozero"}, "yaxis": {"type": "category"},
    }  # fmt: skip
    note = (
        f"How much worse a forest predicts {subject.metric} of trials it hasn't seen when a parameter's values are"
        f" shuffled among them; bars cover 8 of 10 splits. {len(found.compared.trials)} trials at {subject.time_attr}"
        f" {found.compared.t}; the forest explains {found.explained:.0%} of their variance."
    )
    return Figure("importance", "What mattered", note, data, layout)


def parallel(subject: Subject) -> Figure | None:
    """Parallel coordinates: parameters, then objectives; dragging along an axis picks trials."""
    found = subject.influence
    if found is None:
        return None
    axes = [weight.axis for weight in found.weights[:MOST_AXES]]
    trials, values = found.compared.trials, found.compared.values
    dimensions = [_dimension(axis, trials) for axis in axes]
    low, high = _drawn_range(values, best_low=subject.study.metric.goal == "minimize")
    dimensions.append({"label": subject.metric, "values": _short(values), "range": [low, high]})
    places = _ranks(values, best_low=subject.study.metric.goal == "minimize")
    data: list[Json] = [{
        "type": "parcoords", "dimensions": dimensions, "labelside": "top",
        "line": {"color": places, "colorscale": SCALE, "cmin": 0, "cmax": 1},
        "unselected": {"line": {"color": "--stopped", "opacity": 0.08}},
        "labelfont": {"color": "--text", "size": 12}, "tickfont": {"color": "--muted", "size": 10},
        "rangefont": {"color": "--muted", "size": 10},
    }]  # fmt: skip
    note = (
        f"{subject.metric} at {subject.time_attr} {found.compared.t}; the better, the stronger the colour. Drag along"
        " an axis to pick trials, drag its name to move it."
    )
    layout = {"height": 440, "margin": {"t": 60, "l": 70, "r": 70}}
    return Figure("parallel", "Parallel coordinates", note, data, layout)


def slices(subject: Subject) -> Figure | None:
    """The value over each parameter by itself."""
    found = subject.influence
    if found is None:
        return None
    axes = [weight.axis for weight in found.weights[: MOST_AXES - 1]]
    rows = math.ceil(len(axes) / SLICE_COLUMNS)
    values = found.compared.values
    data: list[Json] = []
    layout: Json = {"showlegend": False, "height": 60 + 230 * rows,
                    "grid": {"rows": rows, "columns": min(len(axes), SLICE_COLUMNS), "pattern": "independent",
                             "xgap": 0.14, "ygap": 0.42 if rows > 1 else 0}}  # fmt: skip
    for place, axis in enumerate(axes, start=1):
        tag = "" if place == 1 else str(place)
        at, y, age = _points(axis, found.compared.trials, values)
        data.append({
            "type": "scattergl", "mode": "markers", "x": at, "y": y, "xaxis": f"x{tag}", "yaxis": f"y{tag}",
            "marker": {"size": 5, "color": age, "colorscale": AGES, "opacity": 0.8}, "customdata": age,
            "hovertemplate": "trial %{customdata}<br>%{y:.5g}<extra></extra>",
        })  # fmt: skip
        along, expected = found.along(axis)
        data.append({
            "type": "scatter", "mode": "markers" if axis.listed else "lines", "x": _short(along), "y": _short(expected),
            "xaxis": f"x{tag}", "yaxis": f"y{tag}", "line": {"color": "--best", "width": 2}, "hoverinfo": "skip",
            "marker": {"symbol": "line-ew-open", "size": 22, "color": "--best", "line": {"width": 3}},
        })  # fmt: skip
        layout[f"xaxis{tag}"] = {"title": axis.name, **_ticks(axis)}
        layout[f"yaxis{tag}"] = {**_value_axis(subject, values), "title": subject.metric if place == 1 else ""}
    note = (
        f"{subject.metric} at {subject.time_attr} {found.compared.t}; later trials have the stronger colour. The line"
        " is what the forest expects there, over the other parameters as the trials had them."
    )
    return Figure("slices", "Slices", note, data, layout)


def contour(subject: Subject) -> Figure | None:
    """What is expected over the two parameters that mattered most."""
    found = subject.influence
    ranges = [weight.axis for weight in found.weights if not weight.axis.listed] if found else []
    if found is None or len(ranges) < 2:  # noqa: PLR2004
        return None
    x, y = ranges[:2]
    wide, high, expected = found.over(x, y)
    best_low = subject.study.metric.goal == "minimize"
    trials = [trial for trial in found.compared.trials if x.name in trial.config and y.name in trial.config]
    data: list[Json] = [
        {"type": "contour", "x": _short(wide), "y": _short(high), "z": [_short(row) for row in expected],
         "colorscale": SCALE if best_low else _reversed(SCALE), "ncontours": 18, "line": {"width": 0.4},
         "colorbar": {"title": {"text": subject.metric}, "thickness": 12, "tickfont": {"color": "--muted"}},
         "hovertemplate": "%{z:.4g}<extra></extra>"},
        {"type": "scatter", "mode": "markers", "x": _short([x.place(trial.config) for trial in trials]),
         "y": _short([y.place(trial.config) for trial in trials]),
         "customdata": [trial.number for trial in trials], "hovertemplate": "trial %{customdata}<extra></extra>",
         "marker": {"size": 5, "color": "--panel", "line": {"color": "--text", "width": 1}}},
    ]  # fmt: skip
    best = subject.study.best
    if best is not None and x.name in best.config and y.name in best.config:
        data.append({"type": "scatter", "mode": "markers", "x": [x.place(best.config)], "y": [y.place(best.config)],
                     "marker": {"symbol": "star", "size": 15, "color": "--best"},
                     "hovertemplate": f"trial {best.number}, the best<extra></extra>"})  # fmt: skip
    layout = {"showlegend": False, "height": 440, "xaxis": {"title": x.name, **_ticks(x)},
              "yaxis": {"title": y.name, **_ticks(y)}}  # fmt: skip
    what = f"{subject.metric} at {subject.time_attr} {found.compared.t}"
    note = f"What the forest expects of {what}; the star is the best trial."
    return Figure("contour", "The two that mattered most", note, data, layout)


# What it cost


def timeline(subject: Subject) -> Figure | None:
    """Each attempt where and when it ran, and the time in between."""
    used = subject.occupancy
    if not used.spans:
        return None
    start = min(run.began for run in used.runs) if used.runs else min(span.began for span in used.spans)
    end = max(span.ended for span in used.spans)
    unit, seconds = unit_of(end - start)
    groups: dict[str, list[int]] = {}
    for place, span in enumerate(used.spans):
        groups.setdefault(span.fate, []).append(place)
    data = []
    for name, places in _in_order(groups):
        spans = [used.spans[place] for place in places]
        data.append({
            **_bar(name, [], [], f"--{name}"), "orientation": "h",
            "base": _short([(span.began - start) / seconds for span in spans]),
            "x": _short([(span.ended - span.began) / seconds for span in spans]), "y": [span.row for span in spans],
            "width": 0.9, "customdata": [[span.trial, span.attempt] for span in spans],
            "hovertemplate": f"trial %{{customdata[0]}}, attempt %{{customdata[1]}}: %{{x:.3g}} {unit}",
        })  # fmt: skip
    shapes = [
        {"type": "rect", "x0": (run.began - start) / seconds, "x1": (run.ended - start) / seconds,
         "yref": "paper", "y0": 0, "y1": 1, "fillcolor": "--idle", "line": {"width": 0}, "layer": "below"}
        for run in used.runs
    ]  # fmt: skip
    rows = len(used.rows)
    shown = range(0, rows, max(1, rows // 24))
    layout = {
        "barmode": "overlay", "height": min(900, max(220, 110 + round(ROW * 0.8) * rows)), "shapes": shapes,
        "xaxis": {"title": f"{unit} since the start"}, "margin": {"l": 150},
        "yaxis": {"tickvals": list(shown), "ticktext": [used.rows[row] for row in shown], "range": [rows - 0.5, -0.5]},
    }  # fmt: skip
    busy = f" {used.busy:.0%} of the places were busy while trials ran." if used.busy is not None else ""
    note = f"One bar an attempt; grey is a place that waited.{busy}"
    return Figure("timeline", "Where the time went", note, data, layout)


# Pieces


def literal(text: str) -> str:
    """A text that Plotly shows as it is, whatever tags stand in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _literal(value: Any, key: str = "") -> Any:
    """A figure's values with literal texts; templates have tags of their own, and are made of literal texts."""
    if isinstance(value, str):
        return value if key == "hovertemplate" else literal(value)
    if isinstance(value, dict):
        return {name: _literal(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(each, key) if isinstance(each, str | dict | list | tuple) else each for each in value]
    return value


def _markers(name: str, x: Sequence[float], y: Sequence[float]) -> Json:
    star = name == "best"
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": _short(x), "y": _short(y),
        "marker": {"color": f"--{name}", "size": 14 if star else 6, "symbol": "star" if star else "circle",
                   "opacity": 1 if star else 0.75},
    }  # fmt: skip


def _bar(name: str, x: Sequence[Any], y: Sequence[float], color: str) -> Json:
    return {"type": "bar", "name": name, "x": list(x), "y": list(y), "marker": {"color": color, "line": {"width": 0}}}


def _dimension(axis: Axis, trials: Sequence[Trial]) -> Json:
    places = [axis.place(trial.config) for trial in trials]
    ends = [axis.low, axis.high]
    ticks = axis.ticks()
    dimension: Json = {"label": axis.name}
    if None in places:
        below = axis.low - 0.15 * ((axis.high - axis.low) or 1.0)
        marked = ticks or ([axis.low, axis.high], [number(axis.low), number(axis.high)])
        ticks = ([below, *marked[0]], [ABSENT, *marked[1]])
        ends[0] = below
        places = [below if place is None else place for place in places]
    if ticks is not None:
        dimension |= {"tickvals": _short(ticks[0]), "ticktext": ticks[1]}
    return {**dimension, "values": _short(places), "range": _short(ends)}


def _points(axis: Axis, trials: Sequence[Trial], values: Sequence[float]) -> tuple[list[Any], list[Any], list[int]]:
    found = [
        (place, value, trial.number)
        for trial, value in zip(trials, values, strict=True)
        if (place := axis.place(trial.config)) is not None
    ]
    return _short([each[0] for each in found]), _short([each[1] for each in found]), [each[2] for each in found]


def _ticks(axis: Axis) -> Json:
    ticks = axis.ticks()
    room = 0.03 * ((axis.high - axis.low) or 1.0) if not axis.listed else 0.5
    ends = {"range": _short([axis.low - room, axis.high + room])}
    return ends if ticks is None else {**ends, "tickvals": _short(ticks[0]), "ticktext": ticks[1]}


def _value_axis(subject: Subject, values: Sequence[float]) -> Json:
    """An axis of the first objective that shows the good values well; those of wild trials lie outside."""
    best_low = subject.study.metric.goal == "minimize"
    low, high = _drawn_range(values, best_low=best_low)
    if best_low and low > 0 and high / low > _LOG_FROM:
        return {
            "title": subject.metric,
            "type": "log",
            "dtick": "D2",
            "range": _short([math.log10(low * 0.9), math.log10(high * 1.1)]),
        }
    room = 0.04 * ((high - low) or abs(high) or 1.0)
    return {"title": subject.metric, "range": _short([low - room, high + room])}


def _drawn_range(values: Sequence[float], *, best_low: bool) -> tuple[float, float]:
    """From the best to the worst, or to three times as far from the best as four fifths of all, if that is nearer."""
    ordered = sorted(values, reverse=not best_low)
    best, far = ordered[0], ordered[min(len(ordered) - 1, round(0.8 * len(ordered)))]
    worst = ordered[-1]
    limit = best + 3 * (far - best)
    drawn = min(worst, limit) if best_low else max(worst, limit)
    return (best, drawn) if best_low else (drawn, best)


def _ranks(values: Sequence[float], *, best_low: bool) -> list[float]:
    """0 for the best, 1 for the worst."""
    order = sorted(range(len(values)), key=lambda place: values[place], reverse=not best_low)
    found = [0.0] * len(values)
    for rank, place in enumerate(order):
        found[place] = round(rank / max(1, len(values) - 1), 4)
    return found


def _reversed(scale: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [[1 - at, color] for at, color in reversed(scale)]


def _in_order(groups: Mapping[str, Member]) -> list[tuple[str, Member]]:
    """By fate; the best last, so that it is drawn over the others."""
    order = [*FATES[1:], FATES[0]]
    return [(name, groups[name]) for name in order if name in groups]


def best_so_far(subject: Subject) -> list[tuple[float, float]]:
    """When the best value became better, and to what: (seconds since 1970, value)."""
    found: list[tuple[float, float]] = []
    for time, value in sorted(
        (report.time, report.metrics[subject.metric])
        for trial in subject.searched()
        if (report := trial.best(subject.study.metric))
    ):
        if not found or subject.study.metric.better(value, found[-1][1]):
            found.append((time, value))
    return found


def unit_of(seconds: float) -> tuple[str, float]:
    """In what so long a time is drawn, and how many seconds that has."""
    if seconds < _MINUTES:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < _HOURS else ("hours", 3600.0)


def _short(values: Iterable[float | None]) -> list[Any]:
    return [None if value is None else float(f"{value:.{DIGITS}g}") for value in values]
