"""Lines as JSON objects, for whoever collects logs."""

from __future__ import annotations

import io
import json

import pytest
from plays import Play, new_spec

from sweep.core.spec import Budget, Resources, Retries
from sweep.store.attempt_log import stamped
from sweep.watch.records import Records, encoded, said

TRACE = ["Traceback (most recent call last):", '  File "train.py", line 1, in train', "    1 / 0", "ZeroDivisionError"]


def written(play: Play, paths, trial: int, *lines: str, end: str = "\n") -> None:
    log = paths.trial(trial).attempt_log(len(play.machine.trials[trial].attempts))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write("".join(map(stamped, lines)).removesuffix("\n") + end)


@pytest.fixture
def acted(paths):
    """Acts a study of one trial out, which prints these lines; the records."""

    def act(*lines: str, end: str = "\n", **changes):
        out = io.StringIO()
        play = Play(new_spec(budget=Budget(trials=1), **changes))
        watcher = Records(out, paths)
        play._seen = watcher.event
        play.begin()
        play.step()
        written(play, paths, 0, *lines, end=end)
        while not play.over:
            play.step("failed")
        watcher.close()
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return act


def test_each_record_says_when_how_grave_and_of_what(acted):
    records = acted("epoch 1: loss 3", end="")  # nothing ends its last line
    for record in records:
        assert record["time"].endswith("Z")
        assert record["level"] in ("debug", "info", "warning", "error", "critical")
        assert record["study"] == "toy"
    (printed,) = [record for record in records if "event" not in record]
    assert printed["message"] == "epoch 1: loss 3"
    assert [printed[key] for key in ("trial", "attempt", "rank", "node")] == [0, 1, 0, "node-1"]
    events = [record["event"] for record in records if "event" in record]
    assert [events[0], events[-1]] == ["run_started", "run_ended"]


def test_an_attempts_last_line_comes_before_the_word_that_it_failed(acted):
    records = acted("first", *TRACE)
    places = {record["message"].split(":")[0]: place for place, record in enumerate(records)}
    assert places["first"] < places["ZeroDivisionError"] < places["trial 0 failed"]
    failed = records[places["trial 0 failed"]]
    assert (failed["level"], failed["event"], failed["trial"]) == ("error", "attempt_ended", 0)


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("epoch 1: loss 3", "info"),
        ("WARNING:root:lr is high", "warning"),
        ("2026-11-27 10:00:00,123 my.train [ERROR] no such file", "error"),
        ("DEBUG step 3", "debug"),
        ("CRITICAL: out", "critical"),
        (f"/home/{'me/' * 40}train.py:7: UserWarning: take care", "warning"),
        ("no error here", "info"),
        (f"{'.' * 90} ERROR", "info"),
    ],
)
def test_a_line_names_its_level_itself(acted, line, level):
    assert next(record for record in acted(line) if record["message"] == line)["level"] == level


def test_a_traceback_is_an_error_from_its_first_line_to_its_last(acted):
    records = {record["message"]: record["level"] for record in acted("before", *TRACE, "after")}
    assert [records[line] for line in TRACE] == ["error"] * len(TRACE)
    assert (records["before"], records["after"]) == ("info", "info")


def test_lines_of_several_processes_carry_their_rank(acted):
    lines = ["rank 0: hello", "rank 1: hello", f"rank 0: {TRACE[0]}", "rank 1: fine", "epoch 1: loss 2"]
    records = [record for record in acted(*lines, resources=Resources(gpu=2)) if "event" not in record]
    assert [(record.get("rank"), record["message"]) for record in records] == [
        (0, "hello"), (1, "hello"), (0, TRACE[0]), (1, "fine"), (None, "epoch 1: loss 2"),
    ]  # fmt: skip
    # One rank's traceback is none of the other's.
    assert [record["level"] for record in records] == ["info", "info", "error", "info", "info"]


def test_a_function_of_one_process_may_print_what_it_likes(acted):
    (record,) = [record for record in acted("rank 3: mine") if "event" not in record]
    assert (record["rank"], record["message"]) == (0, "rank 3: mine")


def test_each_attempt_has_its_own_lines(paths):
    out = io.StringIO()
    play = Play(new_spec(budget=Budget(trials=1), retries=Retries(max=1)))
    watcher = Records(out, paths)
    play._seen = watcher.event
    play.begin()
    play.step()
    written(play, paths, 0, "one")
    play.step("failed")
    play.step()
    written(play, paths, 0, "two")
    while not play.over:
        play.step()
    watcher.close()
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(each["attempt"], each["message"]) for each in records if "event" not in each] == [(1, "one"), (2, "two")]


def test_one_who_comes_late_gets_what_is_printed_from_then_on(paths):
    out = io.StringIO()
    play = Play(new_spec(budget=Budget(trials=2)))
    play.begin()
    play.step()
    play.step()
    written(play, paths, 0, "an old story")
    watcher = Records(out, paths)
    play._seen = watcher.event
    play.step(value=1.0)
    written(play, paths, 0, "news")
    while not play.over:
        play.step()
    watcher.close()
    messages = [json.loads(line)["message"] for line in out.getvalue().splitlines()]
    assert "news" in messages
    assert "an old story" not in messages


def test_records_are_one_line_whatever_they_hold():
    assert encoded({"message": "a\nb ✗", "rank": None}) == '{"message": "a\\nb \\u2717"}'
    assert json.loads(said("hello", 0.0)) == {
        "time": "1970-01-01T00:00:00.000Z", "level": "info", "message": "hello",
    }  # fmt: skip
