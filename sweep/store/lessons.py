"""What a study learns from earlier ones: gathered before it is made, kept in its folder, for those may go.

Resumes read the file; the earlier studies are never asked again, whatever became of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from sweep.core.positions import dotted
from sweep.core.spec import StudySpec
from sweep.core.warm_start import Lesson, Lessons, lessons, mismatch
from sweep.errors import SpecError, StudyError
from sweep.store import study_folder
from sweep.store.paths import Place, StudyPaths, study_paths

_FILE = TypeAdapter(list[Lesson])


def check(storage: Place, spec: StudySpec) -> None:
    """See that the earlier studies are there and can be compared with this one.

    Raises:
        SpecError: with a line for each that isn't or can't.
    """
    found = []
    for place, one in enumerate(spec.search.warm_start):
        path = ("search", "warm_start", place)
        try:
            wrong = mismatch(spec, study_folder.read_file(study_folder.find(storage, one.study)))
        except StudyError as error:
            wrong = f"{error}"
        if wrong:
            found.append(f"{spec.where(*path)}: {dotted(path)}: {wrong}")
    if found:
        raise SpecError(found)


def gather(storage: Place, spec: StudySpec) -> list[Lessons]:
    """What each earlier study teaches, in the file's order; they were checked."""
    return [
        lessons(spec, study_folder.read(study_paths(storage, one.study)).machine, one.assume)
        for one in spec.search.warm_start
    ]


def encode(every: Sequence[Lessons]) -> bytes:
    """The contents of `warm_start.json`."""
    return _FILE.dump_json([lesson for one in every for lesson in one.found], indent=1) + b"\n"


def read(paths: StudyPaths, spec: StudySpec) -> list[Lesson]:
    """What a study has learned before its start.

    Raises:
        StudyError: its file is gone or damaged, so that it would go on without.
    """
    if not spec.search.warm_start:
        return []
    try:
        return _FILE.validate_json(paths.lessons.read_bytes())
    except (OSError, ValidationError) as error:
        raise StudyError(f"{paths.lessons}: can't be read ({error}). The study is damaged; restore it.") from error
