"""What the live pages and their streams answer."""

import html
import importlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from plays import Play, new_spec
from uis import Caller, serving
from written import written

from sweep.cli.web import _ask
from sweep.core import events as ev
from sweep.core.spec import Budget, Choice
from sweep.errors import StorageError
from sweep.store import events
from sweep.watch.report.drawing import Figure
from sweep.watch.ui import assets
from sweep.watch.ui.serving import opened

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def append(paths, *more):
    with paths.events.open("ab") as file:
        file.writelines(events.encode(event) for event in more)


@pytest.fixture
def call(tmp_path):
    with serving(tmp_path, _ask) as served:
        yield Caller(served)


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# All studies


def test_studies_come_latest_activity_first_and_damaged_ones_among_them(tmp_path, call):
    for place, name in enumerate(["old", "new", "broken"]):
        paths = written(Play(new_spec(name=name)).to_the_end(), tmp_path).paths
        if name == "broken":
            append(paths, ev.Reported(time=0, trial=99, attempt=1, metrics={}))
        os.utime(paths.events, (1_700_000_000 + place, 1_700_000_000 + place))
    rows = call.json("/api/studies")["studies"]
    assert [row["name"] for row in rows] == ["broken", "new", "old"]
    assert [row["state"] for row in rows] == ["damaged", "complete", "complete"]
    assert "can't have happened" in rows[0]["reason"]
    assert rows[1]["trials"] == 12
    status, _, text = call("/studies/broken")
    assert status == 200
    assert "can't have happened" in data_of(text)["first"]["state"]["problem"]


def test_the_list_tells_of_a_new_study_and_of_one_that_is_gone(tmp_path, call):
    with call.stream("/api/studies.stream") as told:
        assert next(told) == ("message", {"studies": [], "problem": ""})
        stored = written(Play(new_spec()).to_the_end(), tmp_path)
        row = next(row for _, data in told for row in data["studies"] if row["state"] != "reading")
        assert (row["name"], row["best_trial"]) == ("toy", stored.machine.best.number)
        stored.paths.root.rename(tmp_path / ".away")
        assert next(data["studies"] for _, data in told if not data["studies"]) == []


@pytest.mark.parametrize("name", ["nope", "..", "%2e%2e", ".", "toy%2F..%2Ftoy", "..%2Fsecret", "%00"])
def test_a_name_is_a_study_s_and_never_a_path(tmp_path, call, name):
    written(Play(new_spec()).to_the_end(), tmp_path / "secret")
    written(Play(new_spec()).to_the_end(), tmp_path)
    assert call(f"/api/studies/{name}")[0] in (404, 405)
    assert call(f"/studies/{name}/trials/0")[0] == 404


def test_an_unknown_study_or_trial_is_told_in_words(tmp_path, call):
    written(Play(new_spec()).to_the_end(), tmp_path)
    status, _, text = call("/studies/tay")
    assert status == 404
    assert "Did you mean toy?" in html.unescape(text)
    assert "Its trials are 0 to 11." in call("/studies/toy/trials/99")[2]
    assert json.loads(call("/api/studies/tay")[2])["problem"].startswith("no study 'tay'")


# One study


def test_a_page_brings_its_data_and_the_stream_only_what_comes_after(tmp_path, call):
    play = Play(new_spec())
    play.begin()
    for _ in range(8):
        play.step()
    paths = written(play, tmp_path).paths
    first = data_of(call("/studies/toy")[2])["first"]
    assert len(first["rows"]) == len(play.machine.trials)
    with call.stream(f"/api/studies/toy/stream?mark={first['mark']}") as told:
        before = len(play.events)
        play.report(next(iter(play._running)), 0.001)
        append(paths, *play.events[before:])
        _, change = next(told)
    assert change["revision"] == first["revision"] + 1
    assert 0 < len(change["rows"]) < len(first["rows"])
    assert change["state"]["best"]["value"] == 0.001
    assert "columns" not in change


def test_a_stream_goes_on_where_the_browser_was_cut_off(tmp_path, call):
    written(Play(new_spec()).to_the_end(), tmp_path)
    with call.stream("/api/studies/toy/stream") as told:
        _, whole = next(told)
    assert len(whole["rows"]) == 12
    assert whole["columns"][0] == {"title": "trial", "kind": "trial"}


