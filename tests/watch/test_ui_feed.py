"""A followed study is what a replay of its whole log gives, however its lines come."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plays import Play, new_spec
from written import written

from sweep.core import events as ev
from sweep.core.spec import Budget, Scheduler
from sweep.errors import InputError, StudyError
from sweep.store import events, holding, study_folder
from sweep.store.following import Follower, ReplacedError
from sweep.store.paths import StudyPaths
from sweep.watch.report import occupancy
from sweep.watch.ui.feed import Feed
from sweep.watch.ui.streams import LOG_FIRST, LogTail, picture

KINDS = st.sampled_from(["report"] * 8 + ["failed", "lost", "returned", "stop", "cancel", "pause", "resume", "retry"])


def acted(kinds, seed):
    """A study with a person in it, who asks for this and that."""
    play = Play(new_spec(budget=Budget(trials=15), scheduler=Scheduler(max_t=9, promote=True)), seed=seed)
    play.begin()
    for kind in kinds:
        if play.over:
            play.begin()
        if kind in ("stop", "cancel", "pause", "resume", "retry"):
            play.ask(kind)
        else:
            play.step(kind)
    return play


def in_pieces(log, cuts):
    """The log's beginnings, up to places that may lie in the middle of a line, and whole."""
    return [log[: round(cut * len(log))] for cut in sorted(cuts)] + [log]


def feed_of(paths):
    feed = Feed(paths, clock=lambda: 1_700_009_999.0)
    feed.look()
    return feed


@settings(max_examples=40, deadline=None)
@given(kinds=st.lists(KINDS, max_size=60), seed=st.integers(0, 99), cuts=st.lists(st.floats(0, 1), max_size=5))
def test_a_feed_that_saw_the_log_grow_shows_what_one_that_read_it_whole_shows(tmp_path_factory, kinds, seed, cuts):
    storage = tmp_path_factory.mktemp("studies")
    stored = written(acted(kinds, seed), storage)
    log = stored.paths.events.read_bytes()
    growing, page = Feed(stored.paths, clock=lambda: 1_700_009_999.0), {}
    known = 0
    for part in in_pieces(log, cuts):
        stored.paths.events.write_bytes(part)
        growing.look()
        # What a page has put together of the changes alone.
        page |= {row[0]: row for row in growing.rows(known)}
        known = growing.revision
    whole = feed_of(stored.paths)
    assert growing.state() == whole.state()
    assert growing.rows() == whole.rows() == [page[number] for number in sorted(page)]
    for number in stored.machine.trials:
        assert growing.story(number) == whole.story(number)
    shutil.rmtree(storage)


@settings(max_examples=20, deadline=None)
@given(kinds=st.lists(KINDS, max_size=40), cuts=st.lists(st.floats(0, 1), max_size=4))
def test_a_followed_state_is_the_replayed_one(tmp_path_factory, kinds, cuts):
    storage = tmp_path_factory.mktemp("studies")
    stored = written(acted(kinds, 1), storage)
    log = stored.paths.events.read_bytes()
    runs, seen = [], []
    follower = Follower(stored.paths, lambda _, event: (occupancy.follow(runs, event), seen.append(event)))
    for part in in_pieces(log, cuts):
        stored.paths.events.write_bytes(part)
        if b"\n" in part:
            follower.look()
    history = list(events.read(stored.paths.events))
    assert seen == history
    assert runs == occupancy.runs(history)
    replayed = study_folder.read(stored.paths).machine
    assert follower.machine.trials == replayed.trials
    assert follower.machine.decisions == replayed.decisions
    assert (follower.machine.ended, follower.machine.paused) == (replayed.ended, replayed.paused)
    shutil.rmtree(storage)


def test_a_look_without_news_reads_nothing_again(tmp_path, monkeypatch):
    stored = written(acted(["report"] * 20, 0), tmp_path)
    feed = feed_of(stored.paths)
    monkeypatch.setattr(events, "decode", lambda *_: pytest.fail("a line was read again"))
    assert not feed.look()
    assert feed.revision == 1


def test_what_an_event_doesn_t_touch_isn_t_told_again(tmp_path):
    play = acted(["report"] * 30, 0)
    stored = written(play, tmp_path)
    feed = feed_of(stored.paths)
    before = feed.revision
    trial = next(iter(play._running))
    told = len(play.events)
    play.report(trial, 0.5)
    with stored.paths.events.open("ab") as file:
        file.writelines(events.encode(event) for event in play.events[told:])
    assert feed.look()
    assert {row[0] for row in feed.rows(before)} <= {event.trial for event in play.events[told:]}


