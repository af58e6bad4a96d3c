"""One picture of a running study: lines that fit a terminal's width, sections that share its height."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from sweep.core.plan import Plan
from sweep.core.space import varying
from sweep.store.paths import StudyPaths
from sweep.watch.tails import Tails, alike, brief
from sweep.watch.tally import Failure, Running, Tally
from sweep.watch.text import Glyphs, counted, duration, measured, number, shown

DECISIONS = 5
_PARAMETER_WIDTH = 10
_OTHER_COLUMNS_WIDTH = 47
_SPARK_WIDTH = 8
_BAR_WIDTH = 24
_FAILURES_AT_THE_END = 10

Cell = tuple[str, str]
"""A text and its style."""


@dataclass(frozen=True)
class Canvas:
    """Where a frame is drawn.

    Attributes:
        width: columns.
        height: rows; None for as many as it takes.
    """

    glyphs: Glyphs
    width: int
    height: int | None = None

    def cut(self, text: str, width: int) -> str:
        """The text in at most `width` columns."""
        if cell_len(text) <= width:
            return text
        mark = self.glyphs.ellipsis[: max(0, width)]
        return set_cell_size(text, max(0, width - len(mark))) + mark

    def line(self, *cells: Cell) -> Text:
        """One line, cut at the right edge."""
        text, room = Text(no_wrap=True), self.width
        for content, style in cells:
            piece = self.cut(self.glyphs.clean(content), room)
            text.append(piece, style)
            room -= cell_len(piece)
        return text

    def rule(self, title: str) -> Text:
        """A section's head."""
        rest = max(0, self.width - len(title) - 4)
        return self.line((f"{self.glyphs.line * 2} {title} {self.glyphs.line * rest}", "dim"))

    def columns(self, rows: Sequence[Sequence[Cell]], justify: str, caps: Sequence[int]) -> list[Text]:
        """Rows with aligned columns, two spaces between.

        Args:
            rows: of equal length.
            justify: "l" or "r" for each column.
            caps: the most that each column may take.
        """
        cleaned = [[(self.glyphs.clean(text), style) for text, style in row] for row in rows]
        widths = [min(cap, max(cell_len(row[i][0]) for row in cleaned)) for i, cap in enumerate(caps)]
        lines = []
        for row in cleaned:
            cells: list[Cell] = []
            for (text, style), side, width in zip(row, justify, widths, strict=True):
                piece = self.cut(text, width)
                pad = " " * (width - cell_len(piece))
                cells += [(pad + piece if side == "r" else piece + pad, style), ("  ", "")]
            lines.append(self.line(*cells[:-1]))
        return lines


@dataclass(frozen=True)
class Section:
    """A head and units of a few lines, of which the first ones are shown when there isn't room for all."""

    head: Text
    units: list[list[Text]]
    more: str = ""


def frame(tally: Tally, plan: Plan, canvas: Canvas, now: float, tails: Tails | None = None) -> Group:
    """The study as it stands.

    Args:
        tally: what is shown.
        plan: the budget.
        canvas: where.
        now: seconds since 1970.
        tails: of the study's logs; without them logs are named from the study's folder.
    """
    tails = tails or Tails(StudyPaths(Path()))
    head = header(tally, plan, canvas, now)
    if tally.ended is not None:
        sections = [rungs(tally, canvas), failures(tally, canvas, tails, _FAILURES_AT_THE_END)]
    else:
        sections = [
            running(tally, canvas, now),
            failures(tally, canvas, tails, 2),
            rungs(tally, canvas),
            decisions(tally, canvas),
        ]
    return Group(*head, *_fitted([each for each in sections if each.units], canvas, len(head)))


# The head


def header(tally: Tally, plan: Plan, canvas: Canvas, now: float) -> list[Text]:
    """What the study is, how far it has come and how good it is."""
    dot = (f"  {canvas.glyphs.dot}  ", "dim")
    first: list[Cell] = [(tally.spec.name, "bold"), dot, _state(tally), dot, (duration(tally.elapsed_s(now)), "")]
    left = tally.time_left(now)
    if left is not None:
        first += [dot, (f"{'about' if left.guessed else 'at most'} {duration(left.seconds)} left", "")]
    lines = [canvas.line(*first), _best(tally, canvas), canvas.line((_budget(tally, now), ""))]
    reason = tally.ended.reason if tally.ended else tally.ending.reason if tally.ending else None
    if reason is not None:
        lines.append(canvas.line((reason, "dim")))
    if tally.slots and tally.ended is None:
        # The plan's share is what the file asks for; only on a GPU is it what trials have.
        on_gpu = any(row.device.startswith("cuda") for row in tally.running.values())
        share = f", {plan.gpu:g} GPU each" if plan.gpu and on_gpu else ""
        starting = f", {tally.starting} starting" if tally.starting else ""
        cells = [(f"{len(tally.running)} of {tally.slots} slots busy{share}{starting}", "")]
        lines.append(canvas.line(*cells, *([dot, (tally.dashboard, "dim")] if tally.dashboard else [])))
    return lines


