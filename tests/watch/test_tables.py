"""What the reading verbs show, as data and drawn: all of them alike, and where a study stands."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from plays import AsciiStream, Play, drawn, new_spec
from rich.cells import cell_len
from rich.console import Console

from sweep.core import events as ev
from sweep.core.spec import Budget, Price, Resources, Scheduler, Search
from sweep.store.paths import StudyPaths
from sweep.watch.outlooks import outlook_text
from sweep.watch.summary import summary
from sweep.watch.tables import (
    best,
    state_word,
    status,
    studies_table,
    study_row,
    trial_story,
    trials_csv,
    trials_table,
)  # fmt: skip


def views(study, paths):
    return {
        "ls": studies_table([study_row(study, paths)]),
        "status": status(study, paths),
        "trials": trials_table(study),
        "best": best(study, paths),
        "story": trial_story(study, paths, 0),
        "summary": summary(study, paths),
    }


@pytest.mark.parametrize("name", ["ls", "status", "trials", "best", "story", "summary"])
def test_no_line_is_wider_than_the_console(finished, paths, size, name):
    view = views(finished, paths)[name]
    assert max(map(cell_len, drawn(view, size))) <= size[0]
    assert json.loads(view.json()) == view.data


@pytest.mark.parametrize("name", ["ls", "status", "trials", "best", "story", "summary"])
def test_ascii_consoles_get_ascii_without_escape_codes(finished, paths, name, ascii_stream: AsciiStream):
    Console(file=ascii_stream, width=80, no_color=True, _environ={}).print(views(finished, paths)[name])
    assert "\x1b" not in ascii_stream.text()


def test_state_words(spec):
    study = Play(spec)
    assert state_word(study.machine, live=False) == "interrupted"
    study.begin()
    study.step()
    assert state_word(study.machine, live=True) == "running"
    assert state_word(study.machine, live=False) == "interrupted"
    study.handle(ev.StopRequested(time=study.now, reason="SIGINT"))
    study.report(0)
    assert state_word(study.machine, live=False) == "interrupted"
    study.begin()
    assert state_word(study.to_the_end().machine, live=False) == "complete"


def test_status_tells_where_the_study_stands(finished, paths):
    data = status(finished, paths).data
    counts = {state.value: count for state, count in finished.counts().items()}
    assert data["trials"] == counts
    assert data["state"] == "complete"
    assert data["budget"]["trials"] == {"limit": 12, "used": 12, "left": 0}
    assert data["best"]["trial"] == finished.best.number
    first, *_, last = data["rungs"]
    assert first["t"] == 1
    assert first["reached"] == first["advanced"] + first["stopped"]
    assert last["t"] == 9
    (failure,) = data["failures"]
    assert failure["reason"] == "ValueError: no [bold]luck[/bold] ✗"
    assert len(failure["trials"]) == counts["failed"]
    assert failure["log"] == str(paths.trial(failure["trials"][0]).attempt_log(1))
    text = "\n".join(drawn(status(finished, paths)))
    assert "12 of 12, 0 left" in text
    assert "[bold]luck[/bold]" in text


def test_status_knows_time_gpu_hours_and_the_dashboard(paths):
    play = Play(new_spec(budget=Budget(time="10m", gpu_hours=1)))
    play.begin(dashboard="http://127.0.0.1:8265")
    for _ in range(20):
        play.step()
    data = status(play.machine, paths, live=True).data
    assert data["budget"]["time_s"]["left"] == 600 - play.machine.elapsed_s
    attempts = [attempt for trial in play.machine.trials.values() for attempt in trial.attempts]
    seconds = sum((attempt.ended or play.now) - attempt.started for attempt in attempts)
    assert data["budget"]["gpu_hours"]["used"] == pytest.approx(seconds * 0.25 / 3600)
    assert data["dashboard"] == "http://127.0.0.1:8265"
    assert data["slots"] == 3


def test_a_live_studys_time_counts_up_to_now_and_a_dead_ones_to_its_last_event(paths):
    play = Play(new_spec(budget=Budget(time="10m")))
    play.begin()
    play.step()
    at_the_event = play.machine.elapsed_s
    assert status(play.machine, paths, now=play.now + 100).data["elapsed_s"] == at_the_event
    data = status(play.machine, paths, live=True, now=play.now + 100).data
    assert data["elapsed_s"] == at_the_event + 100
    assert data["budget"]["time_s"]["left"] == 600 - data["elapsed_s"]


def test_cost_is_told_where_machines_have_a_price_and_beside_its_limit_where_there_is_one(paths):
    rates = ev.Rates(machines=3.6)
    for limit in (None, 20.0):
        study = new_spec(budget=Budget(trials=2, cost=limit), resources=Resources(price=Price(node_hour=3.6)))
        play = Play(study)
        play.begin(rates=rates)
        play.to_the_end()
        paid = play.machine.elapsed_s / 1000
        view = status(play.machine, paths)
        assert view.data["cost"] == pytest.approx(paid)
        assert summary(play.machine, paths).data["cost"] == pytest.approx(paid)
        lines = [line for line in drawn(view, (120, 60)) if line.startswith(("cost", "budget cost"))]
        assert len(lines) == 1
        assert ("of 20" in lines[0]) == (limit is not None)
    assert status(Play(new_spec()).to_the_end().machine, paths).data["cost"] is None


@pytest.mark.parametrize("soft_wrap", [True, False])
def test_no_path_is_cut(finished, soft_wrap):
    """In one piece where the terminal goes on by itself in its next row, else folded."""
    folder = Path("/home/somebody/" + "a-folder-with-a-long-name/" * 5 + "studies/toy")
    out = io.StringIO()
    console = Console(file=out, width=60, legacy_windows=False, soft_wrap=soft_wrap, _environ={})
    for view in (summary(finished, StudyPaths(folder)), status(finished, StudyPaths(folder))):
        console.print(view)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert (str(folder) in "\n".join(lines)) is soft_wrap
    assert (f"sweep tensorboard toy --storage {folder.parent}" in lines) is soft_wrap
    assert str(folder) in "".join(lines)
    assert soft_wrap or max(map(len, lines)) <= 60
    assert out.getvalue() == "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def test_a_rungs_best_is_the_value_reported_there():
    play = Play(new_spec(budget=Budget(trials=1)), slots=1)
    play.begin()
    play.step()
    for value in (0.9, 0.1, 0.7, 0.2, 0.6, 0.5, 0.4, 0.3, 0.8):
        play.report(0, value)
    rows = status(play.machine, StudyPaths(Path("nowhere"))).data["rungs"]
    assert [(row["t"], row["best"]) for row in rows] == [(1, 0.9), (3, 0.7), (9, 0.8)]


def test_a_study_that_nobody_works_on_has_no_running_trials(spec, paths):
    play = Play(spec)
    play.begin()
    play.step()
    play.report(0, 0.5)
    views = [
        status(play.machine, paths), summary(play.machine, paths), trials_table(play.machine),
        trial_story(play.machine, paths, 0), best(play.machine, paths), studies_table([study_row(play.machine, paths)]),
    ]  # fmt: skip
    for view in views:
        assert "running" not in "\n".join(drawn(view)) + json.dumps(view.data).replace('"running": 0', "")
    data = status(play.machine, paths).data
    assert (data["trials"]["waiting"], data["attempts"]) == (3, {"lost": 1})
    assert "3 waiting to go on" in "\n".join(drawn(status(play.machine, paths)))
    assert len(trials_table(play.machine, filters=["state=waiting"]).data) == 3
    assert "state,waiting" not in trials_csv(play.machine, columns=["state"], live=True)
    live = status(play.machine, paths, live=True)
    assert live.data["trials"]["running"] == 1
    assert "1 running" in "\n".join(drawn(live))
    assert trial_story(play.machine, paths, 0, live=True).data["attempts"][0]["outcome"] == "running"


def test_counts_of_one_are_singular(spec):
    study = Play(new_spec(budget=Budget(trials=1))).to_the_end().machine
    assert study.ended.reason == "budget.trials is used up: 1 trial"


def test_status_of_a_study_with_repeats_names_its_finalists_and_what_more_would_buy(paths):
    study = new_spec(
        budget=Budget(trials=24),
        scheduler=Scheduler(type="none", max_t=1),
        search=Search(algorithm="random", repeats=2),
    )
    play = Play(study).to_the_end()
    view = status(play.machine, paths)
    finalists = view.data["repeats"]["finalists"]
    assert [each["trial"] for each in finalists] == [trial.number for trial in play.machine.ranked()[:3]]
    assert view.data["outlook"]["trials"] == 24
    text = "\n".join(drawn(view, (120, 60)))
    assert f"trial {finalists[0]['trial']}: mean" in text
    assert view.data["rungs"][0]["reached"] == 24, "repeats are at no rung"
    assert "over 2 other seeds, spread" in text
    assert "24 more trials would likely improve val_loss by" in text
    row = study_row(play.machine, paths)
    assert (row["trials"], row["repeats"]) == (30, 6)
    assert "24 of 24 + 6" in "\n".join(drawn(studies_table([row])))


def test_study_that_is_paused_is_called_so_only_while_somebody_is_at_work(paths):
    play = Play(new_spec())
    play.begin()
    request = ev.Request(id="1", time=play.now, verb="pause")
    play.handle(ev.Controlled(time=play.now, request=request, accepted=True, answer="no trial is started"))
    assert status(play.machine, paths, live=True).data["state"] == "paused"
    assert status(play.machine, paths, live=False).data["state"] == "interrupted"


def test_words_for_prospects():
    data = {"trials": 36, "gain": 0.002, "low": 0.0, "high": 0.0061234, "sure": 0.9}
    text = "36 more trials would likely improve val_loss by 0.002 (90 %: 0 to 0.006123)"
    assert outlook_text("val_loss", data) == text
    assert outlook_text("val_loss", {**data, "high": 0.0}) == "36 more trials would hardly improve val_loss"
