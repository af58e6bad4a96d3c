"""Pictures of what the parameters mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sweep.core.trial import Trial
from sweep.watch.report.axes import ABSENT, Axis
from sweep.watch.report.drawing import ROW, Figure, Json, drawn_range, short, value_axis
from sweep.watch.report.subject import Subject
from sweep.watch.text import number

MOST_AXES = 10
SLICE_COLUMNS = 3

_MARK = 12
"""Characters of a mark in parallel coordinates."""

SCALE = [[0, "--scale-best"], [0.5, "--scale-middle"], [1, "--scale-worst"]]
AGES = [[0, "--age-first"], [1, "--age-last"]]


def importance(subject: Subject) -> Figure | None:
    """What each parameter meant, with how sure that is."""
    found = subject.influence
    if found is None:
        return None
    weights = found.weights[:MOST_AXES][::-1]
    # Where shuffling one helps the forest, by chance, its share is below 0, and another's above 1.
    lows, means, highs = (
        [min(1.0, max(0.0, share)) for share in shares]
        for shares in zip(*((one.low, one.mean, one.high) for one in weights), strict=True)
    )
    data: list[Json] = [{
        "type": "bar", "orientation": "h", "y": [one.axis.name for one in weights],
        "x": short(means), "marker": {"color": "--complete"},
        "error_x": {"type": "data", "symmetric": False, "color": "--text", "thickness": 1.2,
                    "array": short([max(0.0, high - mean) for high, mean in zip(highs, means, strict=True)]),
                    "arrayminus": short([max(0.0, mean - low) for low, mean in zip(lows, means, strict=True)])},
        "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
    }]  # fmt: skip
    layout = {
        "height": max(200, 90 + ROW * len(weights)), "showlegend": False, "margin": {"l": 130},
        "xaxis": {"title": "share of all importance", "rangemode": "tozero"},
        "yaxis": {"type": "category", "dtick": 1},
    }  # fmt: skip
    note = (
        f"How much worse a forest predicts {subject.metric} of trials it hasn't seen when a parameter's values are"
        f" shuffled among them; the thin lines cover 8 of 10 ways to split the trials."
        f" {len(found.compared.trials)} trials at {subject.time_attr} {found.compared.t};"
        f" the forest explains {found.explained:.0%} of their variance."
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
    low, high = drawn_range(values, best_low=subject.study.metric.goal == "minimize")
    dimensions.append({"label": subject.metric, "values": short(values), "range": [low, high]})
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
            "type": "scatter", "mode": "markers" if axis.listed else "lines", "x": short(along), "y": short(expected),
            "xaxis": f"x{tag}", "yaxis": f"y{tag}", "line": {"color": "--best", "width": 2}, "hoverinfo": "skip",
            "marker": {"symbol": "line-ew-open", "size": 22, "color": "--best", "line": {"width": 3}},
        })  # fmt: skip
        layout[f"xaxis{tag}"] = {"title": axis.name, **_ticks(axis)}
        layout[f"yaxis{tag}"] = {**value_axis(subject, values), "title": subject.metric if place == 1 else ""}
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
        {"type": "contour", "x": short(wide), "y": short(high), "z": [short(row) for row in expected],
         "colorscale": SCALE if best_low else _reversed(SCALE), "ncontours": 18, "line": {"width": 0.4},
         "colorbar": {"title": {"text": subject.metric}, "thickness": 12, "tickfont": {"color": "--muted"}},
         "hovertemplate": "%{z:.4g}<extra></extra>"},
        {"type": "scatter", "mode": "markers", "x": short([x.place(trial.config) for trial in trials]),
         "y": short([y.place(trial.config) for trial in trials]),
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
        dimension |= {"tickvals": short(ticks[0]), "ticktext": [_cut(text) for text in ticks[1]]}
    return {**dimension, "values": short(places), "range": short(ends)}


def _cut(text: str) -> str:
    """A mark that doesn't reach over the next axis."""
    return text if len(text) <= _MARK else f"{text[: _MARK - 1]}…"


def _points(axis: Axis, trials: Sequence[Trial], values: Sequence[float]) -> tuple[list[Any], list[Any], list[int]]:
    found = [
        (place, value, trial.number)
        for trial, value in zip(trials, values, strict=True)
        if (place := axis.place(trial.config)) is not None
    ]
    return short([each[0] for each in found]), short([each[1] for each in found]), [each[2] for each in found]


def _ticks(axis: Axis) -> Json:
    ticks = axis.ticks()
    room = 0.03 * ((axis.high - axis.low) or 1.0) if not axis.listed else 0.5
    ends = {"range": short([axis.low - room, axis.high + room])}
    return ends if ticks is None else {**ends, "tickvals": short(ticks[0]), "ticktext": ticks[1]}


def _ranks(values: Sequence[float], *, best_low: bool) -> list[float]:
    """0 for the best, 1 for the worst."""
    order = sorted(range(len(values)), key=lambda place: values[place], reverse=not best_low)
    found = [0.0] * len(values)
    for rank, place in enumerate(order):
        found[place] = round(rank / max(1, len(values) - 1), 4)
    return found


def _reversed(scale: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [[1 - at, color] for at, color in reversed(scale)]
