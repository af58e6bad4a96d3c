"""Which algorithm searches: what the file names, or for `auto` what fits its space, objectives and budget.

It is decided by the file alone, so that a study which is resumed on other machines goes on in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sweep.core import grid
from sweep.core.parameters import Choice
from sweep.core.space import Space
from sweep.core.spec import StudySpec

Algorithm = Literal["tpe", "gp", "cmaes", "qmc", "random", "grid", "nsga2", "nsga3"]

ONE_OBJECTIVE: Algorithm = "gp"
"""What `auto` takes for one objective and a budget that is no larger than `MODELLED`."""

MODELLED = 1_000
"""Trials up to which one model of all curves is worth its time."""

GENERATIONS = 1_000
"""Trials from which breeding pays for several objectives; with fewer a model learns faster."""

MANY_OBJECTIVES = 4
"""From so many on nearly all trials are on the front, and reference points tell them apart better than crowding."""


@dataclass(frozen=True)
class Chosen:
    """An algorithm, and why that one, in words that follow "for" or stand by themselves."""

    algorithm: Algorithm
    reason: str


def choose(spec: StudySpec) -> Chosen:
    """The algorithm of a study."""
    named = spec.search.algorithm
    if named != "auto":
        return Chosen(named, "as the file says")
    goals = sum(metric.goal is not None for metric in spec.metrics)
    if (whole := _grid(spec)) is not None:
        return whole
    if goals > 1:
        return _several(spec, goals)
    trials = spec.budget.trials
    if spec.scheduler.type != "pbt" and trials is not None and trials <= (spec.resources.max_concurrent or 0):
        return Chosen("qmc", f"all {trials} trials run at once, so none can learn from another")
    if trials is not None and trials > MODELLED:
        return Chosen("tpe", f"one objective and {trials} trials, too many for a model of all curves")
    if any(metric.bounded for metric in spec.metrics):
        return Chosen("tpe", "one objective within bounds")
    return Chosen(ONE_OBJECTIVE, "one objective, by a model of all learning curves")


def _grid(spec: StudySpec) -> Chosen | None:
    """Where the budget is enough for each config, none has to be chosen."""
    trials, search = spec.budget.trials, spec.search
    if trials is None or search.warm_start or spec.scheduler.type == "pbt":
        return None
    space = Space(spec)
    configs = grid.count(space, min(trials, grid.MOST))
    return Chosen("grid", f"the budget of {trials} trials is enough for all {configs} configs") if configs else None


def _several(spec: StudySpec, goals: int) -> Chosen:
    trials = spec.budget.trials
    if trials is None:
        return Chosen("tpe", f"{goals} objectives")
    if trials < GENERATIONS:
        return Chosen("tpe", f"{goals} objectives and {trials} trials, too few for generations of trials")
    if goals >= MANY_OBJECTIVES:
        return Chosen("nsga3", f"{goals} objectives")
    return Chosen("nsga2", f"{goals} objectives")


def trial_count(spec: StudySpec, limit: int | None) -> int | None:
    """How many trials a study will create at most.

    Args:
        spec: the search file.
        limit: of its budget.
    """
    if choose(spec).algorithm != "grid":
        return limit
    configs = grid.count(Space(spec))
    return configs if limit is None or configs is None else min(limit, configs)


def notes(spec: StudySpec) -> tuple[str, ...]:
    """Lines for the user: what `auto` has chosen, how large a grid is, what an algorithm can't do jointly."""
    chosen = choose(spec)
    lines = [f"search: {chosen.algorithm}, for {chosen.reason}"] if spec.search.algorithm == "auto" else []
    space = Space(spec)
    if chosen.algorithm == "grid":
        lines += _size_of_grid(spec, space)
    if chosen.algorithm == "cmaes":
        apart = [name for name, one in space.proposed.items() if apart_from_cmaes(one.when is not None, one)]
        if apart:
            lines.append(f"search: cmaes moves ranges that all trials have; TPE proposes {', '.join(apart)} beside it")
    return tuple(lines)


def apart_from_cmaes(conditional: bool, parameter: object) -> bool:
    """Whether a parameter has no place in the normal distribution that CMA-ES moves."""
    return conditional or (isinstance(parameter, Choice) and not parameter.ordered)


def _size_of_grid(spec: StudySpec, space: Space) -> list[str]:
    configs = grid.count(space)
    trials = spec.budget.trials
    if configs is None:
        return []
    if trials is not None and trials < configs:
        return [f"search: the grid has {configs} configs, and the budget is enough for {trials} of them"]
    if spec.search.algorithm == "auto":
        return []
    return [f"search: the grid has {configs} configs; the study ends when all were tried"]
