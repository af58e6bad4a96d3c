"""A Determined experiment configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.core.convert.common import put_entrypoint, put_max_t, put_no_scheduler, put_parameter, whole
from sweep.core.convert.draft import Draft, Theirs
from sweep.core.yaml_tree import Node

_UNITS = {"epochs": "epoch", "batches": "batch", "records": "record"}
_HALVING = ("adaptive_asha", "async_halving")


def convert(tree: Node, draft: Draft) -> None:
    """Write what the configuration says into the draft."""
    top = Theirs(draft, tree)
    top.move("name", "name")
    entrypoint = top.value("entrypoint")
    words = str(entrypoint).split()
    put_entrypoint(draft, next((word for word in words if word.endswith(".py")), None), f"entrypoint: {entrypoint}")
    _hyperparameters(draft, top.map("hyperparameters"), ())
    _searcher(draft, top.map("searcher"))
    reproducibility = top.map("reproducibility")
    reproducibility.move("experiment_seed", "search.seed")
    reproducibility.rest()
    resources = top.map("resources")
    resources.move("slots_per_trial", "resources.gpu")
    resources.leave_out(
        "the cluster's own", "resource_pool", "priority", "weight", "shm_size", "devices", "is_single_node",
        "native_parallel", "max_slots",
    )  # fmt: skip
    resources.rest()
    top.move("max_restarts", "retries.max")
    top.leave_out("Determined's own", "description", "labels", "workspace", "project", "debug", "profiling")
    top.leave_out("see environment, checkpoint and storage of ours", "environment", "bind_mounts", "checkpoint_storage")
    top.leave_out(
        "the function's own", "data", "records_per_epoch", "scheduling_unit", "min_validation_period",
        "min_checkpoint_period", "perform_initial_validation", "checkpoint_policy", "optimizations", "log_policies",
        "integrations", "slurm", "pbs",
    )  # fmt: skip
    top.rest()


def _hyperparameters(draft: Draft, found: Theirs, groups: tuple[str, ...]) -> None:
    for name in found.names():
        mark, path, node = found.mark(name), (*found.path, name), found.node(name)
        raw = None if node is None else node.plain()
        if isinstance(raw, Mapping) and "type" not in raw:
            _hyperparameters(draft, Theirs(draft, node, path), (*groups, name))
        elif isinstance(raw, Mapping):
            counted = _counted(raw)
            if counted is None:
                draft.refuse(mark, path, "a count of values on log scale has no equivalent; list the values.")
            else:
                put_parameter(draft, mark, path, (*groups, name), counted)
        elif isinstance(raw, list):
            draft.refuse(mark, path, "a list is one value there, and a choice here.")
        else:
            draft.parameter((*groups, name), raw)


def _counted(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """`count` values of a range, for their grid, as a step; None where the scale is a logarithm's."""
    fields = {key: value for key, value in raw.items() if key != "count"}
    ends = [raw.get("minval"), raw.get("maxval")]
    low, high = (end if isinstance(end, int | float) else None for end in ends)
    if "count" not in raw or low is None or high is None:
        return fields
    if raw.get("type") == "log":
        return None
    gaps = max(1, whole(raw["count"], 1) - 1)
    even = raw.get("type") == "int" and (high - low) % gaps == 0
    return {**fields, "step": (high - low) // gaps if even else (high - low) / gaps}


def _searcher(draft: Draft, found: Theirs) -> None:
    mark, name = found.mark("name"), found.value("name")
    found.move("metric", "metric.name")
    smaller = found.value("smaller_is_better")
    draft.set("metric.goal", "maximize" if smaller is False else "minimize", "searcher.smaller_is_better")
    _length(draft, found)
    if name in _HALVING:
        _halving(draft, found, str(name))
    elif name in ("random", "grid"):
        draft.set("search.algorithm", name, "searcher.name")
        put_no_scheduler(draft)
    else:
        what = f"{name} is no search that there is here." if name else "is missing: is this a file for Determined?"
        draft.refuse(mark, (*found.path, "name"), what)
    put_max_t(draft)
    found.move("max_trials", "budget.trials")
    found.move("max_concurrent_trials", "resources.max_concurrent")
    found.leave_out("weights to start from are the function's own", "source_trial_id", "source_checkpoint_uuid")
    found.rest()


def _length(draft: Draft, found: Theirs) -> None:
    """How long a trial trains, and in what it is counted."""
    length, unit = found.value("max_length"), found.value("time_metric")
    if isinstance(length, Mapping) and len(length) == 1:
        key, amount = next(iter(length.items()))
        draft.set("scheduler.time_attr", _UNITS.get(str(key), str(key)), "what your function reports as its progress")
        draft.set("scheduler.max_t", amount, f"searcher.max_length: {key}")
    elif length is not None:
        draft.set("scheduler.max_t", length, "searcher.max_length")
    if unit is not None:
        draft.set("scheduler.time_attr", str(unit), "searcher.time_metric")
    if "max_time" in found:
        found.move("max_time", "scheduler.max_t")


def _halving(draft: Draft, found: Theirs, name: str) -> None:
    draft.set("search.algorithm", "random", "Determined draws at random under ASHA; auto learns as well")
    draft.set("scheduler.type", "asha", f"searcher.name: {name}")
    divisor = max(2, whole(found.value("divisor"), 4))
    rungs = min(max(1, whole(found.value("num_rungs") or found.value("max_rungs"), 5)), 20)
    draft.set("scheduler.reduction_factor", divisor, "searcher.divisor")
    longest = draft.value("scheduler.max_t")
    if isinstance(longest, int) and not isinstance(longest, bool):
        first = max(1, longest // divisor ** (rungs - 1))
        draft.set("scheduler.grace_period", first, f"max_t divided {rungs - 1} times by {divisor}: {rungs} rungs there")
    found.leave_out("how many brackets there are is scheduler.brackets here", "mode", "bracket_rungs")
    found.leave_out("trials are stopped, not paused", "stop_once")
