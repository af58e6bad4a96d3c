"""What a report says of parameters, of time and of failures."""

import itertools
import math
import random

import pytest
from plays import Play, new_spec
from written import written

from sweep.core import events as ev
from sweep.core.spec import Budget, Choice, FloatRange, IntRange, Scheduler, Search
from sweep.core.trial import TrialState
from sweep.watch.report import comparing, failures, importance, occupancy, story
from sweep.watch.report.axes import Axis, axes
from sweep.watch.report.facts import facts, subject_of


def acted(trials=60, slots=3, value=None, **changes):
    """A study to its end; `value` of a config and a fidelity is what its trials report."""
    play = Play(new_spec(budget=Budget(trials=trials), **changes), slots=slots)
    play.begin()
    if value is not None:
        report = play.report
        play.report = lambda trial, _=None: report(
            trial, value(play.machine.trials[trial].config, play.machine.trials[trial].t + 1)
        )
    return play.to_the_end()


# Parameters


def test_places_on_a_log_axis_are_decimal_logarithms_and_come_back():
    axis = Axis("lr", FloatRange(min=1e-5, max=1e-1, log=True), -5, -1)
    assert axis.place({"lr": 1e-3}) == pytest.approx(-3)
    assert axis.value(-3) == pytest.approx(1e-3)
    assert axis.ticks() == ([-5, -4, -3, -2, -1], ["1e-05", "0.0001", "0.001", "0.01", "0.1"])


def test_marks_are_values_that_the_parameter_can_have():
    assert Axis("layers", IntRange(min=1, max=4), 1, 4).ticks() == ([1, 2, 3, 4], ["1", "2", "3", "4"])
    width = Axis("width", IntRange(min=16, max=512, log=True), math.log10(16), math.log10(512))
    assert width.ticks()[1] == ["20", "50", "100", "200", "500"]
    narrow = Axis("lr", FloatRange(min=2e-3, max=3e-2, log=True), math.log10(2e-3), math.log10(3e-2))
    assert narrow.ticks()[1] == ["0.002", "0.005", "0.01", "0.02"]


def test_places_of_a_list_are_those_in_the_list():
    axis = Axis("mixed", Choice(values=[1, None, "a"]), 0, 2)
    assert [axis.place({"mixed": value}) for value in (1, None, "a")] == [0, 1, 2]
    assert axis.place({}) is None


def test_parameters_that_all_trials_share_have_no_axis():
    study = acted(6).machine
    space = importance.Space(study.spec)
    assert [axis.name for axis in axes(space, [trial.config for trial in study.trials.values()])] == [
        "lr", "optimizer", "mixed",
    ]  # fmt: skip


def test_what_decides_the_value_is_found_important_and_what_does_not_isnt():
    found = importance.influence(acted(80).machine)
    assert found.weights[0].axis.name == "lr"
    assert found.weights[0].low > 0.3
    assert all(weight.high < 0.2 for weight in found.weights[1:])
    assert found.explained > 0.7
    assert sum(max(0, weight.mean) for weight in found.weights) == pytest.approx(1)


def test_of_values_that_are_chance_nothing_is_explained_and_the_story_says_so():
    draw = random.Random(0)
    study = acted(60, value=lambda _, __: draw.random()).machine
    found = importance.influence(study)
    assert found.explained < story.SURE_OF
    assert any("mostly chance" in line for line in story.story(study, found))


def test_of_few_trials_the_story_does_not_say_that_all_is_chance():
    draw = random.Random(0)
    study = acted(12, value=lambda _, __: draw.random()).machine
    found = importance.influence(study)
    assert found.explained < story.SURE_OF
    assert "What mattered can't be told: 12 trials at epoch 1 are too few." in story.story(study, found)


def test_a_parameter_that_only_some_trials_have_is_no_error():
    spec = new_spec().parameters | {"momentum": FloatRange(min=0, max=1, when={"optimizer": "sgd"})}
    play = Play(new_spec(parameters=spec, budget=Budget(trials=40)))
    play.begin()
    config = play._config
    play._config = lambda: (drawn := config()) | ({"momentum": 0.5} if drawn["optimizer"] == "sgd" else {})
    found = importance.influence(play.to_the_end().machine)
    assert "momentum" in [weight.axis.name for weight in found.weights]


def test_fewer_than_twelve_trials_teach_nothing():
    assert importance.influence(acted(11).machine) is None


def test_the_line_along_a_parameter_follows_the_values():
    found = importance.influence(acted(100).machine)
    axis = found.weights[0].axis
    places, expected = found.along(axis)
    assert places[0] == -5
    assert places[-1] == -1
    assert abs(places[expected.index(min(expected))] + 3) < 0.5


# Values that can be compared


def test_trials_are_compared_where_half_of_them_came():
    study = acted(60).machine
    found = comparing.compared(study)
    assert found.t == 1
    assert len(found.trials) == len([trial for trial in study.trials.values() if trial.t >= 1])
    to_the_end = acted(20, scheduler=Scheduler(type="none", max_t=5))
    assert comparing.compared(to_the_end.machine).t == 5


