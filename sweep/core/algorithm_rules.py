"""What each search algorithm asks of a file: rules between `search.algorithm`, `parameters` and `metric`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sweep.core.parameters import Choice, FloatRange, IntRange, Parameter
from sweep.core.section import Fault

if TYPE_CHECKING:
    from sweep.core.spec import Metric, Search


def algorithm_faults(
    search: Search, parameters: Mapping[str, Parameter], metric: Metric | list[Metric] | None
) -> Iterator[Fault]:
    """Why the algorithm that a file names can't search its space."""
    path = ("search", "algorithm")
    metrics: Sequence[Metric] = metric if isinstance(metric, list) else [metric] if metric is not None else []
    goals = [one.name for one in metrics if one.goal is not None]
    algorithm = search.algorithm
    if algorithm == "cmaes" and len(goals) > 1:
        yield Fault(path, f"cmaes is for one objective, and metric has {' and '.join(goals)}. Use nsga2.", ())
    elif algorithm == "nsga3" and len(goals) == 1:
        text = f"nsga3 spreads trials over the front of several objectives, and {goals[0]} is the only one. Use tpe."
        yield Fault(path, text, ())
    if algorithm == "gp" and (len(metrics) > 1 or any(one.bounded for one in metrics)):
        text = "models one objective without bounds. Use auto, tpe or nsga2 where there are several, or bounds."
        yield Fault(path, text, ())
    if algorithm == "cmaes" and parameters and not any(map(_numeric, parameters.values())):
        text = "cmaes searches ranges and ordered lists, and no parameter that all trials have is one. Use tpe."
        yield Fault(path, text, ())
    if algorithm == "grid":
        for name, parameter in parameters.items():
            if isinstance(parameter, FloatRange) and parameter.step is None:
                how = "Write a list of values" if parameter.log else "Give it a step, or write a list of values"
                yield Fault(("parameters", name), f"is a continuous range, which has no grid. {how}.", ())


def _numeric(parameter: Parameter) -> bool:
    if parameter.when:
        return False
    return isinstance(parameter, FloatRange | IntRange) or (isinstance(parameter, Choice) and parameter.ordered)
