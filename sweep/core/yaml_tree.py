"""YAML text as a tree of plain values that remembers the line and column of each key and value.

Only ruamel's parser is used, not its constructors: what a plain word means is decided here, by
YAML 1.2 (`1e-4` is a number; `yes`, `no`, `on`, `off` and `1_000` are texts), and no tag can
make an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from sweep.core.positions import Mark, Path, Positions, Problem
from sweep.core.scalars import resolve
from sweep.core.section import Scalar

LONGEST_TEXT = 500_000
MOST_NODES = 20_000
DEEPEST = 30

_CORE_TAGS = ("str", "int", "float", "bool", "null", "map", "seq")


@dataclass(slots=True)
class Node:
    """A value of the file: a scalar, a list of nodes, or a map of nodes.

    Attributes:
        mark: where the value begins.
        value: the scalar, the list or the map.
        text: a scalar's characters as written, without quotes.
        keys: where each key of a map stands.
        weight: how many nodes it is when all aliases are written out.
        depth: how many levels lie below it.
    """

    mark: Mark
    value: Scalar | list[Node] | dict[str, Node]
    text: str = ""
    keys: dict[str, Mark] = field(default_factory=dict)
    weight: int = 1
    depth: int = 0

    def measure(self) -> None:
        """Set weight and depth from what is inside."""
        inside = self.value if isinstance(self.value, list) else []
        if isinstance(self.value, dict):
            inside = list(self.value.values())
        self.weight = 1 + sum(node.weight for node in inside)
        self.depth = 1 + max((node.depth for node in inside), default=0)

    def plain(self) -> Any:
        """The value without marks."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def copy(self) -> Node:
        """The same tree, so that a change to one use of an alias doesn't show in the others."""
        value = self.value
        if isinstance(value, dict):
            value = {key: node.copy() for key, node in value.items()}
        elif isinstance(value, list):
            value = [node.copy() for node in value]
        return Node(self.mark, value, self.text, dict(self.keys), self.weight, self.depth)


class YamlError(Exception):
    """The text isn't YAML that we read; carries the one problem that stopped the parser."""

    def __init__(self, mark: Mark, message: str) -> None:
        self.problem = Problem(mark, (), message)
        super().__init__(str(self.problem))


