"""Conditions, constraints, lists in step and given values: what is proposed keeps all of them, whoever proposes."""

import pytest
from optuna.trial import TrialState

from sweep.core.loading import load
from sweep.core.objectives import Result, objectives
from sweep.core.space import NoConfigError, Space, contains
from sweep.samplers.choosing import Algorithm
from sweep.samplers.history import History
from sweep.samplers.optuna_journal import OptunaJournal
from sweep.samplers.optuna_sampler import OptunaSampler

HEAD = """
name: s
entrypoint: m:f
metric: {name: loss, goal: minimize}
"""
CONDITIONAL = (
    HEAD
    + """
parameters:
  momentum: {min: 0.5, max: 0.99, when: {optimizer: sgd}}
  optimizer: [sgd, adam, lamb]
  lr: {min: 1e-4, max: 1e-1, log: true}
  beta: {min: 0.9, max: 0.999, when: {optimizer: [adam, lamb]}}
  clip: {values: [true, false], when: {optimizer: lamb}}
  norm: {min: 1, max: 4, when: {clip: true}}
  epsilon: {value: 1e-8, when: {optimizer: adam}}
  only: {values: [3]}
"""
)
CONSTRAINED = (
    HEAD
    + """
parameters:
  width: {min: 1, max: 256}
  heads: {min: 1, max: 16}
  kernel: [3, 5, 7]
  padding: {values: [1, 2, 3], ordered: true}
  lr: {min: 0, max: 1.0}
zip: [[kernel, padding]]
derived: {head_dim: width / heads}
constraints: ["width % heads == 0", "head_dim >= 8", "lr < padding * 0.2"]
"""
)


def spec(text, algorithm, *more):
    return load(text, source="s.yaml", overrides=[f"search.algorithm={algorithm}", *more])


def loss(config):
    bonus = {"sgd": 1.0, "adam": 0.0, "lamb": 0.5}.get(config.get("optimizer"), 0.0)
    return bonus + abs(config.get("beta", 0.9) - 0.95) + config["lr"] + abs(config.get("width", 64) - 64) / 64


def play(sampler, numbers, *, running=3):
    """Trials that end in order, some running on: as with so many workers."""
    configs = []
    for number in numbers:
        configs.append(sampler.ask(number))
        done = number - running
        if done >= 0:
            end(sampler, done, configs[done - numbers[0]])
    return configs


def end(sampler, number, config):
    sampler.report(number, 1, Result((loss(config) + 1,)))
    state = ["complete", "stopped", "complete", "failed"][number % 4]
    sampler.tell(number, state, None if state == "failed" else Result((loss(config),)))


@pytest.mark.parametrize("algorithm", ["tpe", "random", "auto"])
@pytest.mark.parametrize("text", [CONDITIONAL, CONSTRAINED], ids=["conditional", "constrained"])
def test_every_proposal_lies_in_the_space_and_is_allowed(text, algorithm):
    study = spec(text, algorithm)
    space = Space(study)
    for config in play(OptunaSampler(study), range(40)):
        assert contains(space.parameters, config) == []
        assert space.broken(config) == []


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
@pytest.mark.parametrize("text", [CONDITIONAL, CONSTRAINED], ids=["conditional", "constrained"])
def test_proposals_depend_on_seed_and_number_alone(text, algorithm):
    first = play(OptunaSampler(spec(text, algorithm)), range(25))
    assert play(OptunaSampler(spec(text, algorithm)), range(25)) == first
    assert play(OptunaSampler(spec(text, algorithm, "search.seed=5")), range(25)) != first


@pytest.mark.parametrize("text", [CONDITIONAL, CONSTRAINED], ids=["conditional", "constrained"])
def test_a_resumed_study_proposes_the_same_though_trials_were_running(text):
    whole = play(OptunaSampler(spec(text, "tpe")), range(30))
    resumed = OptunaSampler(spec(text, "tpe"))
    for number, config in enumerate(whole[:20]):
        resumed.add(number, config)
    for number in range(17):
        end(resumed, number, whole[number])
    again = []
    for number in range(20, 30):
        again.append(resumed.ask(number))
        end(resumed, number - 3, [*whole[:20], *again][number - 3])
    assert again == whole[20:]


def test_tpe_learns_within_a_condition():
    """`beta` counts only with two optimizers of three; its late values are near the best."""
    configs = play(OptunaSampler(spec(CONDITIONAL, "tpe")), range(80), running=0)
    late = [config for config in configs[50:] if "beta" in config]
    assert len(late) > 20
    near = sum(abs(config["beta"] - 0.95) < 0.02 for config in late)
    assert near > len(late) / 2


