"""Plain lines and JSON lines."""

from __future__ import annotations

import io
import json

import pytest
from plays import AsciiStream, Play, new_spec

from sweep.core import events as ev
from sweep.core.events import ANY_EVENT
from sweep.core.parameters import FloatRange
from sweep.core.pool import Node
from sweep.core.spec import Budget, Metric, Retries, Scheduler, Search
from sweep.core.study import StudyMachine
from sweep.executors.simulated import Course
from sweep.simulating import simulate
from sweep.watch.lines import JsonLines, LineLog


def logged(play: Play, stream, **options) -> None:
    log = LineLog(stream, **options)
    play._seen = log.event
    play.begin(notes=["No GPU here."], dashboard="http://127.0.0.1:8265")
    play.to_the_end(fail_each=7)
    log.close()


def test_what_trials_wait_for_is_told():
    out, play = io.StringIO(), Play(new_spec())
    play._seen = LineLog(out).event
    play.begin()
    play.handle(ev.Delayed(time=play.now, attempts=3, reason="other work on this Ray holds 4 of 4 CPU"))
    assert out.getvalue().endswith("  3 trials can't begin: other work on this Ray holds 4 of 4 CPU\n")


def test_a_run_is_told_without_a_line_for_each_report(spec, paths):
    out, play = io.StringIO(), Play(spec)
    logged(play, out, paths=paths)
    text = out.getvalue()
    lines = text.splitlines()
    assert lines[0] == "2023-11-14 22:13:20  study toy started on inline: 3 trials at once"
    assert lines[1].endswith("  No GPU here.")
    assert lines[2].endswith("  dashboard: http://127.0.0.1:8265")
    assert "trial 0 started on cpu, node-1: lr=" in text
    assert "best so far: val_loss " in text
    assert "not within the best" in text
    failed = next(trial for trial in play.machine.trials.values() if trial.state.value == "failed")
    log_file = paths.trial(failed.number).attempt_log(1)
    assert f"trial {failed.number} failed: ValueError: no [bold]luck[/bold] ✗. Log: {log_file}" in text
    assert "study toy complete after" in lines[-1]
    assert lines[-1].endswith("budget.trials is used up: 12 trials")
    assert "\x1b" not in text
    for trial in play.machine.trials:
        assert text.count(f"trial {trial} started") == 1
    assert ": epoch" not in text
    bests = text.count("  best so far: ")
    top = play.machine.best
    assert f"trial {top.number} {top.state.value} at epoch {top.t}: val_loss " in text
    assert f"; {top.reason}" in text
    reports = sum(isinstance(event, ev.Reported) for event in play.events)
    assert len(lines) == 3 + 2 * len(play.machine.trials) + bests + 1
    assert bests < reports


def test_verbose_tells_each_report_and_decision(spec):
    out, play = io.StringIO(), Play(spec)
    logged(play, out, verbose=True)
    reports = sum(isinstance(event, ev.Reported) for event in play.events)
    assert out.getvalue().count(": epoch ") == reports
    assert ": advance at epoch" in out.getvalue()


def test_a_failure_that_is_tried_again_says_so():
    out = io.StringIO()
    logged(Play(new_spec(retries=Retries(max=3))), out)
    assert "attempt 1 failed, will be tried again: ValueError" in out.getvalue()
    assert "started again, attempt 2" in out.getvalue()


def test_ascii_streams_get_ascii(spec, ascii_stream: AsciiStream):
    logged(Play(spec), ascii_stream)
    assert "luck[/bold] ?" in ascii_stream.text()


def test_a_reader_that_has_gone_does_not_end_the_study(spec):
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    play = Play(spec)
    logged(play, Gone())
    assert play.machine.ended.complete


def test_json_lines_are_the_lines_of_the_log(spec):
    out, play = io.StringIO(), Play(spec)
    writer = JsonLines(out)
    play._seen = writer.event
    play.begin()
    play.step()
    play.step(value=float("nan"))
    writer.close()
    lines = out.getvalue().splitlines()
    assert [ANY_EVENT.validate_json(line).type for line in lines] == [event.type for event in play.events]
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_trial_starts_with_what_varies_only(spec):
    out = io.StringIO()
    logged(Play(spec), out)
    assert ": lr=" in out.getvalue()
    assert "width=" not in out.getvalue()


