"""An NNI experiment configuration, with its search space inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.core.convert.common import in_our_form, no_form, put_entrypoint, put_max_t, put_no_scheduler, put_parameter
from sweep.core.convert.draft import Draft, Theirs
from sweep.core.flow import flow
from sweep.core.parameters import parameter_fields
from sweep.core.positions import Mark, Path
from sweep.core.yaml_tree import Node

_TUNERS = {
    "tpe": "tpe", "random": "random", "gridsearch": "grid", "gp": "gp", "gptuner": "gp", "hyperband": "random",
    "bohb": "tpe", "anneal": "tpe", "evolution": "tpe", "smac": "tpe", "metis": "gp",
}  # fmt: skip
_RUNGS = {"R": "max_t", "max_budget": "max_t", "min_budget": "grace_period", "eta": "reduction_factor"}
_NEAREST = ("anneal", "evolution", "smac", "metis")


def convert(tree: Node, draft: Draft) -> None:
    """Write what the configuration says into the draft."""
    top = Theirs(draft, tree)
    top.move("experimentName", "name")
    command = str(top.value("trialCommand"))
    put_entrypoint(draft, next((word for word in command.split() if word.endswith(".py")), None), f"NNI ran {command}")
    draft.set("metric.name", "default", "NNI's name for the reported number, or key of a reported map")
    top.refuse("searchSpaceFile", "write the search space into this file, under searchSpace.")
    space = top.map("searchSpace")
    for name in space.names():
        mark, node = space.mark(name), space.node(name)
        _parameter(draft, mark, (*space.path, name), (name,), None if node is None else node.plain())
    _tuner(draft, top.map("tuner"), "tuner")
    _tuner(draft, top.map("advisor"), "advisor")
    _assessor(draft, top.map("assessor"))
    if not draft.has("metric.goal"):
        draft.set("metric.goal", "maximize", "NNI's own unless classArgs.optimize_mode says otherwise")
    top.move("maxTrialNumber", "budget.trials")
    top.move("maxExperimentDuration", "budget.time")
    top.move("trialConcurrency", "resources.max_concurrent")
    top.move("trialGpuNumber", "resources.gpu")
    top.move("trialCodeDirectory", "environment.working_dir")
    if top.value("useAnnotation"):
        draft.refuse(top.mark("useAnnotation"), ("useAnnotation",), "a space written into the code isn't in this file.")
    top.leave_out(
        "NNI's own", "trainingService", "debug", "logLevel", "logCollection", "nniManagerIp",
        "experimentWorkingDirectory", "tunerGpuIndices", "sharedStorage", "maxTrialDuration",
        "experimentId", "experimentType",
    )  # fmt: skip
    top.rest()


def _parameter(draft: Draft, mark: Mark, path: Path, names: tuple[str, ...], raw: Any) -> None:
    options = raw.get("_value") if isinstance(raw, Mapping) else None
    nested = isinstance(options, list) and any(isinstance(one, Mapping) for one in options)
    if nested and isinstance(options, list):
        _choice_of_maps(draft, mark, path, names, options)
    else:
        put_parameter(draft, mark, path, names, raw)


def _choice_of_maps(draft: Draft, mark: Mark, path: Path, names: tuple[str, ...], options: list[Any]) -> None:
    """A choice whose options have parameters of their own becomes a group: the choice, and a condition on each."""
    if not all(isinstance(one, Mapping) and "_name" in one for one in options):
        draft.refuse(mark, path, "options that are maps need a _name each.")
        return
    inner = [key for one in options for key in one if key != "_name"]
    if len(set(inner)) < len(inner):
        twice = next(key for key in inner if inner.count(key) > 1)
        draft.refuse(mark, path, f"{twice} belongs to two of the options; a name stands for one parameter here.")
        return
    chosen = ".".join((*names, "_name"))
    draft.parameter((*names, "_name"), [one["_name"] for one in options], "the _name of each option")
    for one in options:
        for key, value in one.items():
            form = in_our_form(value)
            if key == "_name":
                continue
            if form is None:
                draft.refuse(mark, (*path, key), no_form(value))
                continue
            fields = parameter_fields(form)
            del fields["kind"]
            said = f"an option of {one['_name']}: {flow(value)}"
            draft.parameter((*names, key), {**fields, "when": {chosen: one["_name"]}}, said)


def _tuner(draft: Draft, found: Theirs, what: str) -> None:
    if not found:
        return
    mark, name = found.mark("name"), str(found.value("name"))
    arguments = found.map("classArgs")
    if name.lower() not in _TUNERS:
        draft.refuse(mark, (*found.path, "name"), f"{name} has no equivalent here.")
    said = f"{what} {name}" + (", to which ours is the nearest" if name.lower() in _NEAREST else "")
    draft.set("search.algorithm", _TUNERS.get(name.lower(), name), said)
    arguments.move("optimize_mode", "metric.goal")
    arguments.move("seed", "search.seed")
    if what == "advisor":
        draft.set("scheduler.type", "hyperband", f"advisor {name}")
        for key, ours in (
            ("R", "max_t"),
            ("max_budget", "max_t"),
            ("min_budget", "grace_period"),
            ("eta", "reduction_factor"),
        ):
            arguments.move(key, f"scheduler.{ours}")
        arguments.leave_out("brackets run side by side here", "exec_mode")
    arguments.rest()
    found.rest()


def _assessor(draft: Draft, found: Theirs) -> None:
    if found:
        mark, name = found.mark("name"), str(found.value("name"))
        arguments = found.map("classArgs")
        if name.lower() == "medianstop":
            draft.set("scheduler.type", "median", "assessor Medianstop")
        else:
            draft.refuse(mark, (*found.path, "name"), f"{name} has no equivalent here.")
        arguments.move("start_step", "scheduler.grace_period")
        arguments.leave_out("it is the metric's goal", "optimize_mode")
        arguments.rest()
        found.rest()
    elif not draft.has("scheduler.type"):
        put_no_scheduler(draft)
    put_max_t(draft)
