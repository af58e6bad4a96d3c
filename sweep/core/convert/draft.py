"""Our search file while it is being made from another tool's, and a reader of theirs that forgets nothing.

What is taken becomes a line with a comment that says what it was; what is left out on purpose is named at the head of
the file; whatever else stands in theirs is refused by name, with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sweep.core.flow import flow, flow_key
from sweep.core.positions import Mark, Path, Problem, dotted
from sweep.core.spec import ORDER
from sweep.core.yaml_tree import Node

FILL_IN = "package.module:function"
"""Stands for a training function that their file doesn't name."""


class Line(NamedTuple):
    """A value of our file and what is said of it."""

    value: Any
    said: str


class Draft:
    """Our file, key by key.

    Attributes:
        problems: what in theirs has no equivalent.
    """

    def __init__(self, tool: str, source: str) -> None:
        self.problems: list[Problem] = []
        self._tool = tool
        self._source = source
        self._top: dict[str, Line] = {}
        self._sections: dict[str, dict[str, Line]] = {}
        self._parameters: dict[str, Any] = {}
        self._left_out: list[str] = []

    def set(self, key: str, value: Any, said: str = "") -> None:
        """Write "metric.goal" or "name"; `said` is the comment beside it."""
        section, point, name = key.partition(".")
        if point:
            self._sections.setdefault(section, {})[name] = Line(value, said)
        else:
            self._top[key] = Line(value, said)

    def has(self, key: str) -> bool:
        """Whether a key was written."""
        section, point, name = key.partition(".")
        return name in self._sections.get(section, {}) if point else key in self._top

    def value(self, key: str) -> Any:
        """What was written at a key; None when nothing was."""
        section, point, name = key.partition(".")
        line = self._sections.get(section, {}).get(name) if point else self._top.get(key)
        return None if line is None else line.value

    def parameter(self, names: tuple[str, ...], value: Any, said: str = "") -> None:
        """Write a parameter in our form, inside the groups that come before its name."""
        into = self._parameters
        for group in names[:-1]:
            into = into.setdefault(group, {})
        into[names[-1]] = Line(value, said)

    def leave_out(self, what: str, why: str) -> None:
        """Say at the head of the file what of theirs isn't in it."""
        self._left_out.append(f"{what}: {why}")

    def refuse(self, mark: Mark, path: Path, why: str) -> None:
        """Something has no equivalent."""
        self.problems.append(Problem(mark, path, f"{why} Take it out and convert again."))

    @property
    def source(self) -> str:
        """Their file."""
        return self._source

    def text(self) -> str:
        """The file."""
        lines = [f"# From {self._source}, a file for {self._tool}, by `sweep convert`."]
        lines += [f"# Left out: {_one_line(line)}" for line in self._left_out]
        for key in ORDER:
            if key == "parameters":
                lines.append("parameters:")
                lines += _parameter_lines(self._parameters, "  ")
            elif key in self._sections:
                lines.append(f"{key}:")
                lines += [_said(f"  {name}: {flow(one.value)}", one.said) for name, one in self._sections[key].items()]
            elif key in self._top:
                lines.append(_said(f"{key}: {flow(self._top[key].value)}", self._top[key].said))
        return "\n".join(lines) + "\n"


def _parameter_lines(level: dict[str, Any], indent: str) -> Iterator[str]:
    for name, one in level.items():
        if isinstance(one, Line):
            yield _said(f"{indent}{flow_key(name)}: {flow(one.value)}", one.said)
        else:
            yield f"{indent}{flow_key(name)}:"
            yield from _parameter_lines(one, indent + "  ")


def _said(line: str, comment: str) -> str:
    return f"{line}  # {_one_line(comment)}" if comment else line


def _one_line(text: str) -> str:
    return " ".join(text.split())


class Theirs:
    """A map of their file, whose keys are taken one by one; `rest` refuses those that nobody took."""

    def __init__(self, draft: Draft, node: Node | None, path: Path = ()) -> None:
        self._draft = draft
        self._node = node
        self.path = path
        self._left = dict(node.value) if node is not None and isinstance(node.value, dict) else {}
        if node is not None and node.value is not None and not isinstance(node.value, dict):
            draft.refuse(node.mark, path, "expected a map of keys.")

    def __contains__(self, key: str) -> bool:
        """Whether a key is there and wasn't taken."""
        return key in self._left

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return bool(self._left)

    def names(self) -> list[str]:
        """The keys that are left."""
        return list(self._left)

    def node(self, key: str) -> Node | None:
        """A value with its place, taken; None when it isn't there."""
        return self._left.pop(key, None)

    def value(self, key: str) -> Any:
        """A plain value, taken; None when it isn't there."""
        node = self.node(key)
        return None if node is None else node.plain()

    def map(self, key: str) -> Theirs:
        """A map inside, taken; an empty one when it isn't there."""
        return Theirs(self._draft, self.node(key), (*self.path, key))

    def maps(self, key: str) -> list[Theirs]:
        """A list of maps, taken."""
        node = self.node(key)
        items = node.value if node is not None and isinstance(node.value, list) else []
        return [Theirs(self._draft, item, (*self.path, key, place)) for place, item in enumerate(items)]

    def move(self, key: str, ours: str, *, said: str | None = None) -> None:
        """Take a value over as it is."""
        value = self.value(key)
        if value is not None:
            self._draft.set(ours, value, dotted((*self.path, key)) if said is None else said)

    def leave_out(self, why: str, *keys: str) -> None:
        """Take keys that don't go into our file, and say why."""
        found = [key for key in keys if self._left.pop(key, None) is not None]
        if found:
            self._draft.leave_out(", ".join(dotted((*self.path, key)) for key in found), why)

    def refuse(self, key: str, why: str) -> None:
        """Say that a key has no equivalent, and take it."""
        if key in self._left:
            self._left.pop(key)
            self._draft.refuse(self.mark(key), (*self.path, key), why)

    def mark(self, key: str) -> Mark:
        """Where a key stands."""
        if self._node is None:
            # Of a section that the file lacks: where it would stand is anybody's guess, in which file is not.
            return Mark(self._draft.source)
        return self._node.keys.get(key, self._node.mark)

    def rest(self, why: str = "there is no equivalent here.") -> None:
        """Refuse what nobody took."""
        for key in list(self._left):
            self.refuse(key, why)
