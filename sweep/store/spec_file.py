"""Search files on disk."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from sweep.core.loading import load
from sweep.core.spec import StudySpec
from sweep.errors import InputError, SpecError


def read_spec(path: str | Path, overrides: Sequence[str] = ()) -> StudySpec:
    """The study that a file describes.

    Args:
        path: a YAML file; messages name it as it is given here.
        overrides: "a.b=value" texts from the command line.

    Raises:
        SpecError: the file's contents are wrong; every problem is named.
        InputError: there is no such file, or it can't be read.
    """
    return load(read_text(Path(path)), source=str(path), overrides=overrides)


def read_specs(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> tuple[StudySpec, ...]:
    """The studies of several files, in order.

    Raises:
        SpecError: with the problems of all files together, missing files among them.
    """
    specs: list[StudySpec] = []
    problems: list[str] = []
    for path in paths:
        try:
            specs.append(read_spec(path, overrides))
        except SpecError as error:
            problems += error.problems
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    return tuple(specs)


def read_text(path: Path) -> str:
    """The characters of a file that someone named.

    Raises:
        SpecError: it is no UTF-8.
        InputError: there is no such file, or it can't be read.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: there is no such file.{_nearest(path)}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder. Name a file in it.{_contents(path)}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: can't be read: {reason}.") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        byte = data[error.start]
        message = f"{path}:{line}:{column}: the byte 0x{byte:02x} is no UTF-8. Save the file as UTF-8."
        raise SpecError([message]) from error


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" Nor is there a folder {folder}."
    names = _spec_names(folder)
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    if near:
        return f" Did you mean {folder / near[0]}?"
    return _contents(folder)


def _contents(folder: Path) -> str:
    names = _spec_names(folder)
    return f" {folder} has {', '.join(names[:8])}." if names else f" {folder} has no .yaml file."


def _spec_names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return []
