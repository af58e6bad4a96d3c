"""A study in a notebook: a live view while it runs, a table and plots afterwards, in HTML and Plotly's JSON."""

from __future__ import annotations

import html
import io
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sweep.core import events as ev
from sweep.core.plan import Plan
from sweep.core.study import StudyMachine
from sweep.store.paths import StudyPaths
from sweep.watch.frame import Canvas, frame
from sweep.watch.report.drawing import Figure
from sweep.watch.report.figures import figures
from sweep.watch.report.subject import Subject
from sweep.watch.tails import Tails
from sweep.watch.tally import Tally
from sweep.watch.text import glyphs_for
from sweep.watch.view import View

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure
    from rich.console import RenderableType

WIDTH = 110
"""Columns of the live view and of tables: what a notebook's cell has."""

REFRESH_S = 0.5

ON_ANY_PAGE = [
    (0, 0, 0), (207, 68, 66), (46, 139, 87), (158, 117, 8), (64, 120, 200), (168, 85, 170), (22, 137, 150),
    (128, 128, 128),
]  # fmt: skip
"""A terminal's black, red, green, yellow, blue, magenta, cyan and white, so that light and dark pages show them."""

TITLE = 56
"""Pixels that a figure's title takes."""

SHOWN = ("history", "curves", "importance")
"""Figures that a study shows of itself; `Study.figures()` has all."""


@cache
def colours() -> dict[str, str]:
    """The colours of the report's light dress, by the names that figures use."""
    css = resources.files("sweep.watch.report").joinpath("page", "report.css").read_text(encoding="utf-8")
    return dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", css[: css.index("}")]))


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return found is not None and hasattr(found, "kernel")


class NotebookView:
    """A watcher that keeps one picture of the study in the output of the cell that launched it.

    An event is only noted; a thread of its own draws. The last picture stays.

    Args:
        plan: of the study.
        paths: where logs lie.
        show: puts HTML into the output, in the place of what it put there before.
        clock: seconds since 1970.
    """

    def __init__(
        self, plan: Plan, paths: StudyPaths, *, show: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._plan, self._tails, self._show, self._clock = plan, Tails(paths), show, clock
        self._lock = threading.Lock()
        self._tally: Tally | None = None
        self._dirty, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._draw, name="sweep-notebook-view", daemon=True)

    def event(self, study: StudyMachine, event: ev.AnyEvent) -> None:
        """Note what happened; the first event opens the view."""
        with self._lock:
            opened = self._tally is None
            if self._tally is None:
                self._tally = Tally(study.spec, [rung.t for rung in self._plan.rungs])
            self._tally.take(study, event)
        self._dirty.set()
        if opened and not self._done.is_set():
            self._thread.start()

    def close(self) -> None:
        """Leave the last picture; harmless when called twice or before any event."""
        if self._done.is_set():
            return
        self._done.set()
        self._dirty.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._tally is not None:
            self._show(self._picture())

    def _picture(self) -> str:
        with self._lock:
            if self._tally is None:
                return ""
            canvas = Canvas(glyphs_for("utf-8"), WIDTH)
            return as_html(frame(self._tally, self._plan, canvas, self._clock(), self._tails))

    def _draw(self) -> None:
        while not self._done.is_set():
            self._dirty.wait()
            self._dirty.clear()
            if self._done.is_set():
                return
            self._show(self._picture())
            self._done.wait(REFRESH_S)


def cell_output() -> Callable[[str], None]:
    """Puts HTML into the output of the cell that runs now, each time in the place of the last."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    return lambda text: handle.update(HTML(text))


def as_html(what: RenderableType | View) -> str:
    """What a terminal would show, as HTML that takes the page's colours."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme

    # Rich would put into the notebook's output what it prints there, and again what is recorded.
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, force_jupyter=False)
    console.print(what)
    theme = TerminalTheme((255, 255, 255), (0, 0, 0), ON_ANY_PAGE)
    code = console.export_html(theme=theme, inline_styles=True, code_format="{code}")
    # Rich's colour for plain text is black, which a dark page hides.
    code = re.sub(r"color: #(?:000000|ffffff);? ?", "", code)
    style = "font-family: monospace; line-height: 1.3; white-space: pre; overflow-x: auto; background: none"
    return f'<pre style="{style}">{code}</pre>'


def show_study(name: str, state: View, drawn: Mapping[str, PlotlyFigure]) -> None:
    """Put a study into a cell's output: how it stands, and its most important figures."""
    from IPython.display import HTML, display

    display(HTML(f"<div><strong>{html.escape(name)}</strong>{as_html(state)}</div>"))
    for figure in SHOWN:
        if figure in drawn:
            display(drawn[figure])


def plotly_figures(subject: Subject) -> dict[str, PlotlyFigure]:
    """The report's figures as Plotly's own, by name, in light colours."""
    return {figure.name: _plotly(figure) for figure in figures(subject)}


def _plotly(figure: Figure) -> PlotlyFigure:
    from plotly.graph_objects import Figure as PlotlyFigure

    plain = figure.plain()
    layout = {"template": "plotly_white", "title": {"text": figure.title}, "height": 380, **plain["layout"]}
    # On the page a figure's title stands above it.
    layout["height"] += TITLE
    layout["margin"] = {"t": TITLE, "b": 56, **layout.get("margin", {})}
    return PlotlyFigure(data=_coloured(plain["data"]), layout=_coloured(layout))


def _coloured(value: Any) -> Any:
    """With colours in the place of the names that a page's style gives them."""
    if isinstance(value, str):
        return colours().get(value, value)
    if isinstance(value, dict):
        return {key: _coloured(each) for key, each in value.items()}
    if isinstance(value, list) and not (value and isinstance(value[0], int | float) and not isinstance(value[-1], str)):
        return [_coloured(each) for each in value]
    return value
