"""Movable names for immutable versions, with their history: `aliases.jsonl`.

One JSON object a line, appended and fsynced, each with a digest of itself. An alias points where its last line says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from sweep.core.names import alias_problem
from sweep.errors import RegistryError, VerificationError
from sweep.registry.layout import ModelFolder, version_number
from sweep.registry.seals import LINE


class Pointing(BaseModel):
    """One move of an alias.

    Attributes:
        time: seconds since 1970.
        by: who moved it.
        was: the version it pointed to before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alias: str
    version: str
    time: float
    by: str
    was: str | None


def check_alias_name(alias: str) -> None:
    """Refuse a name that can't be an alias.

    Raises:
        RegistryError: with the rule.
    """
    problem = alias_problem(alias)
    if problem:
        raise RegistryError(problem)


class Aliases:
    """The aliases of one model."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder

    def point(self, alias: str, version: int, by: str) -> Pointing:
        """Let an alias point to a version; one that already does is left as it is.

        Raises:
            RegistryError: the alias can't have this name, or the version doesn't exist.
            VerificationError: `aliases.jsonl` is damaged.
        """
        check_alias_name(alias)
        target = self._folder.version(version)
        if not target.path.is_dir():
            raise RegistryError(f"{self._folder.name} has no version {target.name}; {alias} was not moved.")
        with self._folder.aliases_locked():
            return self._move(lambda: self._append(alias, target.name, by))

    def rollback(self, alias: str, by: str) -> Pointing:
        """Let an alias point to where it was before; repeated, it goes further back.

        Raises:
            RegistryError: there is no earlier version that still exists.
        """

        def back() -> Pointing | None:
            earlier = self._earlier(alias)
            if not earlier:
                raise RegistryError(f"{self._folder.name}@{alias} has no earlier version to go back to.")
            return self._append(alias, earlier[-1], by)

        with self._folder.aliases_locked():
            return self._move(back)

    def current(self) -> dict[str, str]:
        """Alias to version's name, e.g. {"champion": "v7"}.

        Raises:
            VerificationError: `aliases.jsonl` is damaged.
        """
        return {move.alias: move.version for move in self.history()}

    def history(self, alias: str | None = None) -> list[Pointing]:
        """All moves, of one alias or of all, oldest first; a torn last line is left out.

        Raises:
            VerificationError: `aliases.jsonl` is damaged.
        """
        moves, damaged, _ = self._read()
        if damaged:
            raise VerificationError(
                f"{self._folder.told(self._folder.aliases)}: line {damaged[0]} was changed since it was written.\n"
                f"  Restore the file from a copy, or delete that line; then: sweep models verify {self._folder.name}"
            )
        return [move for move in moves if alias in (None, move.alias)]

    def highest(self) -> int:
        """The highest version number that an alias ever pointed to; 0 for none. Damaged lines are passed over."""
        moves, _, _ = self._read()
        return max((version_number(move.version) or 0 for move in moves), default=0)

    def problems(self) -> list[str]:
        """What is wrong with the file, in words."""
        moves, damaged, torn = self._read()
        found = [f"line {number} was changed since it was written" for number in damaged]
        if torn:
            found.append("the last line is torn; the next move of an alias drops it")
        for alias, version in {move.alias: move.version for move in moves}.items():
            if not (self._folder.root / version).is_dir():
                found.append(f"{alias} points to {version}, which doesn't exist")
        return found

    def _earlier(self, alias: str) -> list[str]:
        """The versions that rollbacks walk down, the nearest last: going back to one forgets those after it."""
        trail: list[str] = []
        for move in self.history(alias):
            if move.version in trail:
                del trail[trail.index(move.version) :]
            trail.append(move.version)
        return [version for version in trail[:-1] if (self._folder.root / version).is_dir()]

    def _move(self, move: Callable[[], Pointing | None]) -> Pointing:
        """Do it again, on what is there then, as long as others are quicker."""
        while True:
            self._folder.refresh()
            if (done := move()) is not None:
                return done

    def _append(self, alias: str, version: str, by: str) -> Pointing | None:
        """Move an alias; None when another machine was quicker."""
        moves = self.history(alias)
        if moves and moves[-1].version == version:
            return moves[-1]
        was = moves[-1].version if moves else None
        move = Pointing(alias=alias, version=version, time=time.time(), by=by, was=was)
        self._drop_torn_tail()
        line = LINE.put(move.model_dump_json().encode()) + b"\n"
        return move if self._folder.append_alias(line) else None

    def _drop_torn_tail(self) -> None:
        if not self._folder.aliases.exists():
            return
        with self._folder.aliases.open("r+b") as file:
            data = file.read()
            complete = data.rfind(b"\n") + 1
            if complete < len(data):
                file.truncate(complete)
                os.fsync(file.fileno())

    def _read(self) -> tuple[list[Pointing], list[int], bool]:
        """The good lines, the numbers of the damaged ones, and whether the last one is torn."""
        try:
            data = self._folder.aliases.read_bytes()
        except FileNotFoundError:
            return [], [], False
        *lines, tail = data.split(b"\n")
        moves, damaged = [], []
        for number, line in enumerate(lines, start=1):
            try:
                moves.append(Pointing.model_validate_json(LINE.check(line)))
            except ValueError:
                damaged.append(number)
        return moves, damaged, bool(tail)
