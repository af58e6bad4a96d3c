"""A cluster file's text as Ray and Kubernetes read it, with the place of each key and value.

Both read YAML 1.1, where `on` is true and `1e-4` is a text; our search files are YAML 1.2. So this is PyYAML, which is
Ray's own reader, and not `sweep.core.yaml_tree`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from sweep.core.positions import Mark, Path, Positions, Problem
from sweep.core.section import described
from sweep.errors import first_line

MOST_NODES = 20_000
DEEPEST = 40
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Document:
    """One YAML document, which is a map.

    Attributes:
        data: its plain values.
        positions: where each key and value stands.
        unquoted: the keys that YAML takes for something else than a text, as `on` and `5`. Kubernetes makes a text of
            them, as here; Ray doesn't.
    """

    data: dict[str, Any]
    positions: Positions
    unquoted: tuple[Problem, ...] = ()


def read(text: str, source: str) -> tuple[list[Document], list[Problem]]:
    """The documents of a file, empty ones left out, and what is wrong with its YAML.

    Args:
        text: the file's contents.
        source: its name, as messages should show it.
    """
    start = Mark(source)
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_node():
            node: yaml.Node = loader.get_node()  # type: ignore[assignment]  # there is one: it was asked
            mark = _mark(node.start_mark, source)
            # Before the values are made: that puts the keys of a `<<` beside the map's own.
            problems += _twice(node, source)
            unquoted = _unquoted(node, source)
            data = loader.construct_document(node)
            if isinstance(data, dict):
                documents.append(Document(data, _positions(node, source), tuple(unquoted)))
            elif data is not None:
                problems.append(Problem(mark, (), f"expected a map of keys, got {described(data)}."))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        told = " ".join(str(error.problem or error.context or "no reason given").split())
        problems.append(Problem(_mark(at, source) if at else start, (), f"isn't YAML: {told}."))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: a date that is none. RecursionError: thousands of brackets.
        told = first_line(error)
        problems.append(Problem(start, (), f"isn't YAML that can be read: {told}."))
    if not documents and not problems:
        problems.append(Problem(start, (), "the file is empty. Copy one of cluster/, and change what it marks."))
    return documents, problems


class _TooLargeError(ValueError):
    pass


def _walk(node: yaml.Node) -> Iterator[tuple[Path, yaml.Node, yaml.Node | None]]:
    """(path, value, key) of every value below a node, aliases written out.

    Raises:
        ValueError: there is no end to it, or nearly none.
    """
    waiting: list[tuple[Path, yaml.Node]] = [((), node)]
    count = 0
    while waiting:
        path, parent = waiting.pop()
        if len(path) > DEEPEST:
            raise _TooLargeError(f"nested more than {DEEPEST} deep")
        children: list[tuple[str | int, yaml.Node, yaml.Node | None]] = []
        if isinstance(parent, yaml.MappingNode):
            # The last of a name counts: what a `<<` brings stands before the map's own keys.
            children = list({_name(key): (_name(key), value, key) for key, value in parent.value}.values())
        elif isinstance(parent, yaml.SequenceNode):
            children = [(place, value, None) for place, value in enumerate(parent.value)]
        for step, value, key in children:
            count += 1
            if count > MOST_NODES:
                raise _TooLargeError(f"more than {MOST_NODES} values, aliases (*name) written out")
            yield (*path, step), value, key
            waiting.append(((*path, step), value))


def _name(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "?"


def _twice(node: yaml.Node, source: str) -> list[Problem]:
    """Keys that a map has twice: YAML's readers take the last without a word."""
    found: dict[tuple[int, int], Problem] = {}
    for path, value in [((), node), *((path, value) for path, value, _ in _walk(node))]:
        lines: dict[str, int] = {}
        for key, _ in value.value if isinstance(value, yaml.MappingNode) else ():
            name, mark = _name(key), _mark(key.start_mark, source)
            if name in lines and name != "<<":
                told = f"is given twice: in line {lines[name]} and in line {mark.line}. Remove one of them."
                found.setdefault((mark.line, mark.column), Problem(mark, (*path, name), told))
            lines.setdefault(name, mark.line)
    return list(found.values())


def _unquoted(node: yaml.Node, source: str) -> list[Problem]:
    """Keys that are no texts; from now on they are."""
    found: list[Problem] = []
    for path, value in [((), node), *((path, value) for path, value, _ in _walk(node))]:
        for key, _ in value.value if isinstance(value, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag not in (_TEXT, _MERGE):
                key.tag = _TEXT
                told = f'the key {key.value} is no text to YAML. Write it in quotes: "{key.value}".'
                found.append(Problem(_mark(key.start_mark, source), (*path, key.value), told))
    return found


def _positions(node: yaml.Node, source: str) -> Positions:
    positions = Positions(_mark(node.start_mark, source))
    positions.values[()] = positions.start
    for path, value, key in _walk(node):
        positions.values[path] = _mark(value.start_mark, source)
        if key is not None:
            positions.keys[path] = _mark(key.start_mark, source)
    return positions


def _mark(at: Any, source: str) -> Mark:
    return Mark(source, at.line + 1, at.column + 1)


def map_of(value: Any) -> dict[Any, Any]:
    """The value when it is a map, else an empty one: what else it is, another check tells."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """(place, text) of every text among plain values, the keys of maps included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, str(key)), str(key)
            yield from texts(item, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))
    elif isinstance(value, str):
        yield path, value
