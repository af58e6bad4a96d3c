"""What the reading verbs say and in which order, on a real study."""

import io
import json
import os
import sys

import pytest
from cli_files import SPEC

from sweep.cli.options import console


def on_a_terminal(monkeypatch, columns):
    """Let what is captured pass for a terminal of this width that knows no colours."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.fixture
def study(launch):
    result = launch()
    assert result.code == 0, result
    return result


def test_ls_has_the_latest_activity_first(folder, study, launch, sweep):
    assert launch("toy.yaml", "--name", "zebra", "--trials", "1").code == 0
    assert launch("toy.yaml", "--name", "ant", "--trials", "1").code == 0
    for age, name in enumerate(["zebra", "toy", "ant"]):
        os.utime(folder / f"studies/{name}/events.jsonl", (1_000_000 - age, 1_000_000 - age))
    names = [line.split()[0] for line in sweep("ls").out.splitlines()[1:]]
    assert names == ["zebra", "toy", "ant"]


def test_logs_of_a_trial_that_printed_nothing_say_so(folder, study, sweep):
    log = folder / "studies/toy/trials/0003/attempt-1.log"
    for make in (log.unlink, log.touch):
        make()
        for more in ([], ["--follow"]):
            result = sweep("logs", "toy", "3", *more)
            assert (result.code, result.out, result.err) == (0, "", "trial 3, attempt 1 printed nothing\n")


def test_logs_of_a_trial_that_printed_are_its_words_only(folder, study, sweep):
    (folder / "studies/toy/trials/0000/attempt-1.log").write_text("hello\n")
    result = sweep("logs", "toy", "0")
    assert (result.out, result.err) == ("hello\n", "")


def test_models_ls_fits_eighty_columns(folder, launch, sweep, monkeypatch):
    (folder / "toy.yaml").write_text(SPEC.replace("model: toy", "model: a-rather-long-name-of-a-model"))
    assert launch("toy.yaml", "--name", "a-study-of-some-length").code == 0
    on_a_terminal(monkeypatch, 80)
    lines = sweep("models", "ls").out.splitlines()
    assert max(map(len, lines)) <= 80
    row = lines[1].split()
    assert row[1] == "v1"
    assert len(row[-2]) == len("2026-01-31")
    assert len(row[-1]) == len("23:59")
    assert "…" not in "".join(lines)


def test_ls_lists_the_other_studies_beside_a_damaged_one(folder, study, launch, sweep):
    assert launch("toy.yaml", "--name", "torn", "--trials", "1").code == 0
    log = folder / "studies/torn/events.jsonl"
    log.write_text("not an event\n" * 2 + log.read_text())
    listed = sweep("ls")
    states = {words[0]: words[1] for line in listed.out.splitlines() if len(words := line.split()) > 1}
    assert listed.code == 1
    assert (states["toy"], states["torn"]) == ("complete", "damaged")
    assert "events.jsonl" in listed.out.splitlines()[-1]
    rows = {row["name"]: row for row in json.loads(sweep("ls", "--json").out)}
    assert rows["torn"]["reason"]
    assert set(rows["torn"]) == {*rows["toy"], "reason"}


def test_a_pipe_gets_whole_lines_without_spaces_at_their_ends(folder, study, sweep, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    storage = folder / "-".join(["a-folder-with-a-long-name"] * 5)
    (folder / "studies").rename(storage)
    verbs = [("ls",), ("status", "toy"), ("trials", "toy"), ("trials", "toy", "1"), ("best", "toy")]
    for verb in verbs:
        lines = sweep(*verb, "--storage", str(storage)).out.splitlines()
        assert lines
        assert [line for line in lines if line != line.rstrip()] == []
    assert f"  {storage}/toy\n" in sweep("status", "toy", "--storage", str(storage)).out


def test_a_terminal_gets_paths_in_one_piece(folder, study, sweep, monkeypatch):
    on_a_terminal(monkeypatch, 80)
    storage = folder / "-".join(["a-folder-with-a-long-name"] * 5)
    (folder / "studies").rename(storage)
    assert f"  {storage}/toy\n" in sweep("status", "toy", "--storage", str(storage)).out
    assert f"  {storage}/toy/trials/0001/attempt-1.log\n" in sweep("trials", "toy", "1", "--storage", str(storage)).out


def test_models_show_gives_a_pipe_the_card_as_it_is(folder, study, sweep):
    card = next((folder / "registry").rglob("*.md")).read_text()
    assert sweep("models", "show", "toy").out.startswith(card)


@pytest.mark.parametrize(("no_color", "escapes"), [("1", False), ("", True)])
def test_no_color_leaves_no_escape_code_on_a_terminal(monkeypatch, no_color, escapes):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    console().print("[bold]best[/bold]")
    assert "best" in out.getvalue()
    assert ("\x1b" in out.getvalue()) is escapes
