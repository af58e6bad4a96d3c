"""What earlier studies have found in a space that overlaps with ours: their trials as knowledge for a sampler."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sweep.core.activation import applies
from sweep.core.parameters import Choice, Constant, Parameter
from sweep.core.space import Space, describe
from sweep.core.spec import Metric, StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import Trial, TrialState
from sweep.core.values import value_problem


class Lesson(BaseModel):
    """A trial of an earlier study as one of ours.

    Attributes:
        study: it was a trial of.
        trial: its number there.
        config: ours, flat, as it would have been.
        state: complete where it went as far as our trials go.
        value: its best, when it is complete.
        values: fidelity and objective of each of its reports that ours could have made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    trial: int
    config: dict[str, Any]
    state: Literal["complete", "stopped"]
    value: float | None
    values: list[tuple[int, float]]


@dataclass(frozen=True)
class Lessons:
    """What one earlier study teaches.

    Attributes:
        study: its name.
        found: its trials that lie in our space.
        ended: how many of its trials have ended and have a value.
        reasons: why others don't, and how many; the first reason of each counts.
    """

    study: str
    found: tuple[Lesson, ...]
    ended: int
    reasons: Mapping[str, int]

    def told(self) -> str:
        """The line for a person."""
        why = "; ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        fits = "fits" if len(self.found) == 1 else "fit"
        return f"warm_start: {len(self.found)} of {self.ended} trials of {self.study} {fits} this space" + (
            f"; {why}." if why else "."
        )


def mismatch(spec: StudySpec, earlier: StudySpec) -> str | None:
    """Why nothing of an earlier study can be compared with ours, if that is so."""
    ours, theirs = spec.objective, earlier.objective
    if isinstance(spec.metric, list) and len(spec.metric) > 1:
        return "this file has several metrics; only a study of one can learn from an earlier one."
    if isinstance(earlier.metric, list) and len(earlier.metric) > 1:
        return f"{earlier.name} has several metrics; only a study of one can be learned from."
    if ours.name != theirs.name:
        return f"{earlier.name} has the metric {theirs.name}, and this file {ours.name}."
    if ours.goal != theirs.goal:
        return f"{earlier.name} has the goal {theirs.goal}, and this file {ours.goal}."
    if spec.scheduler.time_attr != earlier.scheduler.time_attr:
        return f"{earlier.name} counts in {earlier.scheduler.time_attr}, and this file in {spec.scheduler.time_attr}."
    return None


def lessons(spec: StudySpec, earlier: StudyMachine, assume: Mapping[str, Any]) -> Lessons:
    """The trials of an earlier study that lie in our space.

    Args:
        spec: ours.
        earlier: comparable with it, by `mismatch`.
        assume: values of parameters that the earlier study didn't have, by name.
    """
    space = Space(spec)
    reasons: Counter[str] = Counter()
    found: list[Lesson] = []
    ended = [trial for trial in earlier.trials.values() if _values(trial, spec.objective, math.inf)]
    ended = [trial for trial in ended if trial.state in (TrialState.COMPLETE, TrialState.STOPPED)]
    for trial in ended:
        config = _as_ours(space, {**assume, **trial.config})
        values = _values(trial, spec.objective, spec.scheduler.max_t)
        if isinstance(config, str):
            reasons[config] += 1
        elif not values:
            reasons[f"have no value up to {spec.scheduler.time_attr} {spec.scheduler.max_t}"] += 1
        else:
            found.append(_lesson(spec, earlier.spec, trial, config, values))
    return Lessons(earlier.spec.name, tuple(found), len(ended), reasons)


def _lesson(
    spec: StudySpec, earlier: StudySpec, trial: Trial, config: dict[str, Any], values: list[tuple[int, float]]
) -> Lesson:
    ours = spec.scheduler.max_t
    # A function that returned early was complete; one that came to a lower max_t is a trial stopped there.
    complete = trial.t >= ours or (trial.state is TrialState.COMPLETE and trial.t < earlier.scheduler.max_t)
    best = (min if spec.objective.goal == "minimize" else max)(value for _, value in values)
    return Lesson(
        study=earlier.name,
        trial=trial.number,
        config=config,
        state="complete" if complete else "stopped",
        value=best if complete else None,
        values=values,
    )


def _values(trial: Trial, metric: Metric, longest: float) -> list[tuple[int, float]]:
    found = [(report.t, report.metrics.get(metric.name, math.nan)) for report in trial.reports if report.t <= longest]
    return [(t, value) for t, value in found if math.isfinite(value)]


def _as_ours(space: Space, config: Mapping[str, Any]) -> dict[str, Any] | str:
    """The config in our space; or why there is none, in words that follow "9 trials"."""
    values: dict[str, Any] = {}
    for name in space.order:
        parameter = space.parameters[name]
        if not applies(parameter, values):
            continue
        if name in config:
            if value_problem(parameter, config[name]):
                return f"have {name} {_outside(parameter)}"
            values[name] = _same_kind(parameter, config[name])
        elif isinstance(parameter, Constant):
            values[name] = parameter.value
        else:
            return f"have no {name}"
    if any(values.get(name) != value for name, value in space.complete(space.chosen(values)).items()):
        return "have lists out of step"
    if space.broken(values):
        return "break a constraint"
    return {name: values[name] for name in space.parameters if name in values}


def _same_kind(parameter: Parameter, value: Any) -> Any:
    return float(value) if parameter.kind == "float" else value


def _outside(parameter: Parameter) -> str:
    if isinstance(parameter, Constant):
        return f"other than {describe(parameter)}"
    if isinstance(parameter, Choice):
        return f"not among {', '.join(map(str, parameter.values))}"
    if parameter.step is not None:
        return f"outside {parameter.min}..{parameter.max} in steps of {parameter.step}"
    return f"outside {parameter.min}..{parameter.max}"
