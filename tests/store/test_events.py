"""The log: durable lines, replayed; a torn tail is dropped, and damage elsewhere is told."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.core import events as ev
from sweep.errors import StorageError, StudyError
from sweep.store import events

EVENTS = [
    ev.StudyCreated(time=1, study="s", spec_sha256="0" * 64, sweep_version="0", base_dir="/"),
    ev.RunStarted(time=2, executor="inline", slots=1),
    ev.TrialCreated(time=3, trial=0, config={"x": 0.1, "name": "ä", "none": None, "flag": True, "n": 3}),
    ev.AttemptStarted(time=4, trial=0, attempt=1),
    ev.Reported(time=5, trial=0, attempt=1, metrics={"epoch": 1, "loss": -math.inf}),
]


def write(path, written):
    log = events.EventLog(path)
    log.append(*map(events.encode, written))
    log.close()


def test_what_was_appended_is_read_back(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, EVENTS[:3])
    write(path, EVENTS[3:])
    assert list(events.read(path)) == EVENTS


def test_nan_and_infinity_are_json_that_every_tool_reads(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, [ev.Reported(time=1, trial=0, attempt=1, metrics={"a": math.nan, "b": math.inf})])
    assert '"a":"NaN","b":"Infinity"' in path.read_text()
    (event,) = events.read(path)
    assert math.isnan(event.metrics["a"])
    assert event.metrics["b"] == math.inf


@given(cut=st.integers(min_value=0))
def test_log_cut_anywhere_gives_its_complete_lines(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    write(path, EVENTS)
    data = path.read_bytes()
    cut %= len(data) + 1
    path.write_bytes(data[:cut])
    complete = data[:cut].count(b"\n")
    assert list(events.read(path)) == EVENTS[:complete]
    # A driver that goes on cuts the torn tail off and appends after it.
    write(path, EVENTS[complete:])
    assert list(events.read(path)) == EVENTS


def test_damaged_line_is_told_with_its_number(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, EVENTS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], '{"type": "hm"}\n', *lines[2:]]))
    with pytest.raises(StudyError, match=r"events\.jsonl:2: not an event of this version"):
        list(events.read(path))


def test_missing_log_is_told(tmp_path):
    with pytest.raises(StudyError, match=r"events\.jsonl: can't be read \(No such file or directory\)"):
        list(events.read(tmp_path / "events.jsonl"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_full_disk_is_told_with_what_to_do(tmp_path):
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    log = events.EventLog(tmp_path / "events.jsonl")
    with pytest.raises(StorageError, match=r"can't be written \(No space left on device\).*sweep resume"):
        log.append(events.encode(EVENTS[0]))
    log.close()


def test_room_is_asked_for_without_a_trace(tmp_path):
    events.check_room(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="can't be written"):
        events.check_room(tmp_path / "gone")
