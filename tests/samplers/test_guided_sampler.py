"""Studies in which a model of all curves says who goes on, on simulated workers."""

import math
import statistics

import pytest

from sweep.core import events as ev
from sweep.core.spec import Budget, Choice, FloatRange, Metric, Scheduler, Search, StudySpec
from sweep.core.study import replay
from sweep.core.trial import TrialState
from sweep.executors.simulated import Course
from sweep.samplers.guided_sampler import GuidedSampler, make_sampler
from sweep.samplers.optuna_sampler import OptunaSampler
from sweep.samplers.teaching import teach
from sweep.simulating import simulate

MAX_T = 27


def spec(*, trials=25, algorithm="gp", promote="auto", search=(), constraints=(), **scheduler):
    return StudySpec(
        name="s",
        entrypoint="m:f",
        metric=Metric(name="loss", goal="minimize"),
        parameters={
            "x": FloatRange(min=0, max=1),
            "lr": FloatRange(min=1e-4, max=1, log=True),
            "kind": Choice(values=["a", "b"]),
            "momentum": FloatRange(min=0, max=1, when={"kind": "a"}),
        },
        constraints=list(constraints),
        search=Search(algorithm=algorithm, **dict(search)),
        scheduler=Scheduler(max_t=MAX_T, promote=promote, **scheduler),
        budget=Budget(trials=trials),
    )


def course(config):
    end = (config["x"] - 0.3) ** 2 + (math.log10(config["lr"]) + 2) ** 2 / 8
    end += (config["momentum"] - 0.9) ** 2 if config["kind"] == "a" else 0.3
    return Course({"loss": [end + 1 / t for t in range(1, MAX_T + 1)]})


def test_only_the_model_of_curves_guides():
    assert isinstance(make_sampler(spec()), GuidedSampler)
    assert not isinstance(make_sampler(spec(promote=False)), GuidedSampler)
    assert not isinstance(make_sampler(spec(algorithm="tpe")), GuidedSampler)
    assert not isinstance(make_sampler(spec(type="median")), GuidedSampler)


def test_trials_pause_go_on_and_one_is_trained_to_the_end():
    machine = simulate(spec(), course, slots=3).machine
    assert machine.ended
    assert machine.ended.complete
    assert len(machine.trials) == 25
    assert {trial.state for trial in machine.trials.values()} == {TrialState.COMPLETE, TrialState.STOPPED}
    assert any(len(trial.attempts) > 1 for trial in machine.trials.values())
    assert machine.best.t == MAX_T
    went_on = [each for each in machine.decisions if each.action == "advance" and "went beyond" in each.reason]
    assert went_on, "each going on says why"


def test_trial_that_is_chosen_at_once_goes_on_without_a_further_attempt():
    run = simulate(spec(), course, slots=1)
    chosen = [event.trial for event in run.log.events() if isinstance(event, ev.WentOn)]
    assert sum(len(trial.attempts) - 1 for trial in run.machine.trials.values()) < len(chosen)


def test_model_finds_better_ones_than_random_with_asha():
    """The median of three seeds, with as many trials."""
    found = {}
    for algorithm in ("gp", "random"):
        runs = [simulate(spec(algorithm=algorithm, search={"seed": seed}), course, slots=3) for seed in range(3)]
        found[algorithm] = statistics.median(run.machine.best.value(run.machine.metric) for run in runs)
    assert found["gp"] - 1 / MAX_T < 0.5 * (found["random"] - 1 / MAX_T)


def test_events_alone_give_the_same_study():
    run = simulate(spec(), course, slots=3)
    again = replay(spec(), list(run.log.events()))
    assert again.trials == run.machine.trials
    assert again.decisions == run.machine.decisions


@pytest.mark.parametrize("at", [7.5, 31.5])
def test_study_goes_on_after_a_crash_and_no_finished_trial_runs_again(at):
    first = simulate(spec(), course, slots=3, crash_at_s=at)
    assert first.crashed
    over = {n: trial.reports for n, trial in first.machine.trials.items() if trial.state is TrialState.COMPLETE}
    second = simulate(spec(), course, slots=3, log=first.log)
    assert second.machine.ended
    assert second.machine.ended.complete
    assert len(second.machine.trials) == 25
    assert all(second.machine.trials[n].reports == reports for n, reports in over.items())
    for trial in second.machine.trials.values():
        assert [report.t for report in trial.reports] == list(range(1, trial.t + 1))


def test_resumed_sampler_advises_what_it_would_have():
    run = simulate(spec(), course, slots=1)
    events = list(run.log.events())
    # Where a resume could come between: no trial is at work.
    decided = [
        place
        for place, event in enumerate(events)
        if isinstance(event, ev.TrialCreated | ev.WentOn) and isinstance(events[place - 1], ev.AttemptEnded)
    ]
    assert len(decided) > 1
    for place in decided[1:]:
        machine = replay(spec(), events[:place])
        sampler = GuidedSampler(spec())
        teach(machine, [sampler])
        number = len(machine.trials)
        advice, event = sampler.advise(number if number < spec().budget.trials else None), events[place]
        told = (
            (event.config, None, event.until)
            if isinstance(event, ev.TrialCreated)
            else (None, event.trial, event.until)
        )
        assert (advice.config, advice.trial, advice.until) == told


def test_points_to_evaluate_come_first():
    point = {"x": 0.25, "lr": 0.01, "kind": "b"}
    machine = simulate(spec(trials=6, search={"points_to_evaluate": [point]}), course).machine
    assert machine.trials[0].config == point


def test_constraints_hold_for_all_that_is_proposed():
    machine = simulate(spec(constraints=["x + lr <= 0.6"]), course, slots=3).machine
    assert all(trial.config["x"] + trial.config["lr"] <= 0.6 for trial in machine.trials.values())


def test_without_pausing_the_same_model_proposes_for_asha():
    sampler = make_sampler(spec(promote=False))
    assert type(sampler) is OptunaSampler
    machine = simulate(spec(promote=False), course, slots=3).machine
    assert all(len(trial.attempts) == 1 for trial in machine.trials.values())
    assert machine.best.value(machine.metric) - 1 / MAX_T < 0.2
