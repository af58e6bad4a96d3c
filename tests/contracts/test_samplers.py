"""What every search algorithm holds, asked through the sampler that a driver asks."""

import math
import statistics
from functools import cache

import pytest

from sweep.core.loading import load
from sweep.core.objectives import Result
from sweep.core.seeds import generator
from sweep.core.space import Space, contains
from sweep.samplers.optuna_sampler import OptunaSampler

ALGORITHMS = ("tpe", "gp", "cmaes", "qmc", "random", "nsga2", "nsga3", "grid", "auto")
LEARNERS = ("tpe", "gp", "cmaes", "auto")

HEAD = """
name: s
entrypoint: m:f
scheduler: {max_t: 9}
budget: {trials: 200}
"""
ONE = "metric: {name: loss, goal: minimize}\n"
TWO = "metric: [{name: loss, goal: minimize}, {name: accuracy, goal: maximize}, {name: memory, max: 5}]\n"
MIXED = """
parameters:
  lr: {min: 1e-5, max: 1e-1, log: true}
  width: {min: 8, max: 66, step: 8}
  dropout: {min: 0.0, max: 0.5, step: 0.25}
  act: [relu, gelu, null, 3]
  size: {values: [small, medium, large], ordered: true}
  data: digits
"""
CONDITIONAL = """
parameters:
  optimizer: [sgd, adam, lamb]
  momentum: {min: 0.5, max: 0.9, step: 0.05, when: {optimizer: sgd}}
  width: {min: 8, max: 64, step: 8}
  heads: {min: 1, max: 4}
  kernel: [3, 5, 7]
  padding: {values: [1, 2, 3], ordered: true}
  clip: {values: [true, false], when: {optimizer: [adam, lamb]}}
  norm: {min: 1, max: 4, when: {clip: true}}
zip: [[kernel, padding]]
derived: {head_dim: width / heads}
constraints: ["width % heads == 0", "head_dim >= 8", "momentum < padding * 0.4"]
"""
SMALL = """
parameters:
  a: {min: 1, max: 4}
  b: [x, y]
  c: {values: [1, 2, 3], when: {b: y}}
constraints: ["a * 2 != 4"]
"""
BOWL = """
parameters:
  x: {min: 0.0, max: 1.0}
  y: {min: 1e-4, max: 1.0, log: true}
  n: {min: 0, max: 100}
"""


def spec(algorithm, text, *more, metric=None):
    metric = metric or (TWO if algorithm == "nsga3" else ONE)
    if algorithm == "grid" and text in (MIXED, BOWL):
        text = text.replace("1e-5, max: 1e-1, log: true", "0.01, max: 0.1, step: 0.01")
        text = text.replace("max: 1.0}", "max: 1.0, step: 0.25}").replace("1e-4, max: 1.0, log: true", "1, max: 5")
        text = text.replace("max: 100}", "max: 100, step: 20}")
    return load(HEAD + metric + text, source="s.yaml", overrides=[f"search.algorithm={algorithm}", *more])


def numbers(config):
    """A config as one number and its parts, whatever it has."""
    rough = [
        math.log10(value) if 0 < value < 1e-2 else value for value in config.values() if type(value) in (int, float)
    ]
    return sum(abs(value - 0.3) for value in rough) / 100


def result(study, config):
    loss = numbers(config)
    if study.metric.__class__ is list:
        return Result((loss, 1 - loss**2), (loss - 5,))
    return Result((loss,))


def end(study, sampler, number, config):
    found = result(study, config)
    sampler.report(number, 1, found)
    state = ["complete", "stopped", "complete", "failed"][number % 4]
    if state != "stopped":
        sampler.report(number, 3, found)
    sampler.tell(number, state, None if state == "failed" else found)


