"""The sampler in Optuna's hands, without anything else of ours."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from sweep.samplers.curves.sampler import CurveSampler
from sweep.samplers.curves.waiting import Continue


def curve(x, y, t):
    return (x - 0.3) ** 2 + (y - 2.0) ** 2 + 1 / t


def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    y = trial.suggest_float("y", 0, 4)
    for t in range(1, 10):
        trial.report(curve(x, y, t), t)
        if trial.should_prune():
            raise optuna.TrialPruned
    return curve(x, y, 9)


def optimized(trials, seed=0, goal="minimize", objective=objective):
    study = optuna.create_study(
        direction=goal,
        sampler=CurveSampler(max_t=9, seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3),
    )
    study.optimize(objective, n_trials=trials)
    return study


def test_optuna_study_with_pruner_comes_close_to_the_optimum():
    study = optimized(25)
    assert study.best_value - 1 / 9 < 0.02
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_maximizing_is_the_mirror_image():
    def mirrored(trial):
        return -objective(trial)

    def unpruned(trial):
        return -curve(trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 4), 9)

    study = optimized(20, goal="maximize", objective=unpruned)
    assert -study.best_value - 1 / 9 < 0.05


def test_same_seed_gives_the_same_trials_and_another_seed_others():
    one, other, third = optimized(12), optimized(12), optimized(12, seed=1)
    assert [trial.params for trial in one.trials] == [trial.params for trial in other.trials]
    assert one.trials[5].params != third.trials[5].params


def test_parameters_that_some_trials_lack_are_proposed_too():
    def conditional(trial):
        kind = trial.suggest_categorical("kind", ["a", "b"])
        value = trial.suggest_float("momentum", 0, 1) if kind == "a" else 1.5
        return (value - 0.5) ** 2

    study = optimized(20, objective=conditional)
    assert study.best_params["kind"] == "a"
    assert study.best_value < 0.01


def test_trial_that_only_returns_a_value_is_learned_from():
    study = optimized(15, objective=lambda trial: abs(trial.suggest_float("x", 0, 1) - 0.25))
    assert study.best_value < 0.02


def test_what_isnt_allowed_is_not_proposed():
    sampler = CurveSampler(max_t=9, allowed=lambda params: params["x"] > 0.6)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=12)
    # The first has no space yet to plan in.
    assert all(trial.params["x"] > 0.6 for trial in study.trials[1:])


def test_paused_trials_go_on_when_they_promise_most():
    space = {
        "x": optuna.distributions.FloatDistribution(0, 1),
        "y": optuna.distributions.FloatDistribution(0, 4),
    }
    sampler = CurveSampler(max_t=9, space=space)
    study = optuna.create_study(sampler=sampler)
    paused, made, went_on = {}, [], []
    for _ in range(40):
        found = sampler.decide(study, len(made), dict.fromkeys(paused))
        if isinstance(found, Continue):
            number, until = found.trial, found.until
            went_on.append(number)
            del paused[number]
        else:
            params, until = found
            study.enqueue_trial(params)
            made.append(study.ask(space))
            number = made[-1].number
        trial = made[number]
        for t in range(max(study.trials[number].intermediate_values, default=0) + 1, until + 1):
            trial.report(curve(**trial.params, t=t), t)
        if until == 9:
            study.tell(trial, curve(**trial.params, t=9))
        else:
            paused[number] = until
    assert went_on
    assert any(trial.state is TrialState.COMPLETE for trial in study.trials)
    assert math.isfinite(study.best_value)


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_trials_without_a_value_stop_nothing(state):
    study = optuna.create_study(sampler=CurveSampler(max_t=9))
    for number in range(8):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        if number % 2:
            study.tell(trial, state=state)
        else:
            study.tell(trial, trial.params["x"])
    assert len({trial.params["x"] for trial in study.trials}) == 8
