"""What more trials would likely buy: how far the best value may still fall, from the values of the trials so far.

Values are compared at one fidelity: the furthest that ten of the recent trials came to. Where weak trials are stopped,
most values are of shorter trainings, and say more of those than of what a better trial would be. Those that came so far
are taken for the best of all, and the better half of them, at most a quarter of the recent trials, for the tail that a
better trial would come from. That the excesses
over a threshold follow a generalized Pareto distribution, whatever the values do, is the theorem of Balkema & de Haan
(1974) and Pickands (1975); see Coles, "An introduction to statistical modeling of extreme values" (2001), chapter 4.
Shape and scale aren't estimated but weighed: each pair on a grid by its likelihood, so a tail of a few values says how
little it knows. The best of n more trials is then a quantile of each pair's distribution, and what is told is their
mixture. The plain alternative, the expected best of n draws from the values themselves (Dodge et al. 2019, "Show your
work"), can never see beyond the best so far.

Where it is a model and not the truth: it takes the trials to come for draws from what the recent ones were drawn from.
A sampler that still learns does better than that, one that has narrowed down to a spot does worse. So only the later
half of the trials is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MIN_TRIALS = 20
"""With fewer ended trials that came to something there is no tail to speak of."""

MIN_WINDOW = 40
"""So many of the last trials are looked at even where that is more than half."""

FURTHEST = 10
"""Values are compared at the furthest fidelity that so many trials came to."""

MIN_TAIL = 5
"""The tail has at least so many values."""

TAIL = 0.25
"""The part of the trials that makes up the tail, where half of those that came far are more."""

MAX_WINDOW = 400
"""No more than the last so many values are looked at."""

CONFIDENCE = 0.9
"""What lies between `low` and `high`."""

_CHANCES = tuple((place + 0.5) / 20 for place in range(20))
# From the exponential tail to the one with an edge, that of two parameters around a minimum: metrics have a floor, so
# no heavier tail; a steeper one would have its highest likelihood where the best value is the floor itself.
_SHAPES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
_MARGINS = tuple(math.exp(place / 2) for place in range(-14, 9))


@dataclass(frozen=True)
class Record:
    """How the best value of one trial fell.

    Attributes:
        t: the furthest fidelity that it came to.
        bests: each new best value with its fidelity, lower is better; none where it came to nothing, or broke a bound.
    """

    t: int = 0
    bests: tuple[tuple[int, float], ...] = ()

    def at(self, t: int) -> float:
        """The best value up to a fidelity; inf before the first, and at one that the trial didn't come to."""
        if t > self.t:
            return math.inf
        return next((value for when, value in reversed(self.bests) if when <= t), math.inf)


@dataclass(frozen=True)
class Outlook:
    """By how much the best value would likely improve; all amounts are positive or 0.

    Attributes:
        trials: after how many more.
        gain: the mean.
        low: exceeded in 95 of 100 cases.
        high: exceeded in 5 of 100 cases.
    """

    trials: int
    gain: float
    low: float
    high: float


def outlook(records: Sequence[Record], trials: int) -> Outlook | None:
    """What `trials` more would likely buy.

    Args:
        records: of the trials in the order in which they ended, or paused.
        trials: how many more; at least 0.

    Returns:
        None when there are too few values to tell.
    """
    window = records[-min(MAX_WINDOW, max(MIN_WINDOW, len(records) // 2)) :]
    valued = sum(bool(record.bests) for record in window)
    if valued < MIN_TRIALS:
        return None
    t = _furthest(window)
    values = sorted(value for value in (record.at(t) for record in window) if math.isfinite(value))
    size = max(MIN_TAIL, min(round(TAIL * valued), len(values) // 2))
    excesses = [values[size] - value for value in values[:size]]
    reached = values[size] - min(record.at(t) for record in records)
    if not trials or not excesses[0]:
        return Outlook(trials, 0.0, 0.0, 0.0)
    # The part of the tail that lies beyond the lowest of so many draws, at each of some chances: each draw is of the
    # tail in `size` of `len(window)` cases.
    beyond = [-math.expm1(math.log(chance) / trials) * len(window) / size for chance in _CHANCES]
    gains = sorted(
        (max(0.0, _depth(part, shape, scale) - reached), weight)
        for shape, scale, weight in _weighed(excesses, reached)
        for part in beyond
    )
    total = math.fsum(weight for _, weight in gains)
    mean = math.fsum(gain * weight for gain, weight in gains) / total
    edge = (1 - CONFIDENCE) / 2
    return Outlook(trials, mean, _quantile(gains, edge * total), _quantile(gains, (1 - edge) * total))


def _furthest(window: Sequence[Record]) -> int:
    """The furthest fidelity at which `FURTHEST` trials have a value."""
    # What has a value somewhere has it at the end too.
    return sorted(record.t for record in window if record.bests)[-FURTHEST]


def _depth(beyond: float, shape: float, scale: float) -> float:
    """How deep in the tail the point lies beyond which there is this part of it."""
    if beyond >= 1:
        return 0.0
    return -scale * math.expm1(shape * math.log(beyond)) / shape


def _weighed(excesses: Sequence[float], reached: float) -> Iterator[tuple[float, float, float]]:
    """Shapes and scales, each pair with its likelihood given these excesses; no pair is likelier beforehand.

    Args:
        excesses: (n,) at least 0, the largest first and above 0.
        reached: how deep the best value lies, which may be an earlier one.
    """
    found = []
    for shape in _SHAPES:
        # By where the floor lies below the best: fine steps close to it, where the likelihood changes fast.
        for margin in _MARGINS:
            scale = shape * reached * (1 + margin)
            even = math.log(margin / (1 + margin))  # all scales as likely on a log axis
            found.append((shape, scale, even + _log_likelihood(excesses, shape, scale)))
    most = max(likelihood for _, _, likelihood in found)
    for shape, scale, likelihood in found:
        if likelihood > most - 20:
            yield shape, scale, math.exp(likelihood - most)


def _log_likelihood(excesses: Sequence[float], shape: float, scale: float) -> float:
    logs = math.fsum(math.log1p(-shape * value / scale) for value in excesses)
    return (1 / shape - 1) * logs - len(excesses) * math.log(scale)


def _quantile(gains: Sequence[tuple[float, float]], weight: float) -> float:
    """The value below which there is this weight; `gains` ascending, each with its own."""
    passed = 0.0
    for gain, own in gains:
        passed += own
        if passed >= weight:
            return gain
    return gains[-1][0]
