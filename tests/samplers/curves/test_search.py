"""What a free place is used for."""

import itertools
import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sweep.samplers.curves.encoding import Encoding
from sweep.samplers.curves.search import STARTUP_TRIALS, New, Search, expected_improvement
from sweep.samplers.curves.table import Curve, Ladder, gather
from sweep.samplers.curves.waiting import Continue

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])}
LADDER = Ladder.geometric(1, 27, 3)


def end(params):
    return (params["x"] - 0.7) ** 2 + (params["y"] - 0.2) ** 2 + (params["kind"] == "b")


def honest(params, t):
    return end(params) + 1 / t


def silent(params, t):
    """Before the end there is only noise, the same whenever it is looked at."""
    return end(params) if t == LADDER.max_t else 2 + math.sin(1e4 * (params["x"] + 3 * params["y"] + t))


def warming_up(params, t):
    """At the first rung large x lead a little; in the end they are the worst."""
    left = LADDER.left(t)
    ripple = 0.02 * math.sin(1e4 * (params["x"] + 3 * params["y"]))
    return (
        (1 - left) * 4 * ((params["x"] - 0.3) ** 2 + (params["y"] - 0.2) ** 2) + left * (6 - params["x"] / 2) + ripple
    )


class Play:
    """A study on simulated places, with the search as sampler and scheduler in one."""

    def __init__(self, curve, *, pausing=True, seed=0, **options):
        self.encoding = Encoding(SPACE)
        self.search = Search(self.encoding, LADDER, pausing=pausing, seed=seed, **options)
        self.curve, self.seed = curve, seed
        self.trials, self.steps, self.decisions = {}, 0, []

    def curves(self):
        made = []
        for number, (params, values, status, until) in self.trials.items():
            passed = tuple(LADDER.passed(values))
            units, row = self.encoding.units(params), self.encoding.row(params)
            made.append(Curve(number, units, row, tuple(values.items()), passed, status, until))
        return made

    def decide(self):
        found = self.search.decide(self.curves(), np.random.default_rng((self.seed, len(self.decisions))))
        self.decisions.append(found)
        if isinstance(found, New):
            number = len(self.trials)
            self.trials[number] = [self.encoding.params(found.units), {}, "running", found.until]
        else:
            number = found.trial
            self.trials[number][2:] = ["running", found.until]
        return number

    def train(self, number):
        params, values, _, until = self.trials[number]
        for t in range(max(values, default=0) + 1, until + 1):
            values[t] = self.curve(params, t)
            self.steps += 1
        self.trials[number][2:] = ["ended" if until == LADDER.max_t else "paused", None]

    def run(self, steps):
        while self.steps < steps:
            self.train(self.decide())
        return self

    @property
    def best(self):
        return min(min(values.values()) for _, values, _, _ in self.trials.values() if values)


def test_first_configs_are_spread_over_the_space():
    play = Play(honest, startup=8)
    for _ in range(8):
        play.train(play.decide())
    for name in ("x", "y"):
        assert sorted(int(8 * trial[0][name]) for trial in play.trials.values()) == list(range(8))


def test_search_comes_closer_than_chance_with_the_same_steps():
    random = np.random.default_rng(0)
    encoding = Encoding(SPACE)
    steps = 8 * LADDER.max_t
    chance = [min(end(encoding.params(random.random(3))) for _ in range(8)) for _ in range(50)]
    found = [Play(honest, seed=seed).run(steps).best - 1 / LADDER.max_t for seed in range(3)]
    assert max(found) < np.quantile(chance, 0.1)


def test_where_low_rungs_say_nothing_trials_are_trained_to_the_end():
    play = Play(silent).run(25 * LADDER.max_t)
    later = play.decisions[len(play.decisions) // 2 :]
    assert sum(found.until == LADDER.max_t for found in later) > len(later) / 2
    assert play.best < 0.05


def test_a_corner_that_leads_at_the_first_rung_and_ends_behind_is_soon_left():
    there = 0
    for seed in range(5):
        play = Play(warming_up, seed=seed)
        while len(play.trials) < 28:
            play.train(play.decide())
        there += sum(params["x"] > 0.85 for params, *_ in list(play.trials.values())[STARTUP_TRIALS:])
        assert play.best < 0.1
    # A model that takes what the first rung shows for all there is to see goes there 32 times.
    assert there <= 22


@pytest.mark.parametrize(("status", "counts"), [("paused", True), ("ended", False)])
def test_what_a_waiting_trial_promises_is_no_news_and_what_a_stopped_one_did_is_gone(status, counts):
    """The best to improve on: the end that is expected of a trial counts where somebody can still train it there."""
    play = Play(lambda params, t: honest(params, t) + LADDER.left(t))
    for _ in range(12):
        play.train(play.decide())
    for number in list(play.trials):
        while play.trials[number][2] == "paused":
            play.trials[number][3] = LADDER.max_t
            play.train(number)
    best_config = {"x": 0.7, "y": 0.2, "kind": "a"}
    short = {t: play.curve(best_config, t) - 0.3 for t in range(1, 10)}
    play.trials[len(play.trials)] = [best_config, short, status, None]
    table = gather(play.curves(), LADDER)
    _, best = play.search._learned(table, play.curves(), np.random.default_rng(0))
    assert (best < table.best - 0.05) == counts


@pytest.mark.parametrize("curve", [honest, silent])
def test_one_in_reduction_factor_goes_beyond_each_rung_at_least(curve):
    play = Play(curve)
    for _ in range(80):
        play.train(play.decide())
        reached = [sum(max(values) >= rung for _, values, _, _ in play.trials.values()) for rung in LADDER.rungs]
        # One decision may be needed for each rung.
        for before, beyond in itertools.pairwise(reached):
            assert beyond >= before // 3 - len(LADDER.rungs)


def test_without_pausing_each_new_trial_is_meant_for_the_end():
    play = Play(honest, pausing=False)
    for _ in range(12):
        number = play.decide()
        assert play.trials[number][3] == LADDER.max_t
        play.train(number)
    assert all(isinstance(found, New) for found in play.decisions)


def test_places_at_once_dont_get_the_same_config():
    play = Play(honest)
    for _ in range(10):
        play.train(play.decide())
    together = [play.decide() for _ in range(6)]
    new = [number for number in together if not play.trials[number][1]]
    configs = [play.encoding.row(play.trials[number][0]).tobytes() for number in new]
    assert len(set(configs)) == len(configs)
    assert len(set(together)) == len(together)


def test_same_trials_give_the_same_decision():
    one, other = Play(honest).run(150), Play(honest).run(150)
    assert [trial[0] for trial in one.trials.values()] == [trial[0] for trial in other.trials.values()]


def test_configs_that_arent_allowed_are_never_proposed():
    encoding = Encoding(SPACE)
    play = Play(honest, allowed=lambda units: encoding.params(units)["x"] < 0.5).run(200)
    assert all(params["x"] < 0.5 for params, *_ in play.trials.values())


def test_going_on_says_why():
    play = Play(honest).run(200)
    reasons = {found.reason for found in play.decisions if isinstance(found, Continue)}
    assert reasons
    assert all(reasons)


@pytest.mark.parametrize(("mean", "deviation", "told"), [(0.0, 1.0, 0.3989), (-2.0, 1e-9, 2.0), (9.0, 0.5, 0.0)])
def test_expected_improvement(mean, deviation, told):
    assert expected_improvement(np.array([mean]), np.array([deviation]), 0.0)[0] == pytest.approx(told, abs=1e-4)