def test_optuna_is_told_the_parameters_in_use_and_no_others(tmp_path):
    study = spec(CONSTRAINED, "random")
    sampler, journal = OptunaSampler(study), OptunaJournal(tmp_path / "optuna.log", study)
    config = sampler.ask(0)
    journal.add(0, config)
    journal.close()
    (trial,) = sampler.study.trials
    assert set(trial.params) == {"width", "heads", "kernel", "lr"}
    study = spec(CONDITIONAL, "random")
    sampler, journal = OptunaSampler(study), OptunaJournal(tmp_path / "other.log", study)
    for number in range(12):
        journal.add(number, sampler.ask(number))
    journal.close()
    space = Space(study)
    for trial in sampler.study.trials:
        assert set(trial.params) <= set(space.proposed)
        assert ("momentum" in trial.params) == (trial.params["optimizer"] == "sgd")


def test_a_point_is_kept_with_what_it_implies_and_the_rest_is_proposed():
    points = "search.points_to_evaluate=[{momentum: 0.7}, {norm: 2, lr: 0.01}, {optimizer: adam, beta: 0.91}]"
    study = spec(CONDITIONAL, "tpe", points)
    first, second, third = play(OptunaSampler(study), range(3))
    assert (first["optimizer"], first["momentum"]) == ("sgd", 0.7)
    assert second == {"optimizer": "lamb", "lr": 0.01, "beta": second["beta"], "clip": True, "norm": 2, "only": 3}
    assert third == {"optimizer": "adam", "lr": third["lr"], "beta": 0.91, "epsilon": 1e-8, "only": 3}


def test_a_point_in_step_or_half_filled_meets_the_constraints():
    points = "search.points_to_evaluate=[{padding: 3, lr: 0.55}, {width: 121}]"
    study = spec(CONSTRAINED, "random", points)
    first, second = play(OptunaSampler(study), range(2))
    assert (first["kernel"], first["padding"], first["lr"]) == (7, 3, 0.55)
    assert (second["width"], second["heads"]) in [(121, 1), (121, 11)]
    assert Space(study).broken(first) == Space(study).broken(second) == []


def test_a_rare_config_of_a_finite_space_is_found():
    text = HEAD + "parameters:\n  n: {min: 0, max: 9999}\nconstraints: [n == 4321]\n"
    assert OptunaSampler(spec(text, "random")).ask(0) == {"n": 4321}


def test_a_proposal_near_the_samplers_own_is_taken_first():
    """Few configs are allowed; those proposed lie where TPE looks, and not anywhere."""
    text = HEAD + "parameters:\n  lr: {min: 0.0, max: 1.0}\n  n: {min: 0, max: 999}\nconstraints: [n % 50 == 7]\n"
    sampler = OptunaSampler(spec(text, "tpe"))
    configs = play(sampler, range(60), running=0)
    assert sorted(config["lr"] for config in configs[40:])[10] < 0.25


def test_no_allowed_config_ends_with_a_reason():
    text = HEAD + "parameters:\n  lr: {min: 0.0, max: 1.0}\nconstraints: [lr > 2]\n"
    with pytest.raises(NoConfigError, match="none of 20000 configs drawn is allowed; most often: lr > 2 is not met"):
        OptunaSampler(spec(text, "random")).ask(0)


def test_trials_keep_their_states_whatever_they_have():
    sampler = OptunaSampler(spec(CONDITIONAL, "random"))
    play(sampler, range(6), running=2)
    states = [trial.state for trial in sampler.study.trials]
    assert states[:4] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE, TrialState.FAIL]
    assert states[4:] == [TrialState.RUNNING] * 2


def test_what_a_point_implies_needs_no_second_proposal(monkeypatch):
    asked = []

    make = Algorithm.sampler

    def counting(self, seed):
        asked.append(seed)
        return make(self, seed)

    monkeypatch.setattr(Algorithm, "sampler", counting)
    for seed in range(5):
        study = spec(CONDITIONAL, "random", f"search.seed={seed}", "search.points_to_evaluate=[{norm: 2}]")
        assert OptunaSampler(study).ask(0)["optimizer"] == "lamb"
    assert len(asked) == 5


def test_parameters_that_come_together_are_modelled_together():
    """By TPE's own account of what it would sample jointly."""
    study = spec(CONDITIONAL, "tpe")
    sampler = OptunaSampler(study)
    play(sampler, range(20), running=0)
    trial = sampler.study.trials[-1]
    algorithm = Algorithm(study, Space(study), History(objectives(study)))
    jointly = algorithm.sampler(0).infer_relative_search_space(sampler.study, trial)
    assert {"momentum", "beta", "lr", "optimizer"} <= set(jointly)
