"""What earlier studies have found in a space that overlaps with ours: their trials as knowledge for a sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sweep.core.activation import applies
from sweep.core.objectives import Objectives
from sweep.core.parameters import Choice, Constant, Parameter
from sweep.core.space import Space, describe
from sweep.core.spec import StudySpec
from sweep.core.study import StudyMachine
from sweep.core.trial import Report, Trial, TrialState
from sweep.core.values import value_problem


class Shown(BaseModel):
    """A report of an earlier trial, as one of ours.

    Attributes:
        t: its fidelity.
        values: one for each of our objectives.
        excess: how far each of our bounds is exceeded, by the metric's name; infinite where the trial didn't report it,
            absent where its whole study never did.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    t: int
    values: tuple[float, ...]
    excess: dict[str, float] = {}

    @property
    def rank(self) -> float:
        """By how much bounds are broken, summed."""
        return sum(max(0.0, each) for each in self.excess.values())


class Lesson(BaseModel):
    """A trial of an earlier study as one of ours.

    Attributes:
        study: it was a trial of.
        trial: its number there.
        config: ours, flat, as it would have been.
        state: complete where it went as far as our trials go.
        best: of its reports, when it is complete.
        shown: each of its reports that ours could have made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    trial: int
    config: dict[str, Any]
    state: Literal["complete", "stopped"]
    best: Shown | None
    shown: list[Shown]


@dataclass(frozen=True)
class Lessons:
    """What one earlier study teaches.

    Attributes:
        study: its name.
        found: its trials that lie in our space.
        ended: how many of its trials have ended and have a value.
        reasons: why others don't, and how many; the first reason of each counts.
        unknown: names of our bounded metrics that it never reported.
    """

    study: str
    found: tuple[Lesson, ...]
    ended: int
    reasons: Mapping[str, int]
    unknown: tuple[str, ...] = ()

    def told(self) -> str:
        """The line for a person."""
        why = "; ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        fits = "fits" if len(self.found) == 1 else "fit"
        text = f"warm_start: {len(self.found)} of {self.ended} trials of {self.study} {fits} this space"
        text += f"; {why}." if why else "."
        if self.unknown:
            text += f" It never reported {' and '.join(self.unknown)}, so its trials count as within that bound."
        return text


def mismatch(spec: StudySpec, earlier: StudySpec) -> str | None:
    """Why nothing of an earlier study can be compared with ours, if that is so."""
    theirs = {metric.name: metric.goal for metric in earlier.metrics if metric.goal is not None}
    for ours in spec.metrics:
        if ours.goal is None:
            continue
        if ours.name not in theirs:
            return f"{earlier.name} has the metric {' and '.join(theirs)}, and this file {ours.name}."
        if ours.goal != theirs[ours.name]:
            of = f" for {ours.name}" if len(theirs) > 1 else ""
            return f"{earlier.name} has the goal {theirs[ours.name]}{of}, and this file {ours.goal}."
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
    metric, unknown = _known(spec, earlier.trials.values())
    reasons: Counter[str] = Counter()
    found: list[Lesson] = []
    ended = [trial for trial in earlier.trials.values() if trial.best(metric) is not None]
    ended = [trial for trial in ended if trial.state in (TrialState.COMPLETE, TrialState.STOPPED)]
    for trial in ended:
        config = _as_ours(space, {**assume, **trial.config})
        lesson = None if isinstance(config, str) else _lesson(spec, earlier.spec, trial, config, metric)
        if isinstance(config, str):
            reasons[config] += 1
        elif lesson is None:
            reasons[f"have no value up to {spec.scheduler.time_attr} {spec.scheduler.max_t}"] += 1
        else:
            found.append(lesson)
    return Lessons(earlier.spec.name, tuple(found), len(ended), reasons, unknown)


def _known(spec: StudySpec, trials: Iterable[Trial]) -> tuple[Objectives, tuple[str, ...]]:
    """Our metrics without the bounds of which an earlier study knows nothing, and their names.

    Its file needn't have had the bound: it is enough that the metric was reported.
    """
    reported = {name for trial in trials for report in trial.reports for name in report.metrics}
    unknown = tuple(one.name for one in spec.metrics if one.bounded and one.name not in reported)
    return Objectives([one for one in spec.metrics if one.name not in unknown]), unknown


def _lesson(
    spec: StudySpec, earlier: StudySpec, trial: Trial, config: dict[str, Any], metric: Objectives
) -> Lesson | None:
    """The trial as one of ours; None when it has no value as far as ours go."""
    ours = spec.scheduler.max_t
    shown = [one for report in trial.reports if report.t <= ours and (one := _shown(metric, report))]
    if not shown:
        return None
    # A function that returned early was complete; one that came to a lower max_t is a trial stopped there.
    complete = trial.t >= ours or (trial.state is TrialState.COMPLETE and trial.t < earlier.scheduler.max_t)
    return Lesson(
        study=earlier.name,
        trial=trial.number,
        config=config,
        state="complete" if complete else "stopped",
        best=min(shown, key=lambda one: (one.rank, metric.turned(one.values))) if complete else None,
        shown=shown,
    )


def _shown(metric: Objectives, report: Report) -> Shown | None:
    result = metric.result(report.metrics)
    if result is None:
        return None
    excess = dict(zip((bound.name for bound in metric.bounds), result.excess, strict=True))
    return Shown(t=report.t, values=result.values, excess=excess)


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
