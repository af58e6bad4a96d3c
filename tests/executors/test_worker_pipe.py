"""The channel of a warm worker: which reports wait for a decision, and which run ahead."""

import threading

import pytest

from sweep.core.protocols import Decision, Placement
from sweep.executors.worker import Pipe

GO_ON = Decision("advance", "go on")
STOP = Decision("stop", "it lost")


@pytest.fixture
def pipe(tmp_path):
    """A channel of a trial with max_t 9 that is judged at the given fidelities."""
    shared = {"study": "s", "trial": 0, "attempt": 1, "config": {}, "entrypoint": "a:b", "seed": 0}
    return lambda judged: Pipe(Placement(**shared, time_attr="epoch", max_t=9, trial_dir=str(tmp_path), judged=judged))


def report(pipe, t):
    return pipe.report({"epoch": t, "loss": 1.0}, None)


def waits(pipe, t):
    """Whether a report waits until a decision is put into the pipe; and what it returns then."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(report(pipe, t)))
    thread.start()
    thread.join(0.1)
    waited = thread.is_alive()
    if waited:
        pipe.decisions.put(STOP)
    thread.join(30)
    return waited, answers[0].action


def test_between_rungs_reports_run_ahead(pipe):
    channel = pipe((3,))
    assert [report(channel, t).action for t in (1, 2, 3)] == ["advance"] * 3
    assert [message.metrics["epoch"] for message in channel.take()] == [1, 2, 3]


@pytest.mark.parametrize("at", [3, 5], ids=["at the rung", "past it"])
def test_report_after_a_rung_waits_for_its_decision(pipe, at):
    channel = pipe((3,))
    report(channel, 2)
    report(channel, at)
    assert waits(channel, at + 1) == (True, "stop")


def test_decision_on_the_rung_lets_the_trial_run_on(pipe):
    channel = pipe((3,))
    report(channel, 3)
    channel.decisions.put(GO_ON)
    assert waits(channel, 4) == (False, "advance")
    assert waits(channel, 5) == (False, "advance")


def test_after_a_long_step_the_report_at_a_rung_hears_its_own_decision(pipe, monkeypatch):
    channel = pipe((3,))
    channel._since -= 60
    answer = threading.Timer(0.05, lambda: channel.decisions.put(STOP))
    answer.start()
    assert report(channel, 3).action == "stop"
    assert [message.metrics["epoch"] for message in channel.take()] == [3]


def test_decision_that_takes_longer_than_it_is_worth_is_heard_at_the_next_report(pipe):
    channel = pipe((3,))
    channel._since -= 0.6
    assert report(channel, 3).action == "advance"
    assert waits(channel, 4) == (True, "stop")


def test_last_report_waits_for_its_own_decision(pipe):
    assert waits(pipe(()), 9) == (True, "stop")


def test_end_of_the_study_is_heard_at_the_next_report(pipe):
    channel = pipe(())
    report(channel, 1)
    channel.decisions.put(STOP)
    assert report(channel, 2).action == "stop"
    assert len(channel.take()) == 1  # what was refused was never sent


def test_without_known_rungs_each_report_waits_for_the_one_before(pipe):
    channel = pipe(None)
    report(channel, 1)
    assert waits(channel, 2) == (True, "stop")


def test_paused_trial_hands_in_the_step_that_it_had_done(pipe):
    channel = pipe((3,))
    report(channel, 3)
    channel.decisions.put(Decision("pause", "it waits for its turn"))
    assert report(channel, 4).action == "pause"
    assert [message.metrics["epoch"] for message in channel.take()] == [3, 4]


def test_where_the_node_is_about_to_go_each_report_waits_for_its_own_decision(pipe):
    channel = pipe(())
    report(channel, 1)
    channel.leaving = True
    assert waits(channel, 2) == (True, "stop")
    assert [message.awaited for message in channel.take()] == [False, True]


def test_word_to_move_that_comes_between_two_reports_takes_the_second_along(pipe):
    channel = pipe(())
    report(channel, 1)
    channel.decisions.put(Decision("move", "its node drains"))
    assert report(channel, 2).action == "move"
    assert [message.metrics["epoch"] for message in channel.take()] == [1, 2]
