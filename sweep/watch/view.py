"""What a reading verb shows: data for programs, and the same drawn for people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.watch.text import Glyphs, glyphs_for, plain

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, OverflowMethod, RenderableType, RenderResult
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

_GAP = 2
"""Spaces between two columns."""

Draw = Callable[[Glyphs, int], "RenderableType"]
"""Draws for an output's glyphs and width in columns."""

Cell = str | tuple[str, str]
"""A text, or a text and its style."""


@dataclass(frozen=True)
class View:
    """Both sides of an answer: `console.print(view)` draws it, `data` is what `--json` prints.

    Attributes:
        data: JSON values; no NaN in it.
        draw: draws it.
    """

    data: Any
    draw: Draw

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw with the characters that the console has; no line ends in spaces."""
        from rich.segment import Segment

        drawing = self.draw(glyphs_for(console.encoding), options.max_width)
        # Not cut at the width: a long path stays in one piece, and the terminal goes on in its next row.
        for line in Segment.split_lines(console.render(drawing, options)):
            yield from _stripped(line)
            yield Segment.line()

    def json(self) -> str:
        """The data as indented JSON."""
        return json.dumps(plain(self.data), indent=2, allow_nan=False)


def table(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], glyphs: Glyphs, *, title: str = ""
) -> Table:
    """A table without lines.

    Args:
        columns: head and kind of each: "l" and "r" are cut where there isn't room, "f" is folded.
        rows: of equal length.
        glyphs: what can be drawn.
        title: a line above.
    """
    from rich.table import Table

    found = Table(
        box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=any(head for head, _ in columns),
        title=_text(title, glyphs, "bold") if title else None, title_justify="left", header_style="dim",
    )  # fmt: skip
    cut: OverflowMethod = "ellipsis" if glyphs.unicode else "crop"
    for head, kind in columns:
        fold = kind == "f"
        found.add_column(
            _text(head, glyphs, "dim"), justify="right" if kind == "r" else "left",
            no_wrap=not fold, overflow="fold" if fold else cut, ratio=None,
        )  # fmt: skip
    for row in rows:
        found.add_row(*(_cell_text(cell, glyphs) for cell in row))
    return found


def whole_columns(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], glyphs: Glyphs, width: int, first: Sequence[int]
) -> list[int]:
    """The indices of those columns of a `table` that it can draw uncut in this width, in their order.

    Args:
        columns: as for `table`.
        rows: as for `table`.
        glyphs: what can be drawn.
        width: of the whole.
        first: indices of columns that take room before the others do, the most important first.
    """
    from rich.cells import cell_len

    def needed(index: int) -> int:
        cells = [row[index] for row in rows]
        texts = [columns[index][0], *(cell if isinstance(cell, str) else cell[0] for cell in cells)]
        return max(cell_len(glyphs.clean(text)) for text in texts)

    kept: list[int] = []
    room = width + _GAP
    for index in dict.fromkeys([*first, *range(len(columns))]):
        if needed(index) + _GAP <= room:
            kept.append(index)
            room -= needed(index) + _GAP
    return sorted(kept)


def facts(rows: Sequence[tuple[str, Cell]], glyphs: Glyphs) -> RenderableType:
    """Names and what they are, a line each; facts that are empty are left out."""
    kept = [(name, cell) for name, cell in rows if (cell if isinstance(cell, str) else cell[0])]
    return Hanging([[(name, "dim"), cell] for name, cell in kept], glyphs)


class Hanging:
    """Two columns, of which the second is folded between words only: a path stays whole, if need be past the edge.

    A console that cuts lines at its edge (one without `soft_wrap`) gets long words folded too.

    Args:
        rows: a name and a text each.
        glyphs: what can be drawn.
        right: whether names are justified to the right.
        whole: don't fold at all.
    """

    def __init__(
        self, rows: Sequence[Sequence[Cell]], glyphs: Glyphs, *, right: bool = False, whole: bool = False
    ) -> None:
        self._rows = [[_cell_text(cell, glyphs) for cell in row] for row in rows]
        self._right = right
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw each row's text beside its name."""
        from rich.text import Text

        names = max((name.cell_len for name, _ in self._rows), default=0)
        gap = " " * _GAP if names else ""
        room = max(1, options.max_width - names - len(gap))
        for name, text in self._rows:
            if not console.soft_wrap:
                lines: Iterable[Text] = text.wrap(console, room, overflow="fold")
            else:
                lines = [text] if self._whole else _between_words(text, room)
            for place, line in enumerate(lines):
                head = name.copy() if place == 0 else Text("")
                head.align("right" if self._right else "left", names)
                yield Text.assemble(head, gap, line, no_wrap=True, overflow="ignore")


def _between_words(text: Text, width: int) -> Iterable[Text]:
    """The text in lines of this width; a word that is longer has a line of its own."""
    # rich folds inside of words, or, when told not to, not at all.
    from rich.cells import cell_len

    breaks: list[int] = []
    used = 0
    for word in re.finditer(r"\S+\s*", text.plain):
        if used and used + cell_len(word.group().rstrip()) > width:
            breaks.append(word.start())
            used = 0
        used += cell_len(word.group())
    return text.divide(breaks)


def commands(head: str, lines: Sequence[str], glyphs: Glyphs) -> RenderableType:
    """Lines to be copied and run: none is broken."""
    return Hanging([["", (head, "dim")], *(["", line] for line in lines)], glyphs, whole=True)


def stacked(parts: Sequence[RenderableType]) -> RenderableType:
    """Parts below each other, an empty line between."""
    from rich.console import Group
    from rich.text import Text

    spread: list[RenderableType] = []
    for part in parts:
        spread += [Text(""), part] if spread else [part]
    return Group(*spread)


def note(text: str, glyphs: Glyphs, style: str = "") -> RenderableType:
    """A line of text, folded between words where it is too long."""
    return Hanging([["", (text, style)]], glyphs)


def _stripped(line: list[Segment]) -> list[Segment]:
    """The line without spaces at its end."""
    from rich.segment import Segment

    kept = list(line)
    while kept and not kept[-1].control and not kept[-1].text.rstrip(" "):
        kept.pop()
    if kept and not kept[-1].control:
        kept[-1] = Segment(kept[-1].text.rstrip(" "), kept[-1].style)
    return kept


def _cell_text(cell: Cell, glyphs: Glyphs) -> Text:
    return _text(cell, glyphs) if isinstance(cell, str) else _text(cell[0], glyphs, cell[1])


def _text(text: str, glyphs: Glyphs, style: str = "") -> Text:
    from rich.text import Text

    # Text and not a string: a value such as "[red]" is no markup.
    return Text(glyphs.clean(text), style=style, overflow="fold")
