"""A trial's learning curve beside the best one's, as Plotly's JSON."""

from __future__ import annotations

import math
from typing import Any

from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.watch.report import comparing
from sweep.watch.report.drawing import Figure, fidelity_axis
from sweep.watch.words import trial_state


def trial_figure(study: StudyMachine, trial: Trial, *, live: bool) -> dict[str, Any] | None:
    """The curve by attempts; None of a trial that hasn't reported.

    Colours are names of the page's CSS variables.
    """
    name, time_attr = study.metric.name, study.spec.scheduler.time_attr
    best = study.best
    state = "best" if trial is best else trial_state(trial, live=live).value
    data = []
    if best is not None and best is not trial:
        data.append(_line(best, name, f"trial {best.number}, the best", "--muted", 1.2))
    data.append(_line(trial, name, f"trial {trial.number}", f"--{state}", 2.4))
    if not any(value is not None for value in data[-1]["y"]):
        return None
    last = max(report.t for one in (trial, best) if one is not None for report in one.reports)
    lines = [
        {"type": "line", "x0": t, "x1": t, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
         "line": {"color": "--muted", "width": 1, "dash": "dot"}}
        for t in comparing.rungs(study)[:-1] if t <= last
    ]  # fmt: skip
    layout = {"xaxis": fidelity_axis(time_attr, last), "yaxis": {"title": name}, "shapes": lines, "height": 320}
    return Figure("curve", "Learning curve", "", data, layout).plain()


def _line(trial: Trial, metric: str, name: str, color: str, width: float) -> dict[str, Any]:
    values = [report.metrics.get(metric, math.nan) for report in trial.reports]
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": [report.t for report in trial.reports],
        "y": [value if math.isfinite(value) else None for value in values],
        "customdata": [report.attempt for report in trial.reports],
        "hovertemplate": "attempt %{customdata}: %{y:.5g}<extra></extra>",
        "line": {"color": color, "width": width}, "marker": {"size": 5 if width > 2 else 3, "color": color},  # noqa: PLR2004
    }  # fmt: skip
