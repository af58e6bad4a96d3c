"""What the file can say and this version can't do yet.

Everything here parses and is checked like the rest of the file. But it would change the result,
so a study that asks for it isn't started: half a search is worse than none. One row of the table
a feature; a row goes when its engine comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sweep.core.positions import Path, dotted
from sweep.core.spec import StudySpec


class _Row(NamedTuple):
    """A feature that isn't there.

    Attributes:
        paths: where the spec asks for it; none when it doesn't.
        message: what is said there, "{value}" for the value.
    """

    paths: Callable[[StudySpec], list[Path]]
    message: str


def unsupported(spec: StudySpec) -> list[str]:
    """One line for each feature that the file asks for and this version lacks, in the file's words.

    `vit.yaml:14:10: environment.image: is not supported by this version. Name the image ...`
    """
    found = []
    for row in _TABLE:
        for path in row.paths(spec):
            message = row.message.format(value=_value(spec, path))
            found.append(f"{spec.where(*path)}: {dotted(path)}: {message}")
    return found


def _value(spec: StudySpec, path: Path) -> object:
    value: object = spec
    for step in path:
        if isinstance(value, dict | list):
            value = value[step]  # type: ignore[index]
        else:
            value = getattr(value, {"time": "time_s"}.get(str(step), str(step)))
    return value


def _where(path: Path, test: Callable[[StudySpec], bool]) -> Callable[[StudySpec], list[Path]]:
    return lambda spec: [path] if test(spec) else []


_NOT = "is not supported by this version."
_TABLE: tuple[_Row, ...] = (
    _Row(
        _where(("search", "repeats"), lambda spec: bool(spec.search.repeats) and spec.scheduler.type == "pbt"),
        f"with scheduler.type pbt it {_NOT} A trial's config changes on its way there.",
    ),
    _Row(
        _where(("environment", "image"), lambda spec: spec.environment.image is not None),
        f"{_NOT} Name the image in the cluster's file.",
    ),
)