def _state(tally: Tally) -> Cell:
    if tally.ended is not None:
        return ("complete", "green") if tally.ended.complete else ("interrupted", "yellow")
    if tally.paused:
        return ("paused", "yellow")
    if tally.ending is None:
        return ("running", "")
    return ("running to the end", "") if tally.ending.kind == "drain" else ("stopping", "yellow")


def _best(tally: Tally, canvas: Canvas) -> Text:
    best, time_attr = tally.best, tally.spec.scheduler.time_attr
    if best is None:
        return canvas.line(("best ", "dim"), (f"no {tally.metric.name} yet", "dim"))
    others = measured(tally.metric.names[1:], best.metrics)
    return canvas.line(
        ("best ", "dim"),
        (f"{tally.metric.name} ", ""),
        (number(best.value), "bold green"),
        (f", {others}" if others else "", ""),
        (f"  trial {best.trial} at {time_attr} {best.t}", ""),
    )


def _budget(tally: Tally, now: float) -> str:
    trials = (
        counted(tally.proposed, "trial")
        if tally.trial_limit is None
        else f"{tally.proposed} of {counted(tally.trial_limit, 'trial')}"
    )
    repeats = tally.created - tally.proposed
    trials += f" and {counted(repeats, 'repeat')}" if repeats else ""
    counts = {state.value: count for state, count in tally.counts.items()}
    counts["waiting"] -= tally.starting
    states = ", ".join(f"{count} {word}" for word, count in {"starting": tally.starting, **counts}.items() if count)
    text = trials + (f": {states}" if states else "")
    if tally.time_limit_s is not None:
        text += f"; {duration(tally.elapsed_s(now))} of {duration(tally.time_limit_s)}"
    return text


# Sections


