"""The report as a page, as Markdown and as JSON; two studies side by side."""

import json
import re
import shutil
from pathlib import Path

import pytest
from plays import Play, new_spec
from written import written

from sweep.core.spec import Budget, Metric, Scheduler
from sweep.watch.report.comparison import compare, comparison_figures, comparison_view
from sweep.watch.report.facts import facts
from sweep.watch.report.figures import figures
from sweep.watch.report.markdown import markdown
from sweep.watch.report.page import comparison_page, page, safe_json

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def stored_study(folder, trials=40, slots=3, seed=0, **changes):
    play = Play(new_spec(budget=Budget(trials=trials), **changes), slots=slots, seed=seed)
    return written(play.to_the_end(fail_each=50), folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    stored = stored_study(tmp_path_factory.mktemp("studies"))
    log = stored.paths.trial(0).attempt_log(1)
    for trial in stored.machine.trials.values():
        log = stored.paths.trial(trial.number).attempt_log(1)
        log.parent.mkdir(parents=True)
        log.write_text("last words </script><b>bold</b> | ``` done\n")
    return facts(stored, live=False)


def test_every_figure_is_one_that_plotly_takes(found):
    import plotly.graph_objects as go

    drawn = figures(found.subject)
    assert [each.name for each in drawn] == [
        "history", "curves", "survival", "importance", "parallel", "slices", "timeline",
    ]  # fmt: skip
    for each in drawn:
        # Names of CSS variables are no colours to plotly, so any will do.
        coloured = re.sub(r'"--[a-z-]+"', '"red"', json.dumps(each.plain()))
        figure = json.loads(coloured)
        go.Figure(data=figure["data"], layout=figure["layout"])


def test_where_no_trial_came_to_a_rung_no_empty_picture_stands(tmp_path):
    play = Play(new_spec(budget=Budget(trials=40)))
    play.begin()
    play.step()
    play.step("failed")
    drawn = figures(facts(written(play, tmp_path), live=True).subject)
    assert not {"survival", "history", "curves"} & {each.name for each in drawn}


def test_several_objectives_have_a_front(tmp_path):
    metrics = [Metric(name="val_loss", goal="minimize"), Metric(name="accuracy", goal="maximize")]
    stored = stored_study(tmp_path, metric=metrics)
    drawn = {each.name: each for each in figures(facts(stored, live=False).subject)}
    front = next(trace for trace in drawn["front"].data if trace["name"] == "front")
    assert sorted(front["customdata"]) == sorted(trial.number for trial in stored.machine.front())


def test_every_colour_of_a_figure_is_one_of_the_page(found):
    css = (Path(__file__).parents[2] / "sweep/watch/report/page/report.css").read_text()
    for dress in (css[: css.index('data-dress="dark"')], css[css.index('data-dress="dark"') :]):
        known = set(re.findall(r"(--[a-z-]+):", dress))
        used = set(re.findall(r'"(--[a-z-]+)"', json.dumps([each.plain() for each in figures(found.subject)])))
        assert used <= known


def test_the_page_needs_nothing_else_and_lets_no_text_out_of_its_place(found):
    text = page(found)
    assert len(text) < 5_000_000
    head = text[: text.index('id="plotly"')]
    assert "http://" not in head.replace("http://www.w3.org", "")
    assert "https://" not in head
    assert "</script><b>bold" not in text
    assert "last words &lt;/script&gt;" in text
    assert "no [bold]luck[/bold]" in text


def test_json_in_a_script_element_cannot_end_it():
    value = {"a": "</script><!-- &"}
    assert "<" not in safe_json(value)
    assert json.loads(safe_json(value)) == value


def test_markdown_keeps_its_tables_whole(found):
    text = markdown(found)
    for line in text.splitlines():
        if line.startswith("|"):
            assert re.search(r"(?<!\\)\|$", line)
    assert "````\nlast words </script><b>bold</b> | ``` done\n````" in text
    assert f"Trial {found.study.best.number} has the best val_loss" in text


def test_json_has_what_the_page_says(found):
    data = found.plain()
    json.dumps(data, allow_nan=False)
    assert data["story"] == found.story
    assert data["hours"]["by_fate"] == found.subject.occupancy.hours
    assert data["importance"]["parameters"].keys() == {"lr", "optimizer", "mixed"}


def test_a_study_that_has_hardly_begun_has_a_page(tmp_path):
    play = Play(new_spec())
    play.begin()
    assert "No trial has reported" in page(facts(written(play, tmp_path), live=True))


# Two


def test_the_better_of_two_is_named_with_when_it_had_the_other_s_value(tmp_path):
    first = stored_study(tmp_path / "a", trials=10, name="short")
    second = stored_study(tmp_path / "b", trials=80, name="long")
    found = compare(first, second, live=(False, False))
    best = [each.machine.best.value(each.machine.metric) for each in (first, second)]
    winner = "long" if best[1] < best[0] else "short"
    assert found.verdict[0].startswith(f"{winner} is better: val_loss {min(best):.4g}")
    assert "best value after" in found.verdict[1]
    assert found.changes == ["budget.trials: 10 -> 80"]
    data = comparison_view(found).data
    assert {row["name"]: (row["short"], row["long"]) for row in data["facts"]}["trials"] == ("10", "80")


def test_studies_with_other_objectives_are_not_ranked(tmp_path):
    first = stored_study(tmp_path / "a", name="loss")
    second = stored_study(tmp_path / "b", name="accuracy", metric=Metric(name="accuracy", goal="maximize"))
    found = compare(first, second, live=(False, False))
    assert found.verdict == ["loss minimizes val_loss and accuracy maximizes accuracy: their values can't be compared."]


def test_the_page_of_two_has_both(tmp_path):
    first = stored_study(tmp_path / "a", name="one")
    second = stored_study(tmp_path / "b", name="two", seed=1, scheduler=Scheduler(type="none", max_t=3))
    found = compare(first, second, live=(False, False))
    assert [each.name for each in comparison_figures(found)] == ["work", "values", "hours"]
    text = comparison_page(found)
    assert "one and two" in text
    assert "scheduler.type: asha -&gt; none" in text


# In a browser


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.parametrize("dress", ["light", "dark"])
def test_a_browser_draws_every_figure_offline(found, tmp_path, dress):
    from playwright.sync_api import sync_playwright

    file = tmp_path / "report.html"
    file.write_text(page(found))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]
        )
        window = browser.new_page(color_scheme=dress)
        window.context.set_offline(True)
        problems = []
        window.on("pageerror", lambda error: problems.append(str(error)))
        window.goto(file.as_uri())
        window.wait_for_selector("body[data-drawn=all]")
        assert problems == []
        assert window.locator(".figure .main-svg").count() >= len(figures(found.subject))
        assert window.evaluate("document.documentElement.dataset.dress") == dress
        # Colours come from the page: none is left as a name.
        assert "--complete" not in window.locator("#figure-history").inner_html()
        window.click("#dress")
        assert window.evaluate("document.documentElement.dataset.dress") != dress
        browser.close()
