"""Whether trials pause at rungs, and whether the sampler says who goes on."""

from __future__ import annotations

from sweep.core.algorithms import choose
from sweep.core.spec import StudySpec


def guided(spec: StudySpec) -> bool:
    """Whether paused trials go on as a model of the curves advises, and not by their ranks alone.

    So it is with the sampler that has such a model, unless the file says `promote: false`: stop at the rungs.
    """
    rules = spec.scheduler
    return rules.type == "asha" and rules.promote is not False and choose(spec).algorithm == "gp"


def pauses(spec: StudySpec) -> bool:
    """Whether trials that don't go on from a rung pause there, rather than stop."""
    return guided(spec) or (spec.scheduler.promote is True and spec.scheduler.type in ("asha", "hyperband"))
