"""Works out a study's figures: a process of its own, for a forest takes seconds in which pages want answers.

Lines of JSON come in, {"study": FOLDER, "kind": "quick", "live": false}, and a line goes out for each. It ends with its
input.
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal

from sweep.core import events as ev
from sweep.core.study import StudyMachine
from sweep.errors import SweepError
from sweep.store.following import Follower, ReplacedError
from sweep.store.paths import StudyPaths
from sweep.watch.report import importance, occupancy
from sweep.watch.report.drawing import Figure
from sweep.watch.report.figures import figures
from sweep.watch.report.subject import Subject

Kind = Literal["quick", "learned"]
"""quick: what is drawn of events as they are; learned: what a forest says of them."""

LEARNED = ("importance", "parallel", "slices", "contour")
MOST_OPEN = 4
NICE = 5
"""So much does it stand behind training on the same cores."""


class Painted:
    """A study that figures are drawn of, followed from one drawing to the next."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        self.runs: list[occupancy.Run] = []
        self._follower = Follower(paths, self._seen)

    def _seen(self, _: StudyMachine, event: ev.AnyEvent) -> None:
        occupancy.follow(self.runs, event)

    def figures(self, kind: Kind, *, live: bool) -> list[Figure]:
        """Those of a kind that have something to show.

        Args:
            kind: which.
            live: whether a driver is at work on the study.

        Raises:
            SweepError: the study can't be read.
        """
        self._follower.look()
        study = self._follower.machine
        learned = importance.influence(study) if kind == "learned" else None
        became = occupancy.fates(study, live=live)
        used = occupancy.occupancy(study, self.runs, became, live=live)
        drawn = figures(Subject(study, self.runs, used, learned, became))
        return [figure for figure in drawn if (figure.name in LEARNED) == (kind == "learned")]


class Easel:
    """The studies that were drawn last."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Painted] = OrderedDict()

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What is drawn of a study, or why nothing is."""
        folder = asked["study"]
        try:
            try:
                found = self._painted(folder).figures(asked["kind"], live=asked["live"])
            except ReplacedError:
                del self._open[folder]
                found = self._painted(folder).figures(asked["kind"], live=asked["live"])
        except SweepError as error:
            self._open.pop(folder, None)
            return {"problem": str(error)}
        return {"figures": [{**figure.plain(), "title": figure.title, "note": figure.note} for figure in found]}

    def _painted(self, folder: str) -> Painted:
        one = self._open.pop(folder, None) or Painted(StudyPaths(Path(folder)))
        self._open[folder] = one
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return one


def main() -> None:
    """Draw until nobody asks any more."""
    # What libraries print must not come between the answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.nice(NICE)
    easel = Easel()
    for line in sys.stdin:
        print(json.dumps(easel.answer(json.loads(line)), allow_nan=False), file=out, flush=True)


if __name__ == "__main__":
    main()
