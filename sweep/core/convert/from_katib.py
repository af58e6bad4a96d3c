"""A Katib Experiment."""

from __future__ import annotations

from typing import Any

from sweep.core.command_line import in_our_macros
from sweep.core.convert.common import put_entrypoint, put_max_t, put_no_scheduler, put_parameter
from sweep.core.convert.draft import Draft, Theirs
from sweep.core.spelling_keys import ALGORITHMS
from sweep.core.yaml_tree import Node

_KNOWN = ("random", "grid", "tpe", "multivariate-tpe", "bayesianoptimization", "cmaes", "sobol", "hyperband")
_SETTINGS = {"random_state": "search.seed", "seed": "search.seed", "n_startup_trials": "search.startup_trials"}


def convert(tree: Node, draft: Draft) -> None:
    """Write what the experiment says into the draft."""
    top = Theirs(draft, tree)
    top.leave_out("Kubernetes' own", "apiVersion", "kind", "status")
    metadata = top.map("metadata")
    metadata.move("name", "name")
    metadata.leave_out("Kubernetes' own", "namespace", "labels", "annotations", "generateName")
    metadata.rest()
    spec = top.map("spec")
    top.rest()
    _command(draft, spec.map("trialTemplate"))
    objective = spec.map("objective")
    objective.move("objectiveMetricName", "metric.name")
    objective.move("type", "metric.goal")
    objective.move("goal", "metric.target")
    objective.leave_out("whatever the function reports is kept", "additionalMetricNames", "metricStrategies")
    objective.rest()
    for found in spec.maps("parameters"):
        _parameter(draft, found)
    _algorithm(draft, spec.map("algorithm"))
    _early_stopping(draft, spec.map("earlyStopping"))
    spec.move("maxTrialCount", "budget.trials")
    spec.move("maxFailedTrialCount", "budget.failures")
    spec.move("parallelTrialCount", "resources.max_concurrent")
    spec.leave_out("what is printed is read here: name=value", "metricsCollectorSpec")
    spec.leave_out("a study can always be resumed", "resumePolicy")
    spec.rest()


def _command(draft: Draft, template: Theirs) -> None:
    """What Katib ran in a container, whose image stays behind."""
    references = {str(one.value("name")): str(one.value("reference")) for one in template.maps("trialParameters")}
    mark, found = template.mark("trialSpec"), template.value("trialSpec")
    wanted = template.value("primaryContainerName")
    containers = [one for one in _containers(found) if one.get("command") or one.get("args")]
    containers.sort(key=lambda one: one.get("name") != wanted)
    template.leave_out("Kubernetes' own", "retain", "primaryPodLabels", "successCondition", "failureCondition")
    template.refuse("configMap", "write the template into this file, under trialSpec.")
    template.rest()
    if not containers:
        put_entrypoint(draft, None, "Katib ran a container's own command")
        return
    first = containers[0]
    words = [str(word) for key in ("command", "args") for word in first.get(key) or []]
    ours = in_our_macros(words, references=references)
    if ours is None:
        draft.refuse(mark, (*template.path, "trialSpec"), "its command has a macro without an equivalent here.")
    else:
        said = f" in the image {first['image']}" if "image" in first else ""
        draft.set("command", ours, f"Katib ran it{said}; paths are from the working directory here")


def _containers(node: Any) -> list[dict[str, Any]]:
    """Every container that a Kubernetes object speaks of."""
    if isinstance(node, list):
        return [one for each in node for one in _containers(each)]
    if not isinstance(node, dict):
        return []
    here = node.get("containers")
    found = [one for one in here if isinstance(one, dict)] if isinstance(here, list) else []
    return found + [one for key, each in node.items() if key != "containers" for one in _containers(each)]


def _parameter(draft: Draft, found: Theirs) -> None:
    mark = found.mark("name")
    name = str(found.value("name"))
    raw = {key: found.value(key) for key in ("parameterType", "feasibleSpace") if key in found}
    space = raw.get("feasibleSpace")
    if isinstance(space, dict) and str(space.get("distribution", "uniform")).lower() == "loguniform":
        raw["feasibleSpace"] = {**{key: one for key, one in space.items() if key != "distribution"}, "scale": "log"}
    elif isinstance(space, dict) and str(space.get("distribution", "uniform")).lower() == "uniform":
        raw["feasibleSpace"] = {key: one for key, one in space.items() if key != "distribution"}
    found.rest()
    put_parameter(draft, mark, found.path, (name,), raw)


def _algorithm(draft: Draft, found: Theirs) -> None:
    if "algorithmName" not in found:
        found.rest()
        return
    mark, name = found.mark("algorithmName"), str(found.value("algorithmName"))
    if name not in _KNOWN:
        draft.refuse(mark, (*found.path, "algorithmName"), f"{name} has no equivalent here.")
    draft.set("search.algorithm", "random" if name == "hyperband" else ALGORITHMS.get(name, name), f"{name} there")
    for setting in found.maps("algorithmSettings"):
        place, key, value = setting.mark("name"), str(setting.value("name")), setting.value("value")
        if name == "hyperband" and key in ("r_l", "eta", "resource_name"):
            _hyperband(draft, key, value)
        elif key in _SETTINGS:
            draft.set(_SETTINGS[key], _number(value), f"algorithmSettings {key}")
        else:
            draft.refuse(place, (*found.path, "algorithmSettings", key), "a setting without an equivalent here.")
    found.rest()


def _hyperband(draft: Draft, key: str, value: Any) -> None:
    if key == "resource_name":
        draft.set("scheduler.time_attr", str(value), "algorithmSettings resource_name")
    elif key == "r_l":
        draft.set("scheduler.max_t", _number(value), "algorithmSettings r_l")
    else:
        draft.set("scheduler.reduction_factor", _number(value), "algorithmSettings eta")
    draft.set("scheduler.type", "hyperband", "algorithmName hyperband")


def _early_stopping(draft: Draft, found: Theirs) -> None:
    mark, name = found.mark("algorithmName"), found.value("algorithmName")
    if name == "medianstop":
        draft.set("scheduler.type", "median", "earlyStopping medianstop")
        for setting in found.maps("algorithmSettings"):
            place, key, value = setting.mark("name"), str(setting.value("name")), setting.value("value")
            if key == "start_step":
                draft.set("scheduler.grace_period", _number(value), "start_step")
            elif key == "min_trials_required":
                draft.leave_out("min_trials_required", "a median of few trials is looked at here too")
            else:
                draft.refuse(place, (*found.path, "algorithmSettings", key), "a setting without an equivalent here.")
    elif name is not None:
        draft.refuse(mark, (*found.path, "algorithmName"), f"{name} has no equivalent here.")
    elif not draft.has("scheduler.type"):
        put_no_scheduler(draft)
    found.rest()
    put_max_t(draft)


def _number(value: Any) -> Any:
    """Katib quotes its numbers."""
    for convert in (int, float):
        try:
            return convert(str(value))
        except ValueError:
            continue
    return value