def test_a_thousand_trials_are_one_small_answer(tmp_path, call):
    written(Play(new_spec(budget=Budget(trials=1000)), slots=8).to_the_end(fail_each=97), tmp_path)
    text = call("/studies/toy")[2]
    while data_of(text)["first"] is None:
        text = call("/studies/toy")[2]
    assert len(data_of(text)["first"]["rows"]) == 1000
    assert len(text) < 250_000


def test_a_page_doesn_t_wait_for_a_study_that_is_long_to_read(tmp_path, call, monkeypatch):
    written(Play(new_spec(budget=Budget(trials=100))).to_the_end(), tmp_path)
    # By the table of modules: a test without the extra leaves the package without its parts as attributes.
    monkeypatch.setattr(importlib.import_module("sweep.watch.ui.app"), "PATIENCE_S", 0.0)
    assert data_of(call("/studies/toy")[2])["first"] is None
    with call.stream("/api/studies/toy/stream?mark=") as told:
        assert len(next(told)[1]["rows"]) == 100


def test_figures_come_by_kind_and_only_when_they_are_new(tmp_path, call):
    written(Play(new_spec(budget=Budget(trials=20))).to_the_end(), tmp_path)
    quick = call.json("/api/studies/toy/figures/quick")
    assert [figure["name"] for figure in quick["figures"]] == ["history", "curves", "survival", "timeline"]
    learned = call.json("/api/studies/toy/figures/learned")
    assert "importance" in [figure["name"] for figure in learned["figures"]]
    again = call.json(f"/api/studies/toy/figures/learned?have={learned['revision']}")
    assert "figures" not in again
    assert again["again_s"] >= 20
    assert call("/api/studies/toy/figures/all")[0] == 422


def test_failures_come_with_their_logs_ends(tmp_path, call):
    stored = written(Play(new_spec()).to_the_end(fail_each=7), tmp_path)
    failed = next(trial for trial in stored.machine.trials.values() if trial.state.value == "failed")
    log = stored.paths.trial(failed.number).attempt_log(len(failed.attempts))
    log.parent.mkdir(parents=True)
    log.write_text("one\nlast words\n")
    found = call.json("/api/studies/toy")["state"]["failures"]
    assert next(each for each in found if each["trial"] == failed.number)["tail"] == "one\nlast words"


# One trial


def test_a_trial_s_page_follows_its_story_and_its_log(tmp_path, call):
    play = Play(new_spec())
    play.begin()
    play.step()
    paths = written(play, tmp_path).paths
    log = paths.trial(0).attempt_log(1)
    log.parent.mkdir(parents=True)
    log.write_text(f"hello {EVIL}\n")
    with call.stream("/api/studies/toy/trials/0/stream") as told:
        event, story = next(told)
        assert event == "story"
        assert story["config"] == play.machine.trials[0].config
        assert next(told) == ("log", {"attempt": 1, "text": f"hello {EVIL}\n", "anew": True, "before": 0})
        with log.open("a") as file:
            file.write("more\n")
        assert next(told) == ("log", {"attempt": 1, "text": "more\n", "anew": False, "before": 0})
        before = len(play.events)
        play.report(0, 0.25)
        append(paths, *play.events[before:])
        event, story = next(told)
        assert (event, story["value"], story["is_best"]) == ("story", 0.25, True)
        assert story["figure"]["data"][-1]["y"] == [0.25]


# Control


def test_a_button_goes_the_way_of_the_verbs(tmp_path, call):
    play = Play(new_spec())
    play.begin()
    for _ in range(8):
        play.step()
    paths = written(play, tmp_path).paths
    found = call.json("/api/studies/toy/control", method="POST", body={"verb": "cancel"})
    assert found["accepted"]
    *_, told, _ = events.read(paths.events)
    assert (told.type, told.request.verb) == ("controlled", "cancel")
    assert told.answer == found["answer"]
    refused = call.json("/api/studies/toy/control", method="POST", body={"verb": "pause"})
    assert refused["accepted"] is False
    assert "has ended" in refused["answer"]