def test_the_leader_is_told_only_when_it_is_another_trial():
    out, play = io.StringIO(), Play(new_spec(budget=Budget(trials=1)), slots=1)
    play._seen = LineLog(out).event
    play.begin()
    play.step()
    for t in range(1, 10):
        play.report(0, 1 / t)
    assert out.getvalue().count("best so far: ") == 1
    assert "study toy complete after 1s, 1 trial (1 complete): budget.trials is used up: 1 trial\n" in out.getvalue()


@pytest.mark.parametrize("name", ["val_los", "other"])
def test_a_reason_never_ends_with_two_stops(name):
    out, play = io.StringIO(), Play(new_spec(budget=Budget(trials=1)), slots=1)
    play._seen = LineLog(out).event
    play.begin()
    play.step()
    metrics = {"epoch": 1.0, name: 0.5}
    play.handle(ev.Reported(time=play.now, trial=0, attempt=1, metrics=metrics))
    play.step("returned")
    (line,) = [line for line in out.getvalue().splitlines() if "trial 0 failed" in line]
    assert ("Did you mean metric.name: val_los? Log: " in line) is (name == "val_los")
    assert ("it reported other. Log: " in line) is (name == "other")


def test_going_on_after_one_trial_is_singular():
    out, play = io.StringIO(), Play(new_spec(), slots=1)
    play.begin()
    play.step()
    play._seen = LineLog(out).event
    play.begin()
    assert "going on after 1 trial\n" in out.getvalue()


def test_a_share_that_was_found_is_told_with_its_reason():
    out, play = io.StringIO(), Play(new_spec(), slots=1)
    play.begin()
    play._seen = LineLog(out).event
    play.handle(ev.ShareChosen(time=play.now, gpu=0.25, slots=4, reason="trial 0 took 3.0 of 16.0 GiB"))
    line = "gpu: auto: a trial gets 0.25 GPU from now on, 4 trials at once: trial 0 took 3.0 of 16.0 GiB\n"
    assert line in out.getvalue()


def test_a_trial_that_pauses_and_goes_on_says_why():
    spec = new_spec(
        parameters={"x": FloatRange(min=0.0, max=1.0)},
        metric=Metric(name="loss", goal="minimize"),
        scheduler=Scheduler(max_t=9),
        search=Search(algorithm="gp"),
        budget=Budget(trials=6),
    )
    played = simulate(spec, lambda config: Course({"loss": [config["x"] + 1 / t for t in range(1, 10)]}), slots=1)
    out, study = io.StringIO(), StudyMachine(spec)
    log = LineLog(out)
    for event in played.log.events():
        study.handle(event)
        log.event(study, event)
    lines = [line.split("  ", 1)[1] for line in out.getvalue().splitlines()]
    (first, *_) = [line for line in lines if " pauses at epoch " in line]
    assert first.startswith("trial 0 pauses at epoch 1: loss ")
    assert first.endswith("; 1 of 1 at rung 1: it waits for its turn")
    onward = [line for line in lines if " goes on to epoch " in line]
    again = [event for event in played.log.events() if isinstance(event, ev.AttemptStarted) and event.attempt > 1]
    assert len(onward) == len(again) > 0
    assert all(", attempt " in line and ": " in line for line in onward)
    assert not any("interrupted" in line or "started again" in line for line in lines)


def test_nodes_that_come_and_go_are_told_and_so_is_why_a_trial_moves():
    out, play = io.StringIO(), Play(new_spec(scheduler=Scheduler(type="none", max_t=9)), slots=1)
    node, other = Node("node-1", 1, 0), Node("node-2", 4, 2)
    play.begin(nodes=[node])
    play._seen = LineLog(out).event
    play.step()
    why = "its machine is taken back in 118 s"
    play.handle(ev.NodeChanged(time=play.now, change="draining", node=node, slots=0, reason=why))
    play.report(0)
    left = ev.NodeChanged(time=play.now, change="left", node=node, slots=0, reason="it was announced to go")
    play.handle(left)
    play.handle(ev.NodeChanged(time=play.now, change="joined", node=other, slots=4))
    told = [line.split("  ", 1)[1] for line in out.getvalue().splitlines()]
    assert [line for line in told if "node" in line] == [
        told[0],
        f"node node-1 drains ({why}): its trials go on elsewhere, 0 trials at once from now on",
        "trial 0 moves at epoch 1: node node-1 drains, its machine is taken back in 118 s: it goes on elsewhere",
        "node node-1 is gone (it was announced to go): 0 trials at once from now on",
        "node node-2 joined (4 CPU, 2 GPU): 4 trials at once from now on",
    ]
