"""The report's pictures."""

from __future__ import annotations

from sweep.watch.report import parameter_figures as parameters
from sweep.watch.report import search_figures as search
from sweep.watch.report.drawing import ROW, Figure, bar, in_order, short, unit_of
from sweep.watch.report.subject import Subject


def figures(subject: Subject) -> list[Figure]:
    """All pictures that have something to show, in the page's order."""
    found = [
        search.history(subject),
        search.front(subject),
        search.curves(subject),
        search.survival(subject),
        parameters.importance(subject),
        parameters.parallel(subject),
        parameters.slices(subject),
        parameters.contour(subject),
        timeline(subject),
    ]
    return [figure for figure in found if figure is not None]


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
    for name, places in in_order(groups):
        spans = [used.spans[place] for place in places]
        data.append({
            **bar(name, [], [], f"--{name}"), "orientation": "h",
            "base": short([(span.began - start) / seconds for span in spans]),
            "x": short([(span.ended - span.began) / seconds for span in spans]), "y": [span.row for span in spans],
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
