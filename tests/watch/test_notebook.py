"""A study in a notebook's output."""

import html
import json
import re
from importlib import resources

import pytest
from plays import Play, new_spec
from rich.text import Text
from written import written

from sweep.core import plan
from sweep.core.spec import Budget
from sweep.watch import notebook
from sweep.watch.report.facts import subject_of
from sweep.watch.tables import status


def text_of(picture):
    return html.unescape(re.sub("<[^>]+>", "", picture))


def test_the_last_picture_stays_and_says_how_it_ended(spec, paths):
    shown = []
    play = Play(spec)
    view = notebook.NotebookView(plan.make(spec, slots=3), paths, show=shown.append, clock=lambda: play.now)
    play._seen = view.event
    play.to_the_end(fail_each=7)
    view.close()
    view.close()
    assert "toy  ·  complete" in text_of(shown[-1])
    assert "no [bold]luck[/bold]" in text_of(shown[-1])
    assert len(shown) < len(play.events)


def test_a_view_that_saw_nothing_shows_nothing(spec, paths):
    shown = []
    notebook.NotebookView(plan.make(spec, slots=3), paths, show=shown.append).close()
    assert shown == []


def test_a_text_of_the_study_is_no_markup():
    assert "&lt;script&gt;" in notebook.as_html(Text("<script>"))


def test_plain_text_takes_the_page_s_colour(finished, paths):
    assert "color: #000000" not in notebook.as_html(status(finished, paths))


def light(colour):
    """Relative luminance, as WCAG 2 defines it."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", [(255, 255, 255), (17, 17, 17)], ids=["light", "dark"])
def test_colours_stand_out_from_light_pages_and_dark_ones(page):
    for colour in notebook.ON_ANY_PAGE[1:]:
        darker, lighter = sorted((light(colour), light(page)))
        assert (lighter + 0.05) / (darker + 0.05) > 3, colour
    assert "color: #cf4442" in notebook.as_html(Text("failed", style="red"))


def test_figures_are_plotly_s_in_colours_that_it_knows(tmp_path):
    stored = written(Play(new_spec(budget=Budget(trials=40))).to_the_end(), tmp_path)
    found = notebook.plotly_figures(subject_of(stored, live=False))
    assert set(notebook.SHOWN) <= set(found)
    for figure in found.values():
        assert '"--' not in json.dumps(figure.to_plotly_json(), default=str)


def test_no_notebook_here():
    assert not notebook.in_notebook()


def test_every_colour_of_the_page_has_one_here():
    css = resources.files("sweep.watch.report").joinpath("page", "report.css").read_text()
    light = css[: css.index('data-dress="dark"')]
    assert set(re.findall(r"(--[a-z-]+):", light)) <= set(notebook.colours())