def play(study, count, *, running=3, known=(), sampler=None):
    """Trials that end in order, some running on: as with so many workers. Ends where the sampler has none left."""
    sampler = sampler or OptunaSampler(study)
    configs = list(known)
    for number, config in enumerate(known):
        sampler.add(number, config)
        if number < len(known) - running:
            end(study, sampler, number, config)
    for number in range(len(known), count):
        config = sampler.ask(number)
        if config is None:
            break
        configs.append(config)
        if number >= running:
            end(study, sampler, number - running, configs[number - running])
    return configs


@cache
def played(algorithm, text, count=40):
    return tuple(play(spec(algorithm, text), count))


texts = pytest.mark.parametrize("text", [MIXED, CONDITIONAL], ids=["mixed", "conditional"])
every = pytest.mark.parametrize("algorithm", ALGORITHMS)


@every
@texts
def test_every_proposal_lies_in_the_space_and_is_allowed(algorithm, text):
    space = Space(spec(algorithm, text))
    configs = played(algorithm, text)
    assert len(configs) == 40
    for config in configs:
        assert contains(space.parameters, config) == []
        assert space.broken(config) == []
        assert list(config) == [name for name in space.parameters if name in config]


@every
@texts
def test_same_seed_gives_the_same_trials_and_another_seed_others(algorithm, text):
    assert play(spec(algorithm, text), 40) == list(played(algorithm, text))
    assert play(spec(algorithm, text, "search.seed=5"), 40) != list(played(algorithm, text))


@every
@texts
@pytest.mark.parametrize("known", [3, 17, 33])
def test_a_resumed_study_proposes_what_it_would_have(algorithm, text, known):
    study, whole = spec(algorithm, text), list(played(algorithm, text))
    assert play(study, 40, known=whole[:known]) == whole


@every
@texts
def test_no_config_is_proposed_twice(algorithm, text):
    space = Space(spec(algorithm, text))
    keys = {space.key(config) for config in played(algorithm, text)}
    assert len(keys) == 40


@every
def test_a_finite_space_is_gone_through_and_ends(algorithm):
    study = spec(algorithm, SMALL)
    configs = play(study, 100)
    assert len(configs) == 3 * (1 + 3)
    assert len({str(config) for config in configs}) == len(configs)


@every
def test_points_come_first_and_count_as_tried(algorithm):
    study = spec(algorithm, SMALL, "search.points_to_evaluate=[{a: 3, b: y, c: 2}, {c: 1}]")
    configs = play(study, 100)
    assert configs[0] == {"a": 3, "b": "y", "c": 2}
    assert (configs[1]["b"], configs[1]["c"]) == ("y", 1)
    assert len({str(config) for config in configs}) == len(configs) == 12


@every
def test_failed_trials_are_harmless(algorithm):
    study = spec(algorithm, MIXED)
    sampler = OptunaSampler(study)
    for number in range(25):
        config = sampler.ask(number)
        assert contains(study.parameters, config) == []
        sampler.tell(number, "failed", None)


@every
def test_trials_that_end_in_any_order_give_a_study_that_resumes_alike(algorithm):
    study, random = spec(algorithm, MIXED), generator(1)
    sampler, configs, ended = OptunaSampler(study), [], []
    for number in range(30):
        configs.append(sampler.ask(number))
        waiting = [one for one in range(number + 1) if one not in ended]
        while len(waiting) > 4:
            done = waiting.pop(random.randrange(len(waiting)))
            end(study, sampler, done, configs[done])
            ended.append(done)
    again = OptunaSampler(study)
    for number, config in enumerate(configs):
        again.add(number, config)
        if number in ended:
            end(study, again, number, config)
    assert again.ask(30) == sampler.ask(30)


