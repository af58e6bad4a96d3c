"""`--set scheduler.max_t=9`: values from the command line put into the file's tree."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.core.positions import Mark, Path, Problem, dotted
from sweep.core.yaml_tree import Node, YamlError, parse


def apply_overrides(tree: Node, overrides: Sequence[str]) -> list[Problem]:
    """Put each "a.b=value" into the tree, in order, and return what is wrong with them.

    The value is read as YAML, so `lr=1e-3` is a number and `bs=[16, 32]` a list; an empty value
    unsets the key. Sections that the file lacks are made.
    """
    problems: list[Problem] = []
    for override in overrides:
        mark = Mark(f"--set {override}", override=True)
        problem = _apply(tree, override, mark, problems)
        if problem is not None:
            problems.append(Problem(mark, (), problem))
    return problems


def _apply(tree: Node, override: str, mark: Mark, problems: list[Problem]) -> str | None:
    keys, equals, text = override.partition("=")
    steps = [step.strip() for step in keys.split(".")]
    if not equals or not all(steps):
        return "expected key=value. Write --set scheduler.max_t=9."
    try:
        value, found = parse(text, mark.source, override=True)
    except YamlError as error:
        return error.problem.message
    problems.extend(Problem(mark, (*steps, *one.path), one.message) for one in found)
    return _put(tree, steps, value or Node(mark, None), mark)


def _put(tree: Node, steps: list[str], value: Node, mark: Mark) -> str | None:
    node = tree
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if isinstance(node.value, list):
            if not step.isascii() or not step.isdigit() or len(step) > 9 or int(step) >= len(node.value):  # noqa: PLR2004
                return f"{_told(steps[:depth])} is a list of {len(node.value)}. Number its items from 0."
            if last:
                node.value[int(step)] = value
                return None
            node = node.value[int(step)]
            continue
        if node.value is None and not node.text:
            node.value = {}  # an empty section, or one that we made
        if not isinstance(node.value, dict):
            return f"{_told(steps[:depth])} is no map, so it has no {step}. Set {_told(steps[:depth])} as a whole."
        if last:
            node.value[step] = value
        else:
            node.value.setdefault(step, Node(mark, None))
        if last or step not in node.keys:
            node.keys[step] = mark
        node = node.value[step]
    return None


def _told(steps: list[str]) -> str:
    path: Path = tuple(steps)
    return dotted(path)