@pytest.mark.parametrize(
    "wish",
    [{}, {"verb": "extend"}, {"verb": "pause", "trial": 1}, {"verb": "stop", "trial": -1}, {"verb": "stop", "a": 1}],
)
def test_other_wishes_are_refused(tmp_path, call, wish):
    paths = written(Play(new_spec()).to_the_end(), tmp_path).paths
    assert call("/api/studies/toy/control", method="POST", body=wish)[0] == 422
    assert not paths.control.exists()


def test_a_study_that_can_t_be_asked_says_why(tmp_path):
    def ask(*_):
        raise StorageError("control.jsonl: can't be written (No space left on device).")

    written(Play(new_spec()).to_the_end(), tmp_path)
    with serving(tmp_path, ask) as served:
        status, _, text = Caller(served)("/api/studies/toy/control", method="POST", body={"verb": "stop"})
    assert status == 409
    assert "No space left" in json.loads(text)["answer"]


# Texts


def test_no_text_of_a_study_leaves_its_place_in_a_page(tmp_path, call):
    spec = new_spec(parameters={**new_spec().parameters, "optimizer": Choice(values=["adamw", EVIL])})
    play = Play(spec)
    play._config = lambda: {"lr": 1e-3, "optimizer": EVIL, "mixed": "a", "width": 64}
    written(play.to_the_end(fail_each=5), tmp_path)
    for path in ("/", "/studies/toy", "/studies/toy/trials/3"):
        text = call(path)[2]
        assert "<script>alert" not in text
        assert "<img" not in text
    assert EVIL in json.dumps(data_of(call("/studies/toy")[2])["first"]["rows"], ensure_ascii=False)
    status, _, text = call("/studies/%3Cimg%20src=x%3E")
    assert status == 404
    assert "<img" not in text


def test_a_figure_s_labels_are_no_markup():
    layout = {"title": "a<b>c", "xaxis": {"ticktext": ["<i>x</i>", "&lt;"]}}
    plain = Figure("f", "", "", [{"name": "<b>", "hovertemplate": "%{y}<br>"}], layout).plain()
    assert plain["layout"] == {"title": "a&lt;b>c", "xaxis": {"ticktext": ["&lt;i>x&lt;/i>", "&amp;lt;"]}}
    assert plain["data"] == [{"name": "&lt;b>", "hovertemplate": "%{y}<br>"}]


def test_scripts_of_pages_parse_no_markup_and_stand_in_no_attribute():
    texts = {name: content.decode() for name, content in assets.files().items() if name.endswith(".js")}
    assert len(texts) > 6
    for name, text in texts.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), name
    folder = resources.files("sweep.watch.ui").joinpath("page")
    for template in folder.iterdir():
        if template.name.endswith(".j2"):
            text = template.read_text()
            assert not re.search(r"\son\w+=|\sstyle=|javascript:|\| *safe", text), template.name


def test_pages_are_dark_before_their_script_where_that_is_preferred():
    css = assets.files()["report.css"].decode()
    preferred = css[css.index("@media (prefers-color-scheme: dark)") :]
    assert "--page: #0f1318" in preferred[:400]
    with pytest.raises(ValueError, match="no dark dress"):
        assets.with_dark_by_preference("body {}")


# The command


def test_the_address_is_opened_by_a_file_that_nobody_else_reads():
    seen = queue.Queue()
    with opened("http://127.0.0.1:1/?token=x", seen.put):
        path = Path(seen.get(timeout=20).removeprefix("file://"))
        assert path.stat().st_mode & 0o077 == 0
        assert "token=x" in path.read_text()
    assert not path.exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_command_with_a_page_still_open(tmp_path):
    written(Play(new_spec()).to_the_end(), tmp_path)
    # A shell's background jobs ignore Ctrl-C, and so does what they start, if it isn't told otherwise.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{heeding}; from sweep.cli.main import main; main()"
    command = [sys.executable, "-c", start, "ui", "--storage", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline())

    class Served:
        port = int(address[1])

    Served.address = address[0]

    call = Caller(Served)
    with call.stream("/api/studies/toy/stream") as told:
        next(told)
        call.json("/api/studies/toy/figures/quick")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert not list(told)
    _, err = process.communicate()
    assert "Traceback" not in err