@every
def test_a_paused_trial_goes_on_and_is_resumed_alike(algorithm):
    study = spec(algorithm, MIXED)
    sampler = OptunaSampler(study)
    configs = []
    for number in range(24):
        configs.append(sampler.ask(number))
        sampler.report(number, 1, result(study, configs[-1]))
        sampler.pause(number, paused=True)
        if number % 3 == 2:
            sampler.pause(number - 2, paused=False)
            sampler.report(number - 2, 9, result(study, configs[number - 2]))
            sampler.tell(number - 2, "complete", result(study, configs[number - 2]))
    sampler.pause(23, paused=False)
    again = OptunaSampler(study)
    for number, config in enumerate(configs):
        again.add(number, config)
        again.report(number, 1, result(study, config))
        if number % 3 == 0:
            again.report(number, 9, result(study, config))
            again.tell(number, "complete", result(study, config))
        elif number != 23:
            again.pause(number, paused=True)
    assert again.ask(24) == sampler.ask(24)


def best_of(algorithm, seed, *, stopping, trials=60):
    """The best loss on an easy bowl, one trial at a time; with stopping two of three come to the first rung only."""
    study = spec(algorithm, BOWL, f"search.seed={seed}")
    sampler = OptunaSampler(study)
    losses, stopped = [], []
    for number in range(trials):
        config = sampler.ask(number)
        loss = (config["x"] - 0.7) ** 2 + (math.log10(config["y"]) / 4 + 0.3) ** 2 + (config["n"] / 100 - 0.2) ** 2
        losses.append(loss)
        # The first rung tells the order, and not the value.
        sampler.report(number, 1, Result((loss + 10,)))
        if stopping and stopped and loss > statistics.quantiles([*stopped, loss], n=3)[0]:
            sampler.tell(number, "stopped", Result((loss + 10,)))
        else:
            sampler.report(number, 9, Result((loss,)))
            sampler.tell(number, "complete", Result((loss,)))
        stopped.append(loss)
    return min(losses)


@pytest.mark.parametrize("stopping", [False, True], ids=["whole", "stopping"])
@pytest.mark.parametrize("algorithm", LEARNERS)
def test_those_that_learn_beat_chance(algorithm, stopping):
    found = [best_of(algorithm, seed, stopping=stopping) for seed in range(5)]
    chance = [best_of("random", seed, stopping=stopping) for seed in range(5)]
    assert statistics.median(found) < 0.5 * statistics.median(chance)


def test_breeding_comes_nearer_than_chance():
    metric = "metric: {name: a, goal: minimize}\n"
    found = [distance_to_front("nsga2", metric, seed) for seed in range(3)]
    chance = [distance_to_front("random", metric, seed) for seed in range(3)]
    assert statistics.median(found) < 0.6 * statistics.median(chance)


def distance_to_front(algorithm, metric, seed):
    study = spec(algorithm, BOWL, f"search.seed={seed}", metric=metric)
    sampler = OptunaSampler(study)
    goals = sum(one.goal is not None for one in study.metrics)
    far = []
    for number in range(150):
        config = sampler.ask(number)
        off = (math.log10(config["y"]) / 4 + 0.3) ** 2 + (config["n"] / 100 - 0.2) ** 2
        values = [config["x"] ** 2 + off, -((1 - config["x"]) ** 2) - off, off, config["x"] + off][:goals]
        bounds = (config["x"] - 2,) if len(study.metrics) > goals else ()
        sampler.report(number, 9, Result(tuple(values), bounds))
        sampler.tell(number, "complete", Result(tuple(values), bounds))
        far.append(off)
    return statistics.mean(far[-50:])


@pytest.mark.parametrize(("algorithm", "goals"), [("nsga2", 2), ("nsga3", 2), ("tpe", 2), ("nsga2", 4), ("nsga3", 4)])
def test_several_objectives_come_nearer_to_their_front_than_chance(algorithm, goals):
    more = ", {name: c, goal: minimize}, {name: d, goal: minimize}" if goals > 2 else ""
    metric = "metric: [{name: a, goal: minimize}, {name: b, goal: maximize}%s, {name: e, max: 5}]\n" % more  # noqa: UP031
    found = [distance_to_front(algorithm, metric, seed) for seed in range(3)]
    chance = [distance_to_front("random", metric, seed) for seed in range(3)]
    assert statistics.median(found) < 0.6 * statistics.median(chance)
