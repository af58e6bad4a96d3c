"""What to search next: ranges that the best push against, ranges that they leave empty, and a file that says so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweep.core.loading import load
from sweep.core.parameters import Choice, FloatRange, IntRange
from sweep.core.resolved import resolved_yaml
from sweep.core.space import Space
from sweep.core.spec import WarmStart
from sweep.core.study import StudyMachine
from sweep.watch.report.axes import Axis, axes
from sweep.watch.text import number, shown

__all__ = ["Advice", "advice", "next_file"]

TOP = 0.1
"""The part of the trials that counts as the best."""

LEAST_TOP = 5
EDGE = 0.05
"""The part of a range that is its edge."""

CROWDED = 0.4
"""The part of the best trials in an edge, from which on they push against it: eight times what chance puts there."""

ROOM = 0.25
"""The part of a range by which what the best trials span is widened, where a range is made narrower."""

NARROW = 0.5
"""A range is made narrower where the best trials span less of it."""

FARTHER = 0.5
"""The part of a range, in its own scale, that is added beyond an edge."""


@dataclass(frozen=True)
class Advice:
    """What one parameter's range should become.

    Attributes:
        axis: the parameter.
        kind: wider: the best trials push against an end; narrower: they leave most of it empty.
        text: why, in a sentence.
        low, high: its new ends, as values.
    """

    axis: Axis
    kind: Literal["wider", "narrower"]
    text: str
    low: Any
    high: Any

    @property
    def before(self) -> str:
        """The range as it was."""
        return f"{shown(self.axis.value(self.axis.low))} to {shown(self.axis.value(self.axis.high))}"

    @property
    def after(self) -> str:
        """The range as it should become."""
        return f"{shown(self.low)} to {shown(self.high)}"


def advice(study: StudyMachine) -> list[Advice]:
    """What the study's best trials say of its ranges; nothing of lists without order, and of too few trials."""
    ranked = [trial for trial in study.ranked() if trial.repeat_of is None]
    top = ranked[: max(LEAST_TOP, round(TOP * len(ranked)))]
    if len(ranked) < 2 * len(top):
        return []
    found = []
    for axis in axes(Space(study.spec), [trial.config for trial in ranked]):
        if isinstance(axis.parameter, Choice):
            continue
        places = [place for trial in top if (place := axis.place(trial.config)) is not None]
        if len(places) >= LEAST_TOP and (one := _of(axis, places)):
            found.append(one)
    return found


def _of(axis: Axis, places: Sequence[float]) -> Advice | None:
    width = axis.high - axis.low
    at_low = sum(place <= axis.low + EDGE * width for place in places)
    at_high = sum(place >= axis.high - EDGE * width for place in places)
    low, high = axis.low, axis.high
    pushed = []
    if at_low >= CROWDED * len(places) and (lower := _lower(axis)) is not None:
        low = lower
        pushed.append((at_low, "lower", axis.low))
    if at_high >= CROWDED * len(places):
        high = axis.high + FARTHER * width
        pushed.append((at_high, "upper", axis.high))
    if pushed:
        count, end, place = max(pushed)
        text = (
            f"{count} of the best {len(places)} trials lie at the {end} end of {axis.name}, "
            f"{shown(axis.value(place))}: better ones may lie beyond."
        )
        return _advice(axis, "wider", text, low, high)
    span = max(places) - min(places)
    if span >= NARROW * width:
        return None
    low, high = max(axis.low, min(places) - ROOM * width), min(axis.high, max(places) + ROOM * width)
    first, last = shown(axis.value(min(places))), shown(axis.value(max(places)))
    ends = first if first == last else f"between {first} and {last}"
    text = f"All of the best {len(places)} trials have {axis.name} {ends}: the rest of the range is in vain."
    narrowed = _advice(axis, "narrower", text, low, high)
    return None if narrowed.before == narrowed.after else narrowed


def _lower(axis: Axis) -> float | None:
    """A place below a range; None where there is none.

    A range above 0 stays above 0, and one of counts at 1 or more: a size of 0 would fail.
    """
    below = axis.low - FARTHER * (axis.high - axis.low)
    if axis.log or axis.low < 0:
        return below
    least = 1.0 if isinstance(axis.parameter, IntRange) else axis.low / 2
    return max(least, below) if least < axis.low else None


def _advice(axis: Axis, kind: Literal["wider", "narrower"], text: str, low: float, high: float) -> Advice:
    ends = (_rounded(axis, low), _rounded(axis, high))
    return Advice(axis, kind, text, *ends)


def _rounded(axis: Axis, place: float) -> Any:
    """A value near a place that a person would write: two digits; a range's own ends stay as they are."""
    ends = (
        {axis.low: axis.parameter.min, axis.high: axis.parameter.max} if not isinstance(axis.parameter, Choice) else {}
    )
    if place in ends:
        return ends[place]
    value = axis.value(place)
    if isinstance(axis.parameter, IntRange):
        return max(1, value) if axis.log else value
    return 0.0 if value == 0 else round(value, 1 - math.floor(math.log10(abs(value))))


def next_file(study: StudyMachine, found: Sequence[Advice]) -> str:
    """A search file that goes on from a study: its ranges moved, its trials known to the sampler, its best tried first.

    Raises:
        SpecError: the moved ranges break a rule of the file, such as a constraint that nothing satisfies.
    """
    spec = study.spec
    moved = {one.axis.name: _moved(one) for one in found}
    best = study.best
    parameters = {name: moved.get(name, parameter) for name, parameter in spec.parameters.items()}
    search = spec.search.model_copy(update={
        "warm_start": [*spec.search.warm_start, WarmStart(study=spec.name)],
        "points_to_evaluate": [_within(parameters, best.config)] if best else [],
    })  # fmt: skip
    following = spec.model_copy(update={"name": _following(spec.name), "parameters": parameters, "search": search})
    text = _head(study, found) + resolved_yaml(following, defaults=False)
    load(text, source="the next file")
    return text


def _moved(one: Advice) -> FloatRange | IntRange:
    parameter = one.axis.parameter
    if isinstance(parameter, Choice):
        raise TypeError(f"{one.axis.name}: a list has no ends")
    return parameter.model_copy(update={"min": one.low, "max": one.high})


def _within(parameters: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config that its parameters may still have, and that a file can name."""
    found = {}
    for name, value in config.items():
        parameter = parameters.get(name)
        if isinstance(parameter, FloatRange | IntRange) and not parameter.min <= value <= parameter.max:
            continue
        if isinstance(parameter, FloatRange | IntRange | Choice):
            found[name] = value
    return found


def _following(name: str) -> str:
    head, _, tail = name.rpartition("-")
    return f"{head}-{int(tail) + 1}" if head and tail.isdigit() else f"{name}-2"


def _head(study: StudyMachine, found: Sequence[Advice]) -> str:
    best = study.best
    value = best.value(study.metric) if best else None
    lines = [f"# Goes on from {study.spec.name}"]
    if best and value is not None:
        lines[0] += f", whose best is {study.metric.name} {number(value)} (trial {best.number})"
    lines += [f"# {one.axis.name}: {one.before} -> {one.after}. {one.text}" for one in found]
    if not found:
        lines.append("# Its best trials say nothing against the ranges: they are as they were.")
    return "\n".join(lines) + "\n"
