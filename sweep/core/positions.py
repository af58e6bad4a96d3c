"""Where things stand in the file: so that every message can say file:line:column."""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Keys and list indexes from the top of the file down to a value."""


def dotted(path: Path) -> str:
    """A path as we print it: `search.points_to_evaluate[0].lr`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def spelled_out(path: Path) -> Path:
    """A path into `parameters` with a step for each group: ("parameters", "optimizer", "lr", "min")."""
    if path[:1] != ("parameters",) or len(path) < 2:  # noqa: PLR2004  # a parameter's name is the second step
        return path
    return ("parameters", *str(path[1]).split("."), *path[2:])


@dataclass(frozen=True, slots=True)
class Mark:
    """A place: a file's name with a line and a column from 1, or an override."""

    source: str
    line: int = 1
    column: int = 1
    override: bool = False

    def __str__(self) -> str:
        """As editors and compilers print it, so that a terminal makes it a link."""
        return self.source if self.override else f"{self.source}:{self.line}:{self.column}"

    @property
    def order(self) -> tuple[bool, int, int]:
        """Sorts problems as one reads the file, overrides last."""
        return (self.override, self.line, self.column)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where."""

    mark: Mark
    path: Path
    message: str

    def __str__(self) -> str:
        """`vit.yaml:12:7: parameters.lr.min: expected a number, ...`."""
        where = f"{self.mark}: {dotted(self.path)}" if self.path else str(self.mark)
        return f"{where}: {self.message}"


@dataclass(eq=False, slots=True)
class Positions:
    """The mark of each key and each value.

    All positions are equal: two specs are equal when their content is.
    """

    start: Mark
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)

    def key(self, path: Path) -> Mark:
        """Where the key stands, or the nearest key around it that is in the file."""
        return self._nearest(self._in_file(path), self.keys)

    def value(self, path: Path) -> Mark:
        """Where the value stands; for a value that isn't in the file, the nearest key around it."""
        path = self._in_file(path)
        return self.values.get(path) or self._nearest(path, self.keys)

    def _in_file(self, path: Path) -> Path:
        """A parameter's path by the keys that lead to it, for it has its whole name elsewhere: `optimizer.lr`."""
        path = spelled_out(path)
        if path[:1] == ("parameters",) and "when" in path[2:]:
            # A member's condition may be that of a group around it.
            at = path.index("when", 2)
            for depth in range(at, 1, -1):
                if (*path[:depth], "when") in self.keys:
                    return (*path[:depth], *path[at:])
        return path

    def _nearest(self, path: Path, marks: dict[Path, Mark]) -> Mark:
        for length in range(len(path), 0, -1):
            if path[:length] in marks:
                return marks[path[:length]]
        return self.start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Positions)

    def __hash__(self) -> int:
        return 0
