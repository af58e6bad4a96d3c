"""Whether a space has configs that a trial may have, and how many: what is worth saying before anything starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.core.drawing import draw, listed
from sweep.core.positions import Path, dotted
from sweep.core.seeds import generator
from sweep.core.space import Space
from sweep.core.spec import StudySpec

FEW_DRAWN = 2_000
"""Configs drawn to tell the share that is allowed."""

MOST_DRAWN = 20_000
"""Configs drawn before a space counts as one in which none is."""

TINY = 0.02
"""A share below this is worth a line."""


@dataclass(frozen=True)
class Share:
    """How many of the configs looked at are allowed.

    Attributes:
        allowed: of those seen.
        seen: how many were looked at.
        whole: those were all that there are.
        hindrance: what most of the others fail, in words.
    """

    allowed: int
    seen: int
    whole: bool
    hindrance: str = ""


def share_allowed(space: Space, given: Mapping[str, Any] | None = None) -> Share:
    """How many configs are allowed, of all where they can be counted and else of some drawn.

    Args:
        space: of the study.
        given: proposed values that they have to have, by name.
    """
    wanted = space.implied(given or {})
    every = listed(space)
    random = generator(0, "feasibility")
    hindrances: Counter[str] = Counter()
    allowed = seen = 0
    while True:
        if every is not None:
            config = next(every, None)
            if config is None:
                break
            if not _holds(space, config, wanted):
                continue
        elif seen >= MOST_DRAWN or (seen >= FEW_DRAWN and allowed):
            break
        else:
            config = draw(space, random, wanted)
        seen += 1
        idle = [name for name in wanted if name not in config]
        broken = [f"{idle[0]} is not in use there"] if idle else space.broken(config)
        allowed += not broken
        hindrances.update(line.partition(" with ")[0] for line in broken)
    worst = hindrances.most_common(1)
    return Share(allowed, seen, every is not None, worst[0][0] if worst else "")


def none_allowed(share: Share) -> str:
    """That no config is allowed, in a sentence."""
    what = f"none of the {share.seen} configs of this space" if share.whole else f"none of {share.seen} configs drawn"
    return f"{what} is allowed; most often: {share.hindrance}."


def problems(spec: StudySpec) -> list[str]:
    """What can't work in a file that reads well, a line each: no config is allowed, or none that a point describes."""
    space = Space(spec)
    found: list[str] = []
    if space.constrained:
        share = share_allowed(space)
        if not share.allowed:
            path: Path = ("constraints",) if spec.constraints else ("derived",)
            told = f"{none_allowed(share)} Widen the ranges, or drop it."
            return [_line(spec, path, told)]
    if space.constrained or space.conditional:
        for place, point in enumerate(spec.search.points_to_evaluate):
            given = space.chosen(point)
            share = share_allowed(space, given)
            if not share.allowed:
                path = ("search", "points_to_evaluate", place)
                found.append(_line(spec, path, f"no config with these values is allowed: {share.hindrance or 'none'}."))
    return found


def notes(spec: StudySpec) -> tuple[str, ...]:
    """A line when only few configs are allowed, which makes each proposal dear and the search narrow."""
    space = Space(spec)
    if not space.constrained:
        return ()
    share = share_allowed(space)
    part = share.allowed / max(share.seen, 1)
    if not 0 < part < TINY:
        return ()
    seen = f"of the {share.seen} configs" if share.whole else f"of {share.seen} configs drawn"
    return (f"Constraints leave {share.allowed} {seen} ({part:.1%}); most often: {share.hindrance}.",)


def _holds(space: Space, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    chosen = space.chosen(config)
    return all(name not in chosen or chosen[name] == value for name, value in wanted.items())


def _line(spec: StudySpec, path: Path, message: str) -> str:
    return f"{spec.where(*path)}: {dotted(path)}: {message}"
