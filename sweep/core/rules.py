"""The rules between values of a search file. Each reads typed values and yields what is wrong.

The loader runs them on whatever could be read, so that one bad key doesn't hide another.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sweep.core.activation import holds, told_condition
from sweep.core.algorithm_rules import algorithm_faults
from sweep.core.command_rules import command_faults
from sweep.core.expressions import compares, names_in
from sweep.core.flow import flow
from sweep.core.groups import NAME_PART, NAME_RULE
from sweep.core.parameters import Choice, Constant, FloatRange, Parameter
from sweep.core.section import Fault
from sweep.core.values import place_in, value_problem

if TYPE_CHECKING:
    from sweep.core.spec import Budget, Metric, Price, Resources, Scheduler, Search


def metric_faults(metric: Metric) -> Iterator[Fault]:
    """A metric has a goal or a bound, and its bounds leave room."""
    low, high = metric.min, metric.max
    if metric.goal is None and not metric.bounded:
        yield Fault(("goal",), "is missing. Write goal: minimize or goal: maximize.", ("goal", "min", "max"))
    if metric.goal is None and metric.target is not None:
        yield Fault(("target",), "needs a goal: is lower or higher better?", ("goal", "target"))
    if low is not None and high is not None and low > high:
        yield Fault(("min",), f"got {low!r}, which is above max {high!r}. No value keeps within both.", ("min", "max"))


def scheduler_faults(scheduler: Scheduler) -> Iterator[Fault]:
    """The first rung isn't above the last, and each bracket has a rung."""
    first, last = scheduler.grace_period, scheduler.max_t
    if first > last:
        text = f"got {first}, which is above max_t {last}. The first rung can't lie beyond the last."
        yield Fault(("grace_period",), text, ("grace_period", "max_t"))
        return
    rungs, t = 1, first * scheduler.reduction_factor
    while t <= last:
        rungs, t = rungs + 1, t * scheduler.reduction_factor
    if scheduler.brackets is not None and scheduler.brackets > rungs:
        text = (
            f"got {scheduler.brackets}, but grace_period {first}, max_t {last} and reduction_factor "
            f"{scheduler.reduction_factor} give {rungs} rungs. Use at most {rungs}."
        )
        yield Fault(("brackets",), text, ("brackets", "grace_period", "max_t", "reduction_factor"))


def price_faults(price: Price) -> Iterator[Fault]:
    """A price is of something."""
    if (price.gpu_hour, price.core_hour, price.node_hour) == (None, None, None):
        yield Fault((), "is empty. Write what an hour costs: {gpu_hour: 2.5}.", ("gpu_hour", "core_hour", "node_hour"))


def study_faults(parts: Mapping[str, Any], broken: frozenset[str] = frozenset()) -> Iterator[Fault]:
    """The rules between sections.

    Args:
        parts: field name of StudySpec to its typed value; what couldn't be read is left out.
        broken: names of parameters that are in the file and couldn't be read.
    """
    parameters: dict[str, Parameter] = parts.get("parameters", {})
    known = [*parameters, *broken]
    if "entrypoint" in parts and "command" in parts:
        yield from _entrypoint(parts["entrypoint"], parts["command"])
    if parts.get("command") is not None:
        yield from command_faults(parts["command"], parameters, parts.get("derived", {}), known)
    if "metric" in parts:
        yield from _metric(parts["metric"], parts.get("scheduler"))
    if "parameters" in parts and not broken:
        yield from _something_varies(parameters)
    for name, parameter in parameters.items():
        yield from _when(name, parameter, parameters, known)
    yield from _when_cycles(parameters)
    if "search" in parts:
        yield from _warm_start(parts["search"], parts.get("name"), parameters, known)
        yield from _points(parts["search"], parameters, parts.get("zip", []), known)
        yield from algorithm_faults(parts["search"], {} if broken else parameters, parts.get("metric"))
    if "scheduler" in parts:
        yield from _judged(parts["scheduler"], parts.get("metric"))
        yield from _population(parts["scheduler"], parts.get("budget"), {} if broken else parameters)
    if "budget" in parts:
        yield from _one_amount(parts["budget"], parts.get("metric"))
    if "budget" in parts and "resources" in parts:
        yield from _priced(parts["budget"], parts["resources"])
    yield from _derived(parts.get("derived", {}), known)
    yield from _zip(parts.get("zip", []), parameters, known)
    for place, text in enumerate(parts.get("constraints", [])):
        readable = [*known, *parts.get("derived", {})]
        yield from _expression(("constraints", place), text, readable, constraint=True)


