"""What Optuna's samplers see of trials that are paused, of several objectives and of bounds."""

import pytest
from optuna.trial import TrialState

from sweep.core.objectives import Result
from sweep.core.spec import Budget, FloatRange, Metric, Scheduler, Search, StudySpec
from sweep.executors.simulated import Course
from sweep.samplers.optuna_sampler import OptunaSampler
from sweep.samplers.teaching import teach
from sweep.simulating import simulate

LOSS = Metric(name="loss", goal="minimize")


def spec(*metrics, **changes):
    fields = {
        "name": "s",
        "entrypoint": "m:train",
        "metric": list(metrics) or [LOSS],
        "parameters": {"x": FloatRange(min=0, max=1)},
        "search": Search(algorithm="tpe"),
        "scheduler": Scheduler(max_t=9, promote=True),
        "budget": Budget(trials=30),
    }
    return StudySpec(**(fields | changes))


def states(sampler):
    return [trial.state for trial in sampler.study.get_trials(deepcopy=False)]


def test_paused_trial_is_pruned_with_what_it_has_shown_and_goes_on_as_a_running_one():
    sampler = OptunaSampler(spec())
    sampler.ask(0)
    sampler.report(0, 1, Result((0.5,)))
    sampler.pause(0, paused=True)
    assert states(sampler) == [TrialState.PRUNED]
    assert sampler.study.get_trials()[0].intermediate_values == {1: 0.5}
    sampler.ask(1)
    sampler.pause(0, paused=False)
    assert states(sampler) == [TrialState.RUNNING, TrialState.RUNNING]
    sampler.report(0, 3, Result((0.4,)))
    sampler.tell(0, "complete", Result((0.4,)))
    assert states(sampler)[0] is TrialState.COMPLETE


def test_trial_that_is_paused_to_the_end_is_told_as_stopped():
    sampler = OptunaSampler(spec())
    sampler.ask(0)
    sampler.report(0, 1, Result((0.5,)))
    sampler.pause(0, paused=True)
    sampler.tell(0, "stopped", Result((0.5,)))
    assert states(sampler) == [TrialState.PRUNED]


def test_bounds_are_optunas_constraints():
    sampler = OptunaSampler(spec(LOSS, Metric(name="latency", max=5.0)))
    for number, excess in enumerate([-1.0, 2.0, float("inf")]):
        sampler.ask(number)
        sampler.tell(number, "complete", Result((0.1,), (excess,)))
    assert [trial.constraints for trial in sampler.study.get_trials()] == [
        {"latency": -1.0}, {"latency": 2.0}, {"latency": 1e12},
    ]  # fmt: skip
    assert sampler.study.best_trial.number == 0


def test_several_objectives_are_several_directions():
    sampler = OptunaSampler(spec(LOSS, Metric(name="accuracy", goal="maximize")))
    assert [direction.name for direction in sampler.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    for number, state in enumerate(["complete", "stopped"]):
        sampler.ask(number)
        sampler.report(number, 1, Result((0.5, 0.5)))
        sampler.tell(number, state, Result((0.1, 0.9)))
    assert [trial.values for trial in sampler.study.get_trials()] == [[0.1, 0.9], None]


@pytest.mark.parametrize(
    "metrics",
    [[LOSS], [LOSS, Metric(name="size", goal="minimize")], [LOSS, Metric(name="size", max=0.5)]],
    ids=["one", "two", "bound"],
)
def test_tpe_learns_in_a_study_that_pauses(metrics):
    """And a resumed one is taught to the same states."""

    def course(config):
        return Course({"loss": [(config["x"] - 0.3) ** 2 + 1 / t for t in range(1, 10)], "size": [config["x"]] * 9})

    study = spec(*metrics)
    sampler = OptunaSampler(study)
    done = simulate(study, course, slots=2, sampler=sampler)
    assert done.machine.ended.complete
    assert done.machine.front()
    again = OptunaSampler(study)
    teach(done.machine, [again])
    assert states(again) == states(sampler)
    if metrics == [LOSS]:
        late = [trial.config["x"] for trial in done.machine.trials.values()][-10:]
        assert sum(abs(x - 0.3) < 0.2 for x in late) >= 6
