"""An Optuna study, as `sweep.samplers.optuna_files` reads it from a storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.core.convert import finished
from sweep.core.convert.common import put_entrypoint, put_max_t, put_no_scheduler
from sweep.core.convert.draft import Draft
from sweep.core.flow import flow
from sweep.core.groups import clash
from sweep.core.names import NAME
from sweep.core.positions import Mark


@dataclass(frozen=True)
class OptunaFacts:
    """What a study's trials tell of its search; Optuna keeps no space of its own.

    Attributes:
        name: of the study.
        goals: minimize or maximize, one an objective.
        metrics: names of the objectives, where they were set.
        parameters: name to each form that it had in some trial, in ours.
        seen: name to the number of trials that had it.
        trials: how many there are.
        best: params of the best trials, the best first.
        pruned: whether some trial was pruned.
    """

    name: str
    goals: Sequence[str]
    metrics: Sequence[str] | None
    parameters: Mapping[str, Sequence[Any]]
    seen: Mapping[str, int]
    trials: int
    best: Sequence[Mapping[str, Any]]
    pruned: bool


def from_optuna(facts: OptunaFacts, source: str) -> str:
    """Our search file for what an Optuna study has searched.

    Raises:
        SpecError: with a line for each thing that has no equivalent.
    """
    draft, mark = Draft("Optuna", source), Mark(source, override=True)
    if NAME.fullmatch(facts.name):
        draft.set("name", facts.name, "the study's name")
    else:
        draft.set("name", "from-optuna", f"the study's name, {facts.name}, can't be a folder's")
    put_entrypoint(draft, None, "name Optuna's objective, which runs as it stands")
    names = facts.metrics or (["value"] if len(facts.goals) == 1 else [f"value_{n}" for n in range(len(facts.goals))])
    metrics = [{"name": name, "goal": goal} for name, goal in zip(names, facts.goals, strict=True)]
    said = "set_metric_names" if facts.metrics else "fill in what your function reports; Optuna's objective returned it"
    draft.set("metric", metrics[0] if len(metrics) == 1 else metrics, said)
    both = clash(list(facts.parameters))
    if both:
        draft.refuse(mark, ("parameters", both), "is a parameter, and the group of others, by their names.")
    for name, forms in facts.parameters.items() if not both else ():
        if len(forms) > 1:
            told = f"it had {len(forms)} ranges: {'; '.join(map(flow, forms))}. A parameter has one here."
            draft.refuse(mark, ("parameters", name), told)
            continue
        count = facts.seen[name]
        rare = "" if count == facts.trials else f"in {count} of {facts.trials} trials: add the when: that it hung on"
        # Names such as optimizer.lr are those of groups here.
        draft.parameter(tuple(name.split(".")), forms[0], rare)
    if not facts.parameters:
        draft.refuse(mark, ("parameters",), "no trial has any.")
    if facts.best:
        draft.set("search.points_to_evaluate", [dict(point) for point in facts.best], "the best trials there")
    if facts.pruned:
        draft.set("scheduler.type", "asha", "some trials were pruned; the pruner isn't kept in a storage")
    else:
        put_no_scheduler(draft)
    put_max_t(draft)
    draft.leave_out("sampler and pruner", "a storage doesn't keep them")
    return finished(draft, source)