def _entrypoint(entrypoint: str | None, command: str | None) -> Iterator[Fault]:
    if entrypoint is not None and command is not None:
        yield Fault(("command",), "stands beside entrypoint. Keep exactly one of them.", ())
    if entrypoint is None and command is None:
        text = "is missing. Name the training function: entrypoint: package.module:function; or command: a script's."
        yield Fault(("entrypoint",), text, ())


def _metric(metric: Metric | list[Metric], scheduler: Scheduler | None) -> Iterator[Fault]:
    several = isinstance(metric, list)
    metrics: list[Metric] = metric if isinstance(metric, list) else [metric]
    if not metrics:
        yield Fault(("metric",), "is empty. Write metric: {name: val_loss, goal: minimize}.", ())
    elif all(one.goal is None for one in metrics):
        text = "has bounds and no goal. Say what is to be best: {name: val_loss, goal: minimize}."
        yield Fault(("metric",), text, ())
    seen: set[str] = set()
    for place, one in enumerate(metrics):
        path = ("metric", place, "name") if several else ("metric", "name")
        if one.name in seen:
            yield Fault(path, f"{one.name!r} is listed twice. Remove one of them.", ())
        seen.add(one.name)
        if scheduler is not None and one.name == scheduler.time_attr:
            text = f"{one.name!r} is also scheduler.time_attr. Progress can't be the objective; name another."
            yield Fault(path, text, ())


def _goals(metric: Metric | list[Metric] | None) -> list[str]:
    """The objectives' names, where the file has a list of metrics."""
    return [one.name for one in metric if one.goal is not None] if isinstance(metric, list) else []


def _one_amount(budget: Budget, metric: Metric | list[Metric] | None) -> Iterator[Fault]:
    """An improvement is an amount of one objective."""
    goals = _goals(metric)
    if budget.min_improvement is not None and len(goals) > 1:
        text = (
            f"is an amount of one objective, and metric has {' and '.join(goals)}. Use patience: it goes by the front."
        )
        yield Fault(("budget", "min_improvement"), text, ())


def _priced(budget: Budget, resources: Resources) -> Iterator[Fault]:
    """Money is counted by prices."""
    if budget.cost is not None and resources.price is None:
        text = "needs prices. Write what an hour of a GPU, a core or a node costs: resources: {price: {gpu_hour: 2.5}}."
        yield Fault(("budget", "cost"), text, ())


def _judged(scheduler: Scheduler, metric: Metric | list[Metric] | None) -> Iterator[Fault]:
    """The median rule compares one objective."""
    goals = _goals(metric)
    if scheduler.type == "median" and len(goals) > 1:
        text = f"compares one objective, and metric has {' and '.join(goals)}. Use asha, hyperband or none."
        yield Fault(("scheduler", "type"), f"median {text}", ())


def _population(scheduler: Scheduler, budget: Budget | None, parameters: Mapping[str, Parameter]) -> Iterator[Fault]:
    """Population based training needs to know its population, and what may change."""
    if scheduler.explore is not None and scheduler.type != "pbt":
        yield Fault(("scheduler", "explore"), f"is for type: pbt, and this is {scheduler.type}. Remove one.", ())
        return
    if scheduler.type != "pbt":
        return
    if budget is not None and budget.trials is None:
        text = "is missing. With scheduler.type: pbt it is the population: budget: {trials: 16}."
        yield Fault(("budget", "trials"), text, ())
    for place, name in enumerate(scheduler.explore or []):
        path = ("scheduler", "explore", place)
        if parameters and name not in parameters:
            yield Fault(path, _unknown(name, list(parameters)), ())
        elif isinstance(parameters.get(name), Constant):
            yield Fault(path, f"{name!r} is constant. Give it a range or values, or take it out.", ())
    if scheduler.explore is None and parameters and not any(isinstance(one, FloatRange) for one in parameters.values()):
        text = "is missing, and no parameter is a real range. Name those that may change while a trial trains."
        yield Fault(("scheduler", "explore"), text, ())


