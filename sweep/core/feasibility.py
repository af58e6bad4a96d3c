"""Whether a space has configs that a trial may have, and how many: what is worth saying before anything starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sweep.core import grid
from sweep.core.drawing import draw, listed
from sweep.core.positions import Path, dotted
from sweep.core.seeds import generator
from sweep.core.space import Space, size
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


def share_allowed(space: Space, given: Mapping[str, Any] | None = None, *, enough: int | None = None) -> Share:
    """How many configs are allowed, of all where they are few and else of some drawn.

    Where none of those drawn is, all of a space of at most `MOST_LISTED` are looked at, and of a larger one more drawn.

    Args:
        space: of the study.
        given: proposed values that they have to have, by name.
        enough: with so many allowed there is no need to look further.
    """
    wanted = space.implied(given or {})
    tally = _Tally(space, wanted, enough)
    count = size(space.proposed)
    if count is None or count > FEW_DRAWN:
        random = generator(0, "feasibility")
        drawn = (draw(space, random, wanted) for _ in range(MOST_DRAWN))
        tally.look(islice(drawn, FEW_DRAWN))
        every = listed(space) if not tally.allowed else None
        if tally.allowed or every is None:
            tally.look(drawn if not tally.allowed else ())
            return tally.share(whole=False)
    tally = _Tally(space, wanted, enough)
    tally.look(config for config in listed(space) or () if _holds(space, config, wanted))
    return tally.share(whole=True)


class _Tally:
    """Counts what is allowed of the configs that it is shown."""

    def __init__(self, space: Space, wanted: Mapping[str, Any], enough: int | None) -> None:
        self.allowed = 0
        self._seen = 0
        self._space = space
        self._wanted = wanted
        self._enough = enough
        self._hindrances: Counter[str] = Counter()

    def look(self, configs: Iterable[Mapping[str, Any]]) -> None:
        for config in configs:
            if self._enough is not None and self.allowed >= self._enough:
                return
            idle = [name for name in self._wanted if name not in config]
            broken = [f"{idle[0]} is not in use there"] if idle else self._space.broken(config)
            self._seen += 1
            self.allowed += not broken
            self._hindrances.update(line.partition(" with ")[0] for line in broken)

    def share(self, *, whole: bool) -> Share:
        worst = self._hindrances.most_common(1)
        return Share(self.allowed, self._seen, whole, worst[0][0] if worst else "")


def none_allowed(share: Share) -> str:
    """That no config is allowed, in a sentence."""
    what = f"none of the {share.seen} configs of this space" if share.whole else f"none of {share.seen} configs drawn"
    return f"{what} is allowed; most often: {share.hindrance}."


def problems(spec: StudySpec) -> list[str]:
    """What can't work in a file that reads well, a line each: no config is allowed, or none that a point describes."""
    space = Space(spec)
    found: list[str] = []
    if spec.search.algorithm == "grid" and grid.too_large(space):
        told = f"the grid has more than {grid.MOST} configs. Shorten lists, widen steps, or use another algorithm."
        return [_line(spec, ("search", "algorithm"), told)]
    if space.constrained:
        share = share_allowed(space, enough=1)
        if not share.allowed:
            path: Path = ("constraints",) if spec.constraints else ("derived",)
            told = f"{none_allowed(share)} Widen the ranges, or drop it."
            return [_line(spec, path, told)]
    if space.constrained or space.conditional:
        for place, point in enumerate(spec.search.points_to_evaluate):
            given = space.chosen(point)
            share = share_allowed(space, given, enough=1)
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
    return (f"Constraints leave {share.allowed} {seen} ({100 * part:.2g} %); most often: {share.hindrance}.",)


def _holds(space: Space, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    chosen = space.chosen(config)
    return all(name not in chosen or chosen[name] == value for name, value in wanted.items())


def _line(spec: StudySpec, path: Path, message: str) -> str:
    return f"{spec.where(*path)}: {dotted(path)}: {message}"