# Time


def test_hours_by_fate_add_up_to_what_the_attempts_took(tmp_path):
    stored = written(acted(), tmp_path)
    used = subject_of(stored, live=False).occupancy
    spent = stored.machine.limits.gpu_s
    assert used.gpu
    assert used.total == pytest.approx(spent / 3600)
    assert set(used.hours) == {"best", "complete", "stopped"}


def test_without_gpus_hours_are_those_of_places(tmp_path):
    play = Play(new_spec(resources=new_spec().resources.model_copy(update={"gpu": 0.0})))
    play.begin()
    handle = play.handle
    play.handle = lambda event: handle(
        event.model_copy(update={"gpu": None}) if isinstance(event, ev.AttemptStarted) else event
    )
    stored = written(play.to_the_end(), tmp_path)
    used = subject_of(stored, live=False).occupancy
    assert not used.gpu
    assert used.total == pytest.approx(sum(trial.duration_s for trial in stored.machine.trials.values()) / 3600)


def test_attempts_at_the_same_time_have_rows_of_their_own(tmp_path):
    used = subject_of(written(acted(slots=4), tmp_path), live=False).occupancy
    assert len(used.rows) == 4
    for row in range(4):
        spans = [span for span in used.spans if span.row == row]
        assert all(before.ended <= after.began for before, after in itertools.pairwise(spans))
    assert 0 < used.busy <= 1


def test_the_time_between_two_drivers_is_no_work(tmp_path):
    play = Play(new_spec())
    play.begin()
    for _ in range(20):
        play.step()
    play.now += 86_400
    play.begin()
    subject = subject_of(written(play.to_the_end(), tmp_path), live=False)
    assert len(subject.runs) == 2
    assert subject.worked(play.now) < 3600


def test_a_driver_that_died_worked_until_its_last_event(tmp_path):
    play = Play(new_spec())
    play.begin()
    for _ in range(20):
        play.step()
    subject = subject_of(written(play, tmp_path), live=False)
    assert subject.runs[0].ended == play.now
    assert subject.runs[0].reason == ""
    # What ran then will be done anew.
    assert {span.fate for span in subject.occupancy.spans if span.ended == play.now} == {"lost"}


def test_work_that_was_done_anew_is_lost_not_the_trial_s(tmp_path):
    play = Play(new_spec())
    play.begin()
    for _ in range(6):
        play.step()
    play.step("lost")
    used = subject_of(written(play.to_the_end(), tmp_path), live=False).occupancy
    assert used.hours["lost"] > 0


# Failures


def test_errors_that_differ_in_numbers_only_are_one_cause(tmp_path):
    play = Play(new_spec(budget=Budget(trials=6)))
    play.begin()
    for number in range(3):
        play.step()
        trial = max(play._running)
        end = ev.AttemptEnded(
            time=play.now, trial=trial, attempt=play._running.pop(trial), outcome="failed",
            error=f"Traceback\nRuntimeError: tried to allocate 2.{number} GiB at 0x7f{number}",
        )  # fmt: skip
        play.handle(end)
    stored = written(play.to_the_end(), tmp_path)
    log = stored.paths.trial(2).attempt_log(1)
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    (cause,) = failures.causes(stored.machine, stored.paths)
    assert cause.text == "RuntimeError: tried to allocate 2.0 GiB at 0x7f0"
    assert len(cause.attempts) == 3
    assert cause.trials_failed == 3
    assert cause.tail.splitlines()[0] == "line 85"
    assert cause.tail.splitlines()[-1] == "line 99"


def test_the_story_tells_the_winner_s_way():
    study = acted(60).machine
    lines = story.story(study, importance.influence(study))
    best = study.best
    assert lines[0].startswith(f"Trial {best.number} has the best val_loss")
    assert "1st of" in lines[1]
    assert any("What mattered most was lr" in line for line in lines)


def test_a_study_without_any_value_says_so(tmp_path):
    play = Play(new_spec(budget=Budget(trials=2)))
    play.begin()
    play.step()
    play.step(value=math.nan)
    stored = written(play, tmp_path)
    found = facts(stored, live=False)
    assert found.story == ["No trial has reported a finite val_loss yet."]
    assert found.subject.influence is None


def test_fates_are_the_trials_states_and_one_best():
    study = acted(12).machine
    found = occupancy.fates(study, live=False)
    assert found.pop(study.best.number) == "best"
    assert all(fate == study.trials[number].state.value for number, fate in found.items())
    running = Play(new_spec())
    running.begin()
    running.step()
    assert occupancy.fates(running.machine, live=True)[0] == TrialState.RUNNING.value
    assert occupancy.fates(running.machine, live=False)[0] == TrialState.WAITING.value


def test_a_grid_s_trials_are_told_like_others():
    study = acted(4, search=Search(algorithm="random"), scheduler=Scheduler(type="none", max_t=2)).machine
    assert comparing.rungs(study) == [2]