def test_trials_that_end_with_the_study_and_in_no_event_are_told_too(tmp_path):
    play = Play(new_spec(budget=Budget(trials=15, time_s=60)), slots=3)
    play.begin()
    stored = written(play, tmp_path)
    feed = feed_of(stored.paths)
    before, told = feed.revision, len(play.events)
    play.now += 1000
    play.handle(ev.Ticked(time=play.now))
    with stored.paths.events.open("ab") as file:
        file.writelines(events.encode(event) for event in play.events[told:])
    assert feed.look()
    assert [row[1] for row in feed.rows(before)] == ["stopped"] * 3


def test_a_damaged_log_says_where_and_shows_what_came_before(tmp_path):
    stored = written(acted(["report"] * 20, 0), tmp_path)
    lines = len(stored.paths.events.read_bytes().splitlines())
    with stored.paths.events.open("ab") as file:
        file.write(b'{"type": "nonsense"}\n')
    feed = feed_of(stored.paths)
    assert f"events.jsonl:{lines + 1}: not an event" in feed.state()["problem"]
    assert feed.rows()
    revision = feed.revision
    assert not feed.look()
    assert feed.revision == revision
    with pytest.raises(StudyError, match="not an event"):
        feed.summary()


def test_a_study_that_was_made_anew_under_its_name_is_read_anew(tmp_path):
    stored = written(acted(["report"] * 20, 0), tmp_path)
    feed = feed_of(stored.paths)
    before = picture(feed, "boot")["mark"]
    shutil.rmtree(stored.paths.root)
    again = written(acted(["report"] * 5, 3), tmp_path)
    assert feed.look()
    assert feed.rows() == feed_of(again.paths).rows()
    # A page that knew the old one is told everything.
    assert "columns" in picture(feed, "boot", before)


def test_a_study_that_is_gone_says_so(tmp_path):
    stored = written(acted(["report"] * 3, 0), tmp_path)
    follower = Follower(stored.paths)
    follower.look()
    shutil.rmtree(stored.paths.root)
    with pytest.raises(ReplacedError, match="gone"):
        follower.look()
    feed = feed_of(stored.paths)
    assert feed.state()["state"] == "damaged"
    with pytest.raises(InputError):
        feed.story(0)


def test_an_empty_log_is_no_study(tmp_path):
    paths = StudyPaths(tmp_path / "toy")
    paths.root.mkdir()
    paths.events.touch()
    assert "the first line must tell" in feed_of(paths).state()["problem"]


def test_a_mark_of_another_server_is_void(tmp_path):
    feed = feed_of(written(acted(["report"] * 20, 0), tmp_path).paths)
    now = picture(feed, "one")
    assert picture(feed, "one", now["mark"])["rows"] == []
    for void in (now["mark"].replace("one", "two"), "", "one.0-x", "-3"):
        assert picture(feed, "one", void)["rows"] == now["rows"]


def test_a_study_whose_driver_is_at_work_shows_its_trials_as_running(tmp_path):
    stored = written(acted(["report"] * 7, 0), tmp_path)
    feed = feed_of(stored.paths)
    assert (feed.state()["state"], feed.state()["running"]) == ("interrupted", [])
    with holding.held(stored.paths):
        assert feed.look()
        state = feed.state()
        assert state["state"] == "running"
        running = [row[0] for row in feed.rows() if row[1] == "running"]
        assert [each["trial"] for each in state["running"]] == running == list(stored.machine.books.running)
    assert feed.look()
    assert not [row for row in feed.rows() if row[1] == "running"]


def test_a_log_is_told_from_its_end_and_then_as_it_grows(tmp_path):
    log = tmp_path / "attempt-1.log"
    tail = LogTail(log)
    assert tail.more() is None
    line = "a line of it, ✓\n"
    log.write_text(line * 9000)
    first = tail.more()
    assert first["anew"]
    assert first["before"] + len(first["text"].encode()) == log.stat().st_size
    assert len(first["text"].encode()) <= LOG_FIRST
    assert first["text"].startswith(line)
    assert tail.more() is None
    with log.open("ab") as file:
        # A character that comes in two parts.
        file.write("ende ✓".encode()[:-1])
        file.flush()
        assert tail.more() == {"text": "ende ", "anew": False, "before": 0}
        file.write("✓\n".encode()[2:])
        file.flush()
        assert tail.more()["text"] == "✓\n"
    log.write_text("written anew\n")
    assert tail.more() == {"text": "written anew\n", "anew": True, "before": 0}


def test_numbers_that_json_lacks_are_told_as_missing(tmp_path):
    play = Play(new_spec())
    play.begin()
    play.step()
    play.report(0, float("nan"))
    play.handle(ev.Ticked(time=play.now))
    feed = feed_of(written(play, tmp_path).paths)
    assert feed.rows()[0][3] is None