def _something_varies(parameters: Mapping[str, Parameter]) -> Iterator[Fault]:
    if not parameters:
        yield Fault(("parameters",), "is empty. Name at least one: lr: {min: 1.0e-5, max: 0.1, log: true}.", ())
    elif all(isinstance(one, Constant) or _single(one) for one in parameters.values()):
        yield Fault(("parameters",), "has nothing to search: each parameter has one value. Let one vary.", ())


def _single(parameter: Parameter) -> bool:
    return isinstance(parameter, Choice) and len(parameter.values) == 1


def _unknown(name: str, known: list[str]) -> str:
    hyphened = next((one for one in known if "-" in one and one.startswith(f"{name}-")), None)
    if hyphened:
        return f"{name!r} is no parameter. In an expression {hyphened} stands in backquotes: `{hyphened}`."
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else f" The file has {', '.join(known[:8])}." if known else ""
    return f"{name!r} is no parameter.{hint}"


def _when(name: str, parameter: Parameter, parameters: Mapping[str, Parameter], known: list[str]) -> Iterator[Fault]:
    for other, wanted in (parameter.when or {}).items():
        path = ("parameters", name, "when", other)
        if other == name:
            yield Fault(path, "a parameter can't depend on itself.", ())
        elif other not in known:
            yield Fault(path, _unknown(other, known), ())
        elif wanted == []:
            yield Fault(path, "is an empty list, so the parameter would never be used. Name a value.", ())
        elif other in parameters:
            for value in wanted if isinstance(wanted, list) else [wanted]:
                wrong = value_problem(parameters[other], value)
                if wrong:
                    yield Fault(path, f"{other} can never be {flow(value)}: {wrong}", ())


def _when_cycles(parameters: Mapping[str, Parameter]) -> Iterator[Fault]:
    needs = {
        name: [other for other in one.when or {} if other in parameters and other != name]
        for name, one in parameters.items()
    }
    # Names whose conditions all lead to an end; a cycle and what hangs on it never get here.
    settled: set[str] = set()
    while ready := [name for name in needs if name not in settled and settled.issuperset(needs[name])]:
        settled.update(ready)
    left = [name for name in needs if name not in settled]
    if left:
        chain = [left[0]]
        while chain[-1] not in chain[:-1]:
            chain.append(next(other for other in needs[chain[-1]] if other not in settled))
        circle = chain[chain.index(chain[-1]) :]
        text = f"the conditions go in a circle: {' -> '.join(circle)}. Remove one of them."
        yield Fault(("parameters", circle[0], "when"), text, ())


def _warm_start(
    search: Search, name: str | None, parameters: Mapping[str, Parameter], known: list[str]
) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, one in enumerate(search.warm_start):
        path = ("search", "warm_start", place)
        if one.study == name:
            yield Fault(
                path, "a study can't learn from itself. Name an earlier one, or give this one another name.", ()
            )
        elif one.study in seen:
            yield Fault(path, f"{one.study!r} is listed twice. Remove one of them.", ())
        seen.add(one.study)
        for assumed, value in one.assume.items():
            at = (*path, "assume", assumed)
            if assumed not in known:
                yield Fault(at, _unknown(assumed, known), ())
            elif assumed in parameters and (wrong := value_problem(parameters[assumed], value)):
                yield Fault(at, wrong, ())


