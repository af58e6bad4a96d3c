"""The last lines of a failed trial's log, wherever the failure is told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from plays import Play, drawn, new_spec

from sweep.core import events as ev
from sweep.core import plan
from sweep.store.attempt_log import stamped
from sweep.watch.frame import Canvas, frame
from sweep.watch.lines import LineLog
from sweep.watch.stories import trial_story
from sweep.watch.summary import summary
from sweep.watch.tables import status
from sweep.watch.tails import Tails, alike, brief
from sweep.watch.tally import tally_for
from sweep.watch.text import glyphs_for

REASON = "ValueError: no [bold]luck[/bold] ✗"
TRACE = f"""epoch 1: val_loss 3
Traceback (most recent call last):
  File "/home/me/train.py", line 11, in train
    step(config["lr"])
    ~~~~^^^^^^^^^^^^^^
  File "/home/me/train.py", line 7, in step
    raise ValueError(lr)
{REASON}"""
SAID = ['File "/home/me/train.py", line 7, in step', "raise ValueError(lr)"]


@pytest.fixture
def failed(paths, spec):
    """A study of which trials failed, and what its lines told of it."""
    out = io.StringIO()
    log = LineLog(out, paths=paths)
    play = Play(spec)

    def seen(machine, event):
        if event.type == "attempt_ended" and event.outcome == "failed":
            file = paths.trial(event.trial).attempt_log(event.attempt)
            file.parent.mkdir(parents=True)
            file.write_text("".join(map(stamped, TRACE.splitlines())))
        log.event(machine, event)

    play._seen = seen
    play.to_the_end(fail_each=7)
    return play, out.getvalue()


@pytest.mark.parametrize("where", ["status", "summary", "story", "live view", "lines"])
def test_what_a_failure_looked_like_is_told_where_the_failure_is(failed, paths, where):
    play, lines = failed
    study = play.machine
    number = next(trial.number for trial in study.trials.values() if trial.state.value == "failed")
    tally = tally_for(study)
    for event in play.events:
        tally.take(study, event)
    canvas = Canvas(glyphs_for("utf-8"), 100, None)
    views = {
        "status": lambda: status(study, paths),
        "summary": lambda: summary(study, paths),
        "story": lambda: trial_story(study, paths, number),
        "live view": lambda: frame(tally, plan.make(study.spec, slots=1), canvas, play.now, Tails(paths)),
    }
    told = lines if where == "lines" else "\n".join(drawn(views[where](), (100, 60)))
    for line in SAID:
        assert told.count(line) == 1, told
    assert "^^^^" not in told
    assert "T00:" not in told  # the lines' own times


def test_the_json_of_status_and_story_has_the_tail(failed, paths):
    study = failed[0].machine
    (failure,) = status(study, paths).data["failures"]
    assert REASON in failure["tail"]
    attempts = trial_story(study, paths, failure["trials"][0]).data["attempts"]
    assert REASON in attempts[-1]["tail"]


def test_failures_that_differ_in_numbers_only_are_one_cause(paths):
    play = Play(new_spec())
    play.begin()
    for trial, value in enumerate(("0.25", "1e-3")):
        play.step()
        error = f"ValueError: bad lr {value}"
        play.handle(ev.AttemptEnded(time=play.now, trial=trial, attempt=1, outcome="failed", error=error))
    (failure,) = status(play.machine, paths).data["failures"]
    assert len(failure["trials"]) == 2
    assert failure["reason"] == "ValueError: bad lr 0.25"
    assert alike("at 0x7f and 1.5e-3") == alike("at 0xff and 2")


def test_a_tail_is_told_beyond_its_reason_from_a_whole_frame_on():
    assert [line.strip() for line in brief(TRACE, REASON, 3)] == SAID
    assert brief(TRACE, REASON)[0].startswith('  File "/home/me/train.py", line 11')
    assert brief("one\ntwo\nthree", "lost", 2) == ["two", "three"]
    assert brief("", "lost") == []
    assert brief("lost: its node died", "its node died. lost: its node died") == []


def test_a_log_is_read_again_only_when_it_has_changed(paths, monkeypatch):
    log = paths.trial(3).attempt_log(1)
    log.parent.mkdir(parents=True)
    log.write_text("first\n")
    tails, opened = Tails(paths), []
    whole = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or whole(self, *a, **k))
    assert [tails.of(3, 1)[1] for _ in range(3)] == ["first"] * 3
    assert opened == [log]
    monkeypatch.undo()
    with log.open("a") as file:
        file.write("second\n")
    assert tails.of(3, 1)[1] == "first\nsecond"
