"""The keys of a file that can't stay: unknown ones, and other tools' spellings with the line rewritten.

What is refused is taken out of the tree, so that the checks after it speak only of the rest.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from sweep.core.flow import flow, flow_key
from sweep.core.groups import is_group
from sweep.core.parameters import KINDS, PARAMETER_KEYS, parameter_fields
from sweep.core.positions import Mark, Path, Problem, spelled_out
from sweep.core.section import Section
from sweep.core.spec import (
    ORDER,
    PARAMETER_NAME,
    Budget,
    CheckpointPolicy,
    Environment,
    Metric,
    Promote,
    Resources,
    Retries,
    Scheduler,
    Search,
    StudySpec,
    WarmStart,
)
from sweep.core.spelling_keys import MOVES, RENAMED, VALUES, Move
from sweep.core.spellings import ours
from sweep.core.yaml_tree import Node

SECTIONS: dict[str, type[Section]] = {
    "metric": Metric,
    "search": Search,
    "scheduler": Scheduler,
    "budget": Budget,
    "resources": Resources,
    "retries": Retries,
    "checkpoint": CheckpointPolicy,
    "promote": Promote,
    "environment": Environment,
}
"""The sections with a fixed set of keys, in the file's order."""

_YOUR_METRIC = "YOUR_METRIC"
"""Stands in a rewritten line for a name that the file doesn't tell."""


def file_keys(section: type[Section]) -> list[str]:
    """The keys of a section as the file writes them."""
    if section is StudySpec:
        return list(ORDER)
    return [field.alias or name for name, field in section.model_fields.items() if name != "kind"]


def nearest_key(key: str, allowed: list[str]) -> str | None:
    """The key that was probably meant."""
    folded = {name.lower(): name for name in allowed}
    near = difflib.get_close_matches(key.lower().replace("-", "_"), folded, n=1)
    return folded[near[0]] if near else None


def unknown_key(key: str, allowed: list[str], section: str) -> str:
    """What we say of a key that a section doesn't have: where it belongs, or what was meant."""
    owners = [name for name, cls in SECTIONS.items() if name != section and key in file_keys(cls)]
    if section and key in file_keys(StudySpec):
        return f"unknown. {key} belongs to the top level of the file, not into {section}."
    if owners and key not in allowed:
        return f"unknown. {key} belongs to {' or '.join(owners)}."
    near = nearest_key(key, allowed)
    if near:
        return f"unknown. Did you mean {near}?"
    return f"unknown. The keys here are {', '.join(allowed)}."