def _points(
    search: Search, parameters: Mapping[str, Parameter], groups: list[list[str]], known: list[str]
) -> Iterator[Fault]:
    for place, point in enumerate(search.points_to_evaluate):
        path = ("search", "points_to_evaluate", place)
        wrong = dict(_point_values(point, parameters, known))
        yield from (Fault((*path, name), message, ()) for name, message in wrong.items())
        for group in groups if not wrong else []:
            yield from (Fault((*path, name), message, ()) for name, message in _out_of_step(point, group, parameters))


def _point_values(
    point: Mapping[str, Any], parameters: Mapping[str, Parameter], known: list[str]
) -> Iterator[tuple[str, str]]:
    for name, value in point.items():
        if name not in known:
            yield name, _unknown(name, known)
        elif name in parameters:
            parameter = parameters[name]
            if wrong := value_problem(parameter, value):
                yield name, wrong
            elif any(
                other in point and not holds(wanted, point[other]) for other, wanted in (parameter.when or {}).items()
            ):
                yield name, f"is only for trials in which {told_condition(parameter)}. Remove one of the two."


def _out_of_step(
    point: Mapping[str, Any], group: list[str], parameters: Mapping[str, Parameter]
) -> Iterator[tuple[str, str]]:
    lists = {name: parameters[name] for name in group if name in point and name in parameters}
    places = {name: place_in(one.values, point[name]) for name, one in lists.items() if isinstance(one, Choice)}
    for name, place in places.items():
        first = next(iter(places))
        if place != places[first]:
            yield name, f"is number {place + 1} of its list, and {first} number {places[first] + 1}; they are in step."


def _derived(derived: Mapping[str, str], known: list[str]) -> Iterator[Fault]:
    earlier = list(known)
    for name, text in derived.items():
        if wrong := _derived_name(name, [*earlier, *derived]):
            yield Fault(("derived", name), wrong, ())
        # Only names above it: so no circle can be written.
        yield from _expression(("derived", name), text, earlier)
        earlier.append(name)


def _derived_name(name: str, taken: list[str]) -> str | None:
    """Why a derived value can't have this name; `taken` has it once as its own."""
    if not all(NAME_PART.fullmatch(part) for part in name.split(".")):
        return f"{name!r} can't be a name. {NAME_RULE}"
    if taken.count(name) > 1:
        return f"{name!r} is already a parameter. Choose another name."
    within = next((other for other in taken if other.startswith(f"{name}.") or name.startswith(f"{other}.")), None)
    return f"{name!r} can't be a value and a group: {within} is there too. Choose another name." if within else None


def _expression(
    path: tuple[str | int, ...], text: str, known: list[str], *, constraint: bool = False
) -> Iterator[Fault]:
    try:
        names = names_in(text)
    except ValueError as error:
        yield Fault(path, f"{error}.", ())
        return
    for name in names:
        if name not in known:
            yield Fault(path, _unknown(name, known), ())
    if constraint and not compares(text):
        yield Fault(path, f"{text!r} is never true or false. Write a comparison: warmup <= epochs.", ())


def _zip(groups: list[list[str]], parameters: Mapping[str, Parameter], known: list[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, group in enumerate(groups):
        lengths: dict[str, int] = {}
        if len(set(group)) < 2:  # noqa: PLR2004  # a pair
            yield Fault(("zip", place), "name at least two parameters.", ())
        for index, name in enumerate(group):
            path = ("zip", place, index)
            if name not in known:
                yield Fault(path, _unknown(name, known), ())
            elif name in seen:
                yield Fault(path, f"{name!r} is zipped twice. Remove one of them.", ())
            elif name in parameters:
                parameter = parameters[name]
                if isinstance(parameter, Choice):
                    lengths[name] = len(parameter.values)
                else:
                    yield Fault(path, f"{name!r} is no list of values; only lists can be zipped.", ())
            seen.add(name)
        conditions = {name: parameters[name].when for name in group if name in parameters}
        odd = [name for name, when in conditions.items() if when != next(iter(conditions.values()))]
        if odd:
            text = f"{odd[0]} and {next(iter(conditions))} have different conditions. Give all in step the same when."
            yield Fault(("zip", place), text, ())
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            yield Fault(("zip", place), f"the lists differ in length: {told}.", ())
