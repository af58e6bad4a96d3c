"""A W&B sweep config."""

from __future__ import annotations

from sweep.core.command_line import in_our_macros
from sweep.core.convert.common import put_entrypoint, put_max_t, put_no_scheduler, put_parameter, whole
from sweep.core.convert.draft import Draft, Theirs
from sweep.core.spelling_keys import GOALS
from sweep.core.yaml_tree import Node

_METHODS = {"bayes": "tpe", "random": "random", "grid": "grid"}


def convert(tree: Node, draft: Draft) -> None:
    """Write what the config says into the draft."""
    top = Theirs(draft, tree)
    top.move("name", "name")
    _command(draft, top)
    metric = top.map("metric")
    metric.move("name", "metric.name")
    goal = str(metric.value("goal") or "minimize")
    draft.set("metric.goal", GOALS.get(goal, goal), "metric.goal")
    metric.move("target", "metric.target")
    metric.rest()
    if not draft.has("metric.name"):
        draft.set("metric.name", "loss", "fill in what your function reports; their file names no metric")
    _parameters(draft, top.map("parameters"), ())
    method = top.value("method")
    draft.set("search.algorithm", _METHODS.get(str(method), str(method)), f"method: {method}")
    _early_terminate(draft, top.map("early_terminate"))
    if "run_cap" in top:
        top.move("run_cap", "budget.trials")
    elif method != "grid":
        draft.set("budget.trials", 50, "without a run_cap W&B goes on until it is stopped")
    top.leave_out("names and pages of W&B's", "project", "entity", "description", "controller")
    top.rest()


def _command(draft: Draft, top: Theirs) -> None:
    """The words that W&B's agent would run."""
    program, mark = top.value("program"), top.mark("command")
    words = top.value("command") or ["${env}", "${interpreter}", "${program}", "${args}"]
    if not isinstance(words, list):
        draft.refuse(mark, ("command",), "expected a list of words.")
        return
    if program is None and "${program}" in words:
        put_entrypoint(draft, None, "their file names no program")
        return
    ours = in_our_macros(list(map(str, words)), str(program or ""))
    if ours is None:
        draft.refuse(mark, ("command",), "has a macro without an equivalent here.")
    else:
        draft.set("command", ours, "it has to print the metric, or call sweep.report; wandb.log isn't read")


def _parameters(draft: Draft, found: Theirs, groups: tuple[str, ...]) -> None:
    for name in found.names():
        mark, path, node = found.mark(name), (*found.path, name), found.node(name)
        raw = None if node is None else node.plain()
        if node is not None and isinstance(raw, dict) and "parameters" in raw:
            inner = Theirs(draft, node, path)
            _parameters(draft, inner.map("parameters"), (*groups, name))
            inner.leave_out("a group has none", "distribution")
            inner.rest()
        elif isinstance(raw, dict) and "probabilities" in raw:
            draft.refuse(mark, (*path, "probabilities"), "values are equally likely at first here.")
        else:
            put_parameter(draft, mark, path, (*groups, name), raw)


def _early_terminate(draft: Draft, found: Theirs) -> None:
    if not found:
        put_no_scheduler(draft)
        put_max_t(draft)
        return
    mark, kind = found.mark("type"), found.value("type")
    if kind != "hyperband":
        draft.refuse(mark, (*found.path, "type"), f"{kind} isn't W&B's hyperband, the one that is known.")
    draft.set("scheduler.type", "asha", "W&B's hyperband stops a trial as soon as it is in the worse part of its rung")
    eta = whole(found.value("eta"), 3)
    longest, brackets, first = found.value("max_iter"), whole(found.value("s"), 1), found.value("min_iter")
    if longest is not None:
        draft.set("scheduler.max_t", longest, "early_terminate.max_iter")
    put_max_t(draft)
    if first is not None:
        draft.set("scheduler.grace_period", first, "early_terminate.min_iter")
    elif longest is not None:
        lowest = max(1, whole(longest, 1) // max(eta, 2) ** min(brackets, 20))
        draft.set("scheduler.grace_period", lowest, f"max_iter {longest} divided {brackets} times by eta {eta}")
    draft.set("scheduler.reduction_factor", eta, "early_terminate.eta")
    found.leave_out("our rungs are always strict", "strict")
    found.rest()