class Refusals:
    """Goes through a tree and takes out what can't stay.

    Attributes:
        problems: what was refused.
        paths: where something was refused.
        targets: where what was refused belongs; nothing is missing there.
    """

    def __init__(self, tree: Node) -> None:
        self.problems: list[Problem] = []
        self.paths: set[Path] = set()
        self.targets: set[Path] = set()
        self._tree = tree
        self._whole_metric = tree.value.get("metric") if isinstance(tree.value, dict) else None

    def review(self) -> None:
        """Look at the top level, then at each section, then at each parameter."""
        if not isinstance(self._tree.value, dict):
            return
        self._top()
        for name, section in SECTIONS.items():
            node = self._tree.value.get(name)
            if name == "metric":
                self._metrics(node)
            elif node is not None:
                self._section(node, (name,), section)
        self._warm_starts()
        parameters = self._tree.value.get("parameters")
        if parameters is not None:
            self._parameters(parameters)

    def covers(self, path: Path) -> bool:
        """Whether a problem at this path only follows from a refusal."""
        path = spelled_out(path)
        return path in self.targets or any(path[: len(refused)] == refused for refused in self.paths)

    def _refuse(self, mark: Mark, path: Path, message: str, also: Path | None = None) -> None:
        self.problems.append(Problem(mark, path, message))
        self.paths.add(path)
        if also is not None:
            self.targets.add(also)
            if also[0] not in self._entries(self._tree):
                self.targets.add(also[:1])

    def _refuse_unknown(self, mark: Mark, path: Path, allowed: list[str], section: str) -> None:
        key = str(path[-1])
        near = nearest_key(key, allowed)
        also = None if near is None else (*path[:-1], near)
        self._refuse(mark, path, unknown_key(key, allowed, section), also=also)

    def _top(self) -> None:
        entries = self._entries(self._tree)
        for key in [key for key in entries if key not in file_keys(StudySpec)]:
            mark, node = self._tree.keys[key], entries.pop(key)
            if key in RENAMED:
                right, tool = RENAMED[key]
                message = f"{key!r} is {tool}'s spelling. Rename it to {right}."
                self._refuse(mark, (key,), message, also=(right,))
            elif key in MOVES[""]:
                self._moved(mark, (key,), node, MOVES[""][key])
            else:
                self._refuse_unknown(mark, (key,), file_keys(StudySpec), "")

    def _entries(self, node: Node) -> dict[str, Node]:
        return node.value if isinstance(node.value, dict) else {}

    def _metrics(self, node: Node | None) -> None:
        if node is None:
            return
        if isinstance(node.value, list):
            for place, item in enumerate(node.value):
                self._section(item, ("metric", place), Metric)
        elif isinstance(node.value, str):
            line = flow({"name": node.value, "goal": self._goal()})
            message = f"expected a map, got the text {node.value!r}. Write: metric: {line}"
            self._refuse(node.mark, ("metric",), message)
            self._entries(self._tree).pop("metric")
        else:
            self._section(node, ("metric",), Metric)

    def _warm_starts(self) -> None:
        search = self._entries(self._tree).get("search")
        found = self._entries(search).get("warm_start") if search else None
        for place, item in enumerate(found.value if found and isinstance(found.value, list) else []):
            self._section(item, ("search", "warm_start", place), WarmStart)

    def _goal(self) -> str:
        """The goal that some key of another tool has named, for a rewritten line."""
        told = [problem.message for problem in self.problems if "goal: maximize" in problem.message]
        return "maximize" if told else "minimize"

    def _section(self, node: Node, path: Path, section: type[Section]) -> None:
        entries = self._entries(node)
        allowed, moves = file_keys(section), MOVES.get(str(path[0]), {}) if section is not WarmStart else {}
        for key in [key for key in entries if key not in allowed]:
            mark, value = node.keys[key], entries.pop(key)
            if key in moves:
                self._moved(mark, (*path, key), value, moves[key])
            else:
                self._refuse_unknown(mark, (*path, key), allowed, str(path[0]))
        for key in list(entries):
            words = VALUES.get((str(path[0]), key), {})
            word = entries[key].value
            if isinstance(word, str) and word.lower() in words:
                value = entries.pop(key)
                message = f"{word!r} is another tool's word. Write: {key}: {words[word.lower()]}"
                self._refuse(value.mark, (*path, key), message)

    def _moved(self, mark: Mark, path: Path, node: Node, move: Move) -> None:
        value = move.convert(node.plain())
        here = str(path[0]) if len(path) > 1 else ""
        spelling = f"{str(path[-1])!r} is {move.tool}'s spelling."
        line = self._line(move, value, inside=here == move.section)
        target: Path = (move.section, move.key) if move.section else (move.key,)
        if len(path) > 2:  # noqa: PLR2004  # one of a list of metrics
            target = (*path[:-1], move.key)
        told = f"Write: {line}" if line else f"We write it {'.'.join(map(str, target))}."
        if line and _YOUR_METRIC in line:
            told += f"  # fill in for {_YOUR_METRIC}: the name that your function reports"
        self._refuse(mark, path, f"{spelling} {told}", also=target)

    def _line(self, move: Move, value: Any, *, inside: bool) -> str | None:
        """The rewritten line, or None when the value wouldn't be accepted there."""
        section = SECTIONS.get(move.section)
        if section is None:
            fits = _fits(StudySpec, {**_SMALLEST, "command": None, move.key: value}, move)
            return f"{move.key}: {flow(value)}" if fits else None
        fields: dict[str, Any] = {move.key: value}
        if section is Metric:
            fields = {"name": self._metric_name(), "goal": "minimize", **fields}
        if not _fits(section, fields):
            return None
        return f"{move.key}: {flow(value)}" if inside else f"{move.section}: {flow(fields)}"

    def _metric_name(self) -> str:
        node = self._whole_metric
        name = node.plain() if node is not None else None
        name = name.get("name") if isinstance(name, dict) else name
        return name if isinstance(name, str) and name and name != Scheduler().time_attr else _YOUR_METRIC

    def _parameters(self, node: Node) -> None:
        if isinstance(node.value, list):
            self._listed(node)
            return
        self._members(node, ("parameters",))

    def _members(self, node: Node, above: Path) -> None:
        """The parameters of `parameters`, or of a group in it."""
        entries = self._entries(node)
        for name in list(entries):
            path: Path = (*above, name)
            if not PARAMETER_NAME.fullmatch(name) or (name == "when" and len(above) > 1):
                continue
            raw = entries[name].plain()
            if self._wandb_group(node.keys[name], path, name, raw):
                del entries[name]
            elif is_group(raw):
                self._members(entries[name], path)
            elif self._rewritten(node.keys[name], path, name, raw):
                del entries[name]
            else:
                self._parameter_keys(entries[name], path, raw)

    def _listed(self, node: Node) -> None:
        message = "expected a map of names, got a list. Write each as name: {min: 0, max: 1}."
        for place, item in enumerate(node.value if isinstance(node.value, list) else []):
            raw = item.plain()
            name = raw.get("name") if isinstance(raw, dict) else None
            if isinstance(name, str) and PARAMETER_NAME.fullmatch(name):
                fields = {key: value for key, value in raw.items() if key != "name"}
                self._rewritten(item.mark, ("parameters", place), name, fields)
        if not any(path[0] == "parameters" for path in self.paths):
            self._refuse(node.mark, ("parameters",), message)
        self.paths.add(("parameters",))
        del self._entries(self._tree)["parameters"]

    def _rewritten(self, mark: Mark, path: Path, name: str, raw: Any) -> bool:
        found = ours(raw)
        if found is None:
            return False
        spelling = f"{found.spelling!r} is {found.tool}'s spelling."
        if found.parameter is None:
            rest = "There is no equivalent: give min and max, or values."
        else:
            rest = f"Write: {flow_key(name)}: {flow(found.parameter)}"
        self._refuse(mark, path, f"{spelling} {rest}")
        return True

    def _wandb_group(self, mark: Mark, path: Path, name: str, raw: Any) -> bool:
        if not isinstance(raw, dict) or set(raw) - {"distribution"} != {"parameters"}:
            return False
        inner = raw["parameters"]
        if not isinstance(inner, dict) or not inner or not all(isinstance(one, dict) for one in inner.values()):
            return False
        first = next(iter(inner))
        found = ours(inner[first])
        line = flow({name: {first: inner[first] if found is None else found.parameter}})[1:-1]
        more = " and so on" if len(inner) > 1 else ""
        told = f"'parameters' inside a parameter is W&B's spelling. Leave it out: {line}{more}"
        self._refuse(mark, path, told)
        return True

    def _parameter_keys(self, node: Node, path: Path, raw: Any) -> None:
        entries = self._entries(node)
        kind = KINDS[parameter_fields({key: raw[key] for key in entries if key in PARAMETER_KEYS})["kind"]]
        for key in [key for key in entries if key not in file_keys(kind)]:
            mark = node.keys[key]
            if key in PARAMETER_KEYS:
                others = [one for one in ("values", "value", "min", "max") if one in raw and one != key]
                beside = others[0] if others else "a range"
                self._refuse(mark, (*path, key), f"doesn't go with {beside}. Keep one of them.")
            else:
                self._refuse_unknown(mark, (*path, key), list(PARAMETER_KEYS), "parameters")
            del entries[key]


_SMALLEST: dict[str, Any] = {
    "name": "a",
    "entrypoint": "a:b",
    "metric": {"name": "val_loss", "goal": "minimize"},
    "parameters": {"lr": {"kind": "float", "min": 0.0, "max": 1.0}},
}


def _fits(section: type[Section], fields: dict[str, Any], move: Move | None = None) -> bool:
    if move is not None and move.key == "command":
        fields = {**fields, "entrypoint": None}
    try:
        section.model_validate(fields)
    except (ValidationError, OverflowError):
        return False
    return _one_line(fields.values())


def _one_line(values: Iterable[Any]) -> bool:
    return not any(isinstance(value, str) and len(value.splitlines()) > 1 for value in values)