def parse(text: str, source: str, *, override: bool = False) -> tuple[Node | None, list[Problem]]:
    """The tree of a text, None when it holds no value, and what is wrong without stopping the parser.

    Args:
        text: one YAML document.
        source: the file's name, or the whole override.
        override: the text comes from the command line, where lines and columns say nothing.

    Raises:
        YamlError: the text can't be parsed any further.
    """
    start = Mark(source, override=override)
    text = text.removeprefix("\ufeff")
    if len(text) > LONGEST_TEXT:
        raise YamlError(start, f"has {len(text)} characters. A search file has at most {LONGEST_TEXT}.")
    _refuse_tabs(text, source, override=override)
    builder = _Builder(source, override=override)
    try:
        tree = builder.document(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        raise YamlError(*(_mistake(error, text, start) or _explained(error, start))) from error
    except (YAMLError, ValueError, OverflowError, AssertionError, LookupError, AttributeError, TypeError) as error:
        # ruamel's scanner lets Python's own errors through, such as chr() of an escape that is no character.
        message = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise YamlError(_reached(error, text, start), f"isn't YAML: {message}.") from error
    return tree, builder.problems


def _refuse_tabs(text: str, source: str, *, override: bool) -> None:
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and not line.lstrip(" \t").startswith("#") and line.strip(" \t"):
            mark = Mark(source, number, indent.index("\t") + 1, override)
            raise YamlError(mark, "a tab in the indentation. YAML wants spaces; use spaces.")


def _reached(error: Exception, text: str, start: Mark) -> Mark:
    offset = getattr(error, "position", None)
    if not isinstance(offset, int):
        return start
    lines = re.split(r"\r\n|\n|\r", text[:offset])
    return Mark(start.source, len(lines), len(lines[-1]) + 1, start.override)


def _explained(error: MarkedYAMLError, start: Mark) -> tuple[Mark, str]:
    at = error.problem_mark or error.context_mark
    mark = start if at is None else Mark(start.source, at.line + 1, at.column + 1, start.override)
    problem = " ".join(str(error.problem or error.context or "no reason given").split())
    if "'\\t'" in problem:
        return mark, "a tab. YAML wants spaces; use spaces."
    if "mapping values are not allowed" in problem:
        return mark, "a second ':' in one line. Put the text in quotes, or the key on a line of its own."
    if "cannot start any token" in problem:
        return mark, f"isn't YAML: {problem}. Put the text in quotes."
    if "stream end" in problem or "end of stream" in problem:
        opened = error.context_mark
        since = f", opened in line {opened.line + 1}" if opened is not None else ""
        return mark, f"isn't YAML: a bracket or a quote isn't closed{since}."
    return mark, f"isn't YAML: {problem.rstrip('.')}."


# What a beginner does. The parser notices it further down, in words of its own.

_KEY = re.compile(r"\s*(?:- +)?([A-Za-z_][\w.-]*)")
_OPENERS = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that isn't empty: its number from 1, its indent, the rest without a comment."""

    number: int
    indent: int
    text: str

    @property
    def opens(self) -> bool:
        """Whether deeper lines may follow: a key without a value, or a text in lines of its own."""
        return self.text.endswith(":") or bool(re.search(r"(: |- |^)[|>][-+0-9]*$", self.text)) or self.text == "-"


def _mistake(error: MarkedYAMLError, text: str, start: Mark) -> tuple[Mark, str] | None:
    """Where a usual mistake is, and what to write; None when it is none of those that we know."""
    at = error.problem_mark
    if at is None:
        return None
    problem, noticed = str(error.problem), at.line + 1
    if "\\t" in problem or "cannot start any token" in problem:
        return None
    rows = re.split(r"\r\n|\n|\r", text)
    found = _unclosed(rows, noticed)
    if found is None and any(words in problem for words in ("mapping values", "expected ':'", "<block", "<document")):
        lines = [
            _Line(number, len(row) - len(row.lstrip(" ")), bare)
            for number, row in enumerate(rows, 1)
            if (bare := re.sub(r"(^|\s)#.*", "", row).strip())
        ]
        found = _missing_colon(lines, noticed) or _wrong_indent(lines, noticed)
    if found is None:
        return None
    line, column, message = found
    return Mark(start.source, line, column, start.override), message


def _unclosed(rows: list[str], noticed: int) -> tuple[int, int, str] | None:
    """The first bracket or quote that isn't closed, or is closed by the other kind, up to where the parser stopped."""
    opened: list[tuple[str, int, int]] = []
    quote: tuple[str, int, int] | None = None
    for number, row in enumerate(rows, 1):
        before = "" if opened else ":"  # what stands before decides whether a character opens something
        for place, char in enumerate(row, 1):
            if quote:
                escaped = quote[0] == '"' and row[: place - 1].endswith("\\") and not row[: place - 1].endswith("\\\\")
                quote = None if char == quote[0] and not escaped else quote
            elif char == "#" and (place == 1 or row[place - 2] in " \t"):
                break
            elif char in "\"'" and before in ("", *":,-[{"):
                quote = (char, number, place)
            elif char in _OPENERS and (opened or before in ("", *":-")):
                opened.append((char, number, place))
            elif opened and char in _OPENERS.values():
                bracket, line, column = opened.pop()
                if char != _OPENERS[bracket]:
                    right = _OPENERS[bracket]
                    message = f"'{bracket}' isn't closed before the '{char}' in line {number}. Write '{right}' first."
                    return line, column, message
            if not char.isspace():
                before = char
    if quote and quote[1] <= noticed:
        return quote[1], quote[2], f"the quote {quote[0]} isn't closed. Write another {quote[0]} where the text ends."
    if opened and opened[-1][1] <= noticed:
        bracket, line, column = opened[-1]
        return line, column, f"'{bracket}' isn't closed. Write '{_OPENERS[bracket]}' where it ends."
    return None


def _missing_colon(lines: list[_Line], noticed: int) -> tuple[int, int, str] | None:
    """A key without its colon, in the line where the parser stopped or in the one before."""
    places = [place for place, line in enumerate(lines) if line.number <= noticed][-2:]
    for place in places:
        line = lines[place]
        match = _KEY.match(line.text)
        if match is None:
            continue
        key, rest = match.group(1), line.text[match.end() :]
        column = line.indent + match.end() + 1
        deeper = place + 1 < len(lines) and lines[place + 1].indent > line.indent
        if not rest and deeper:
            return line.number, column, f"a ':' is missing. Write {key}:"
        if re.match(r"\s+[\[{].*[\]}]$", rest):
            return line.number, column, f"a ':' is missing. Write {key}: {rest.strip()}"
        if re.match(r":[^\s:/]+$", rest):
            return line.number, column + 1, f"a space is missing after ':'. Write {key}: {rest[1:]}"
        if (not rest or rest[0] == " ") and ": " not in line.text and not line.text.endswith(":"):
            return line.number, column, f"a ':' is missing. Write {key}: {rest.strip()}".rstrip()
    return None


def _wrong_indent(lines: list[_Line], noticed: int) -> tuple[int, int, str] | None:
    """A line that is in no column where its neighbours begin."""
    places = [place for place, line in enumerate(lines) if line.number <= noticed]
    if not places:
        return None
    here, line = places[-1], lines[places[-1]]
    before = lines[here - 1] if here else None
    if before is None:
        return None
    if line.indent > before.indent:
        return None if before.opens else _indented(line, before.indent)
    columns = _open_columns(lines[:here])
    if line.indent in columns:
        return None
    block = [other for other in lines[:here] if other.indent > line.indent]
    if not columns or min(columns) > line.indent:
        return _indented(lines[0], line.indent)
    first = next(other for other in block if other.indent == min(o for o in columns if o > line.indent))
    siblings = [other for other in block if other.indent == first.indent and other.number >= first.number]
    follows = here + 1 < len(lines) and lines[here + 1].indent == line.indent
    above = max(column for column in columns if column < line.indent)
    if len(siblings) == 1 and (follows or first.indent - line.indent < line.indent - above):
        # One line stands alone, those after it agree: that one is wrong.
        return _indented(first, line.indent)
    return _indented(line, first.indent)


def _open_columns(lines: list[_Line]) -> list[int]:
    """The columns where a next line may begin without opening a level, as the lines above leave them."""
    columns: list[int] = []
    for line in lines:
        while columns and columns[-1] > line.indent:
            columns.pop()
        if not columns or columns[-1] < line.indent:
            columns.append(line.indent)
    return columns


def _indented(line: _Line, right: int) -> tuple[int, int, str]:
    def spaces(count: int) -> str:
        return f"{count} space{'s' * (count != 1)}" if count else "no space"

    message = f"begins after {spaces(line.indent)}, its neighbours after {spaces(right)}. Give it {spaces(right)}."
    return line.number, line.indent + 1, message


class _Builder:
    """Makes nodes of the parser's events."""

    def __init__(self, source: str, *, override: bool) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._override = override
        self._anchors: dict[str, Node | None] = {}
        self._count = 0

    def document(self, events: Iterator[Event]) -> Node | None:
        tree: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    message = "a second document ('---'). One file is one study; split it."
                    raise YamlError(self._mark(event), message)
            elif isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent | AliasEvent):
                tree = self._node(event, events, ())
        empty = tree is not None and tree.value is None and not tree.text
        return None if empty else tree

    def _mark(self, event: Event) -> Mark:
        at = event.start_mark
        return Mark(self._source, at.line + 1, at.column + 1, self._override)

    def _node(self, event: Event, events: Iterator[Event], path: Path) -> Node:
        mark = self._mark(event)
        if len(path) > DEEPEST:
            raise YamlError(mark, f"is nested more than {DEEPEST} deep.")
        if isinstance(event, AliasEvent):
            return self._alias(str(event.anchor), mark, len(path))
        anchor: str | None = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        self._weigh(1, mark)
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, mark, path)
        elif isinstance(event, SequenceStartEvent):
            self._tag(event, mark, path)
            node = self._sequence(events, mark, path)
        else:
            self._tag(event, mark, path)
            node = self._mapping(events, mark, path)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _weigh(self, nodes: int, mark: Mark) -> None:
        self._count += nodes
        if self._count > MOST_NODES:
            raise YamlError(mark, f"the file has more than {MOST_NODES} values, aliases (*name) written out.")

    def _alias(self, name: str, mark: Mark, level: int) -> Node:
        if name not in self._anchors:
            raise YamlError(mark, f"*{name} names no anchor. Write &{name} before the value it stands for.")
        target = self._anchors[name]
        if target is None:
            raise YamlError(mark, f"*{name} stands inside the value that it names.")
        if level + target.depth > DEEPEST:
            raise YamlError(mark, f"*{name} is nested more than {DEEPEST} deep here.")
        self._weigh(target.weight, mark)
        return target.copy()

    def _tag(self, event: Event, mark: Mark, path: Path) -> str | None:
        given = getattr(event, "tag", None)
        if given is None:
            return None
        tag = str(given)
        core = tag.removeprefix("tag:yaml.org,2002:")
        if core != tag and core in _CORE_TAGS:
            return core
        if tag != "!":
            shown = tag if core == tag else f"!!{core}"
            self.problems.append(Problem(mark, path, f"the tag {shown} is not allowed. Write the plain value."))
        return "str" if tag == "!" else None

    def _scalar(self, event: ScalarEvent, mark: Mark, path: Path) -> Node:
        text = str(event.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.problems.append(Problem(mark, path, "an escape that is half a character (a surrogate)."))
            text = ""
        tag = self._tag(event, mark, path)
        plain = event.style is None and tag != "str"
        return Node(mark, resolve(text) if plain or tag in ("int", "float", "bool") else text, text)

    def _sequence(self, events: Iterator[Event], mark: Mark, path: Path) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            items.append(self._node(event, events, (*path, len(items))))
        node = Node(mark, items)
        node.measure()
        return node

    def _mapping(self, events: Iterator[Event], mark: Mark, path: Path) -> Node:
        entries: dict[str, Node] = {}
        merged: list[Node] = []
        keys: dict[str, Mark] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            place = self._mark(event)
            key = self._key(event, place, events, path)
            value = self._node(next(events), events, (*path, key or "?"))
            if key == "<<" and isinstance(event, ScalarEvent) and event.style is None:
                merged.append(value)
            elif key is None:
                continue
            elif key in entries:
                first = keys[key]
                where = "twice" if self._override else f"twice: in line {first.line} and in line {place.line}"
                self.problems.append(Problem(place, (*path, key), f"is given {where}. Remove one of them."))
            else:
                entries[key], keys[key] = value, place
        node = Node(mark, entries, keys=keys)
        for value in merged:
            self._merge(node, value, path)
        node.measure()
        return node

    def _key(self, event: Event, mark: Mark, events: Iterator[Event], path: Path) -> str | None:
        if not isinstance(event, ScalarEvent | AliasEvent):
            self._node(event, events, (*path, "?"))
            self.problems.append(Problem(mark, path, "a key that is a list or a map. A key is one word."))
            return None
        node = self._node(event, events, path)
        if isinstance(node.value, list | dict) or not node.text:
            self.problems.append(Problem(mark, path, "an empty key. A key is one word, then ':'."))
            return None
        return node.text

    def _merge(self, node: Node, value: Node, path: Path) -> None:
        sources = value.value if isinstance(value.value, list) else [value]
        for source in sources:
            if not isinstance(source.value, dict) or not isinstance(node.value, dict):
                message = "<< takes a map (<<: *name) or a list of maps."
                self.problems.append(Problem(source.mark, path, message))
                continue
            for key, entry in source.value.items():
                if key not in node.value:
                    node.value[key] = entry
                    node.keys[key] = source.keys[key]


def positions_of(tree: Node, start: Mark) -> Positions:
    """The marks of all keys and values of a tree."""
    positions = Positions(start)

    def visit(node: Node, path: Path) -> None:
        if node.value is not None or node.text:
            positions.values[path] = node.mark  # an empty value has no place; its key has
        if isinstance(node.value, dict):
            for key, entry in node.value.items():
                positions.keys[(*path, key)] = node.keys.get(key, entry.mark)
                visit(entry, (*path, key))
        elif isinstance(node.value, list):
            for index, item in enumerate(node.value):
                visit(item, (*path, index))

    visit(tree, ())
    return positions
