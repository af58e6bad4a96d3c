"""Verbs on a live study from another process: real drivers, real workers, real kills."""

import json

import pytest
from processes import Study

EXECUTORS = ["inline", pytest.param("ray", marks=pytest.mark.ray)]
BOTH = pytest.mark.parametrize("executor", EXECUTORS)

SPEC = """
name: hardy
entrypoint: train.py:train
metric: {name: loss, goal: minimize}
parameters: {x: {min: -1.0, max: 1.0}}
search: {algorithm: random, seed: 3}
scheduler: {type: none, max_t: 3}
budget: {trials: 6}
resources: {cpu: 1, max_concurrent: 2}
"""


@pytest.fixture
def begin(tmp_path):
    """Starts a study that is held up in trial 1's second epoch, and waits for that; all its slots are taken then."""
    made = []

    def start(executor, spec=SPEC):
        study = Study(tmp_path, executor, spec)
        made.append(study)
        study.hold(1, 2)
        if executor != "inline":
            study.hold(2, 1)
        study.start("launch", "hardy.yaml", "--yes")
        study.wait_for_epoch(1, 2)
        if executor != "inline":
            study.wait_for_epoch(2, 1)
        return study

    yield start
    for study in made:
        study.release()
        if study.driver.poll() is None:
            study.kill()


def taken_up(study):
    return [line for line in study.lines("controlled") if line["accepted"]]


@pytest.mark.slow
@BOTH
def test_stop_lets_the_trials_at_work_come_to_their_ends_and_creates_no_other(begin, executor):
    study = begin(executor)
    verb = study.ask_later("stop", "hardy")
    study.wait_for((study.events.parent / "control.jsonl").exists, "the request")
    if executor != "inline":
        # Inline, nobody looks before the next report.
        assert verb.wait(timeout=60) == 0
    study.release()
    answer, _ = verb.communicate(timeout=60)
    assert verb.returncode == 0, answer
    assert "no new trials" in answer
    assert study.ended() == 0, study.output()
    last = study.lines("run_ended")[-1]
    assert (last["reason"], last["complete"]) == ("stopped by a person", True)
    assert set(study.states()) == {"complete"}
    assert len(study.states()) < 6
    assert "There is nothing left to stop" in study.ask("stop", "hardy", code=2)


@pytest.mark.slow
@pytest.mark.ray
def test_cancel_ends_a_worker_that_is_stuck(begin):
    study = begin("ray")
    # Trial 1 is stuck in its epoch and is never let go.
    answer = json.loads(study.ask("cancel", "hardy", "--json"))
    assert (answer["accepted"], answer["live"]) == (True, True)
    assert study.ended() == 0, study.output()
    assert study.states()[1] == "stopped"
    assert study.lines("run_ended")[-1]["reason"] == "cancelled by a person"


@pytest.mark.slow
@pytest.mark.ray
def test_one_stuck_trial_is_cancelled_and_the_study_goes_on_in_its_place(begin):
    study = begin("ray")
    assert "trial 1 ends now" in study.ask("cancel", "hardy", "1")
    study.release(2)
    assert study.ended() == 0, study.output()
    assert study.states() == ["complete", "stopped", *["complete"] * 4]


@pytest.mark.slow
@pytest.mark.ray
def test_paused_study_starts_nothing_until_it_is_resumed(begin):
    study = begin("ray")
    assert "no trial is started" in study.ask("pause", "hardy")
    study.release()
    study.wait_for(lambda: not _at_work(study), "the end of what was at work")
    before = len(study.lines("attempt_started"))
    assert json.loads(study.ask("status", "hardy", "--json"))["state"] == "paused"
    assert "is paused already" in study.ask("pause", "hardy", code=2)
    assert len(study.lines("attempt_started")) == before < 6
    assert "trials are started again" in study.ask("resume", "hardy")
    assert study.ended() == 0, study.output()
    assert study.states() == ["complete"] * 6


def _at_work(study):
    return len(study.lines("attempt_started")) > len(study.lines("attempt_ended"))


@pytest.mark.slow
@pytest.mark.ray
def test_live_study_is_extended_and_its_failed_trial_retried(begin):
    study = begin("ray")
    study.fail(1)
    study.release(1)
    study.wait_for(lambda: any(line["outcome"] == "failed" for line in study.lines("attempt_ended")), "the failure")
    study.mend()
    assert "1 trial gets a further attempt: 1" in study.ask("retry", "hardy", "--failed")
    assert "8 trials in all" in study.ask("extend", "hardy", "--trials", "+2")
    study.release()
    assert study.ended() == 0, study.output()
    assert study.states() == ["complete"] * 8


def test_request_that_a_killed_driver_left_is_taken_up_by_the_resume_once(begin):
    study = begin("inline")
    verb = study.ask_later("stop", "hardy", "1")
    study.wait_for((study.events.parent / "control.jsonl").exists, "the request")
    verb.kill()
    verb.communicate()
    study.kill()
    study.release()
    assert taken_up(study) == []
    study.start("resume", "hardy")
    assert study.ended() == 0, study.output()
    assert len(taken_up(study)) == 1
    assert study.states() == ["complete", "stopped", *["complete"] * 4]
    assert "stop: trial 1 is stopped" in study.output()


def test_study_without_a_driver_is_stopped_cancelled_retried_and_extended(begin):
    study = begin("inline")
    study.fail(1)
    study.release()
    assert study.ended() == 0, study.output()
    assert study.states()[1] == "failed"
    study.mend()
    out = study.ask("retry", "hardy", "--failed", "--executor", "inline")
    assert "1 trial gets a further attempt: 1" in out
    assert study.states() == ["complete"] * 6
    attempts = [row["attempts"] for row in json.loads(study.ask("trials", "hardy", "--json"))]
    assert attempts == [1, 2, 1, 1, 1, 1], "only the failed one ran again"
    assert "no trial of study 'hardy' has failed" in study.ask("retry", "hardy", "--failed", code=2)
    study.ask("extend", "hardy", "--trials", "+2", "--executor", "inline")
    assert study.states() == ["complete"] * 8


def test_killed_study_is_cancelled_without_a_driver(begin):
    study = begin("inline")
    study.kill()
    out = json.loads(study.ask("cancel", "hardy", "--json"))
    assert (out["accepted"], out["live"]) == (True, False)
    assert study.states() == ["complete", "stopped"]
    assert json.loads(study.ask("status", "hardy", "--json"))["state"] == "complete"
    assert "hardy is complete: cancelled by a person" in study.ask("resume", "hardy", "--executor", "inline")
    study.release()
    study.ask("extend", "hardy", "--trials", "+1", "--executor", "inline")
    assert study.states() == ["complete", "stopped", "complete"]
