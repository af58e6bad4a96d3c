"""What is found in a cluster file: problems, for which it is refused, and doubts, which are only told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sweep.cluster.reading import Document
from sweep.core.positions import Path, Problem


class Remarks:
    """Collects what the checks find in one document.

    Attributes:
        problems: for these the file is refused.
        doubts: what a person should know.
    """

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self.doubts: list[Problem] = []
        self._positions = document.positions

    def wrong(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Something for which the file is refused.

        Args:
            path: where; of something that isn't in the file, the nearest key around it is pointed at.
            message: what came, what was expected, what to do.
            at_key: the key is wrong rather than its value.
        """
        self.problems.append(self._problem(path, message, at_key=at_key))

    def doubt(self, path: Path, message: str) -> None:
        """Something to look at that isn't surely wrong."""
        self.doubts.append(self._problem(path, message, at_key=False))

    def _problem(self, path: Path, message: str, *, at_key: bool) -> Problem:
        positions = self._positions
        return Problem(positions.key(path) if at_key else positions.value(path), path, message)

    def touched(self, path: Path) -> bool:
        """Whether something at this path, or below it, is wrong already."""
        return any(problem.path[: len(path)] == path for problem in self.problems)


def unknown(key: str, known: Iterable[str], where: str = "") -> str:
    """The message for a key that isn't one, with the nearest that is.

    Args:
        key: as written.
        known: what it could be.
        where: whose keys these are, e.g. "of an EC2 instance".
    """
    choices = sorted(known)
    near = difflib.get_close_matches(key, choices, n=1) or difflib.get_close_matches(
        key.lower(), [choice.lower() for choice in choices], n=1
    )
    if near:
        right = next(choice for choice in choices if choice.lower() == near[0].lower())
        return f"unknown. Did you mean {right}?"
    few = 25
    listed = f" They are {', '.join(choices)}." if len(choices) <= few else ""
    return f"unknown{', no key ' + where if where else ''}.{listed} Remove it."