def running(tally: Tally, canvas: Canvas, now: float) -> Section:
    """The trials at work, those that have been so the longest first."""
    spec = tally.spec
    # What is the same in every trial needs no column; what spans magnitudes tells most.
    varied = varying(spec)
    by_span = sorted(varied, key=lambda name: not getattr(varied[name], "log", False))
    room = canvas.width - _OTHER_COLUMNS_WIDTH
    more: list[_More] = []
    for each in _more_columns(spec.scheduler.time_attr, tally):
        # Two parameters come before them.
        if room - each.width - 2 >= 2 * (_PARAMETER_WIDTH + 2):
            more.append(each)
            room -= each.width + 2
    names = by_span[: max(1, room // (_PARAMETER_WIDTH + 2))]
    head = ["trial", *names, spec.scheduler.time_attr, tally.metric.name, "", "time", *(each.name for each in more)]
    rows: list[list[Cell]] = [[(name, "dim") for name in head]]
    for row in sorted(tally.running.values(), key=lambda each: each.number):
        best = tally.best is not None and tally.best.trial == row.number
        rows.append([
            (str(row.number), "bold" if best else ""),
            *((shown(row.config[name]) if name in row.config else "-", "") for name in names),
            (f"{row.t}/{spec.scheduler.max_t}", ""),
            (number(row.value), "green" if best else ""),
            (canvas.glyphs.sparkline(list(row.curve), _SPARK_WIDTH), "dim"),
            (duration(now - row.started), ""),
            *((each.cell(row), "dim") for each in more),
        ])  # fmt: skip
    justify = "r" + "l" * len(names) + "rrlr" + "".join(each.side for each in more)
    caps = [5, *[_PARAMETER_WIDTH] * len(names), 11, 12, _SPARK_WIDTH, 7, *(each.width for each in more)]
    lines = canvas.columns(rows, justify, caps)
    if not tally.running:
        # Between two trials: without a line here all below it would jump up and down.
        told = f"{tally.starting} starting" if tally.starting else "none at work just now"
        lines.append(canvas.line((f"    -  {told}", "dim")))
    if tally.delay:
        lines.append(canvas.line((f"    -  can't begin: {tally.delay}", "yellow")))
    return Section(lines[0], [[line] for line in lines[1:]], "running")


@dataclass(frozen=True)
class _More:
    """A column of the trials at work that only a wide terminal has room for."""

    name: str
    width: int
    side: str
    cell: Callable[[Running], str]


def _more_columns(time_attr: str, tally: Tally) -> list[_More]:
    """Those that have something to say, the most wanted first."""
    found = [
        _More("where", 16, "l", lambda row: " ".join(part for part in (row.node, row.device) if part)),
        _More(f"s/{time_attr}", 8, "r", lambda row: number(row.step_s)),
    ]
    rows = tally.running.values()
    if any(row.gpu for row in rows):
        found.insert(1, _More("gpu", 5, "r", lambda row: f"{row.gpu:g}" if row.gpu else ""))
    if any("gpu_memory_gib" in row.metrics for row in rows):
        found.insert(2, _More("memory", 8, "r", _memory))
    return found


def _memory(row: Running) -> str:
    held = row.metrics.get("gpu_memory_gib")
    return f"{held:.1f}GiB" if held is not None else ""


def rungs(tally: Tally, canvas: Canvas) -> Section:
    """How many trials have reached each rung, and the best there."""
    most = max((rung.reached for rung in tally.rungs), default=0) or 1
    rows: list[list[Cell]] = []
    for rung in tally.rungs:
        size = -(-rung.reached * _BAR_WIDTH // most)
        rows.append([
            (f"{tally.spec.scheduler.time_attr} {rung.t}", "" if rung.reached else "dim"),
            (str(rung.reached) if rung.reached else "", ""),
            (canvas.glyphs.bar * size, "cyan"),
            ("" if rung.best is None else f"best {number(rung.best)}", ""),
        ])  # fmt: skip
    return Section(canvas.rule("reached"), [[line] for line in canvas.columns(rows, "rrll", [20, 6, _BAR_WIDTH, 18])])


def decisions(tally: Tally, canvas: Canvas) -> Section:
    """The last decisions and why, the newest first."""
    time_attr = tally.spec.scheduler.time_attr
    recent = list(tally.decisions)[: -DECISIONS - 1 : -1]
    styles = {"advance": "", "finish": "green", "stop": "dim", "pause": "dim", "move": "yellow"}
    rows: list[list[Cell]] = [
        [
            (f"trial {each.trial}", ""),
            (f"{time_attr} {each.t}", "dim"),
            (each.action, styles[each.action]),
            (each.reason, styles[each.action]),
        ]
        for each in recent
    ]
    lines = canvas.columns(rows, "rrll", [12, 20, 8, canvas.width]) if rows else []
    return Section(canvas.rule("decisions"), [[line] for line in lines])


def failures(tally: Tally, canvas: Canvas, tails: Tails, most: int) -> Section:
    """The last failures, how their logs end and where to read more, the newest first."""
    units: list[list[Text]] = []
    told: set[str] = set()
    for failure in list(tally.failures)[: -most - 1 : -1]:
        log, tail = tails.of(failure.trial, failure.attempt)
        units.append(_failure(failure, canvas, log))
        # One that failed like another ended like it.
        said = brief(tail, failure.reason) if alike(failure.reason) not in told else []
        told.add(alike(failure.reason))
        if said:
            units.append([canvas.line(("       ", ""), (line, "dim")) for line in said])
    return Section(canvas.rule("failures"), units)


def _failure(failure: Failure, canvas: Canvas, log: str) -> list[Text]:
    again = "" if failure.final else "  (tried again)"
    room = max(10, canvas.width - 7 - len(again))
    return [
        canvas.line(
            (f"{failure.trial:>5}  ", ""),
            (canvas.cut(canvas.glyphs.clean(failure.reason), room), "red"),
            (again, "dim"),
        ),
        canvas.line(("       ", ""), (_short_path(log, canvas), "dim")),
    ]


def _short_path(path: str, canvas: Canvas) -> str:
    """A path's end, which tells more than its beginning."""
    room = canvas.width - 7
    clean = canvas.glyphs.clean(path)
    if cell_len(clean) <= room:
        return clean
    return canvas.glyphs.ellipsis + clean[-(room - len(canvas.glyphs.ellipsis)) :]


# Height


def _fitted(sections: list[Section], canvas: Canvas, used: int) -> list[Text]:
    """As many units of each section as the height allows, dealt out one a section in turn; earlier sections first."""
    counts = [0] * len(sections)
    room = float("inf") if canvas.height is None else canvas.height - used
    open_ones = set(range(len(sections)))
    while open_ones:
        for index in sorted(open_ones):
            section, shown_units = sections[index], counts[index]
            if shown_units == len(section.units):
                open_ones.discard(index)
                continue
            # The first unit brings the section's head with it.
            cost = len(section.units[shown_units]) + (shown_units == 0)
            if cost > room:
                open_ones.discard(index)
                continue
            room -= cost
            counts[index] += 1
    lines: list[Text] = []
    for section, count in zip(sections, counts, strict=True):
        if count:
            lines += [section.head, *_shown(section, count, canvas)]
    return lines


def _shown(section: Section, count: int, canvas: Canvas) -> list[Text]:
    lines = [line for unit in section.units[:count] for line in unit]
    hidden = len(section.units) - count
    if section.more and hidden:
        lines[-1] = canvas.line((f"{'':5}  and {hidden + 1} more {section.more}", "dim"))
    return lines
