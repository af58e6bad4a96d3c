"""Plain values from Python as the tree that a file's text becomes, so that both are read by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.core.positions import Mark, Path, Problem
from sweep.core.section import Scalar, described
from sweep.core.yaml_tree import DEEPEST, MOST_NODES, Node, YamlError


def tree_of(content: Any, source: str) -> tuple[Node, list[Problem]]:
    """The tree of maps, lists and scalars, and what in them can't stand in a file.

    Args:
        content: of `dict`, `list`, `tuple` and scalars; numbers of numpy and torch count as Python's.
        source: what messages call it.

    Raises:
        YamlError: it is too deep or too large to be a search file.
    """
    builder = _Builder(Mark(source, override=True))
    return builder.node(content, ()), builder.problems


class _Builder:
    def __init__(self, mark: Mark) -> None:
        self.problems: list[Problem] = []
        self._mark = mark
        self._count = 0

    def node(self, value: Any, path: Path) -> Node:
        self._count += 1
        if len(path) > DEEPEST or self._count > MOST_NODES:
            raise YamlError(self._mark, f"is nested more than {DEEPEST} deep, or has more than {MOST_NODES} values.")
        if isinstance(value, Mapping):
            return self._map(value, path)
        if isinstance(value, list | tuple):
            node = Node(self._mark, [self.node(item, (*path, place)) for place, item in enumerate(value)])
        else:
            plain = self._scalar(value, path)
            # The characters tell a value of null from none at all; here it was always written.
            node = Node(self._mark, plain, "null" if plain is None else str(plain))
        node.measure()
        return node

    def _map(self, value: Mapping[Any, Any], path: Path) -> Node:
        node = Node(self._mark, {})
        entries: dict[str, Node] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self._wrong(path, f"expected texts as keys, got {key!r}.")
                continue
            entries[key] = self.node(item, (*path, key))
            node.keys[key] = self._mark
        node.value = entries
        node.measure()
        return node

    def _scalar(self, value: Any, path: Path) -> Scalar:
        if isinstance(value, Scalar):
            return value
        number = getattr(value, "item", None)  # numpy's and torch's numbers
        if callable(number) and getattr(value, "ndim", 0) == 0 and isinstance(found := number(), Scalar):
            return found
        self._wrong(path, f"got a {type(value).__name__}. A value is a number, a text, true, false or None.")
        return described(value)

    def _wrong(self, path: Path, message: str) -> None:
        self.problems.append(Problem(self._mark, path, message))
