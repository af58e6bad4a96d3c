"""Whether a command can be run, as far as that shows before it is."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from sweep.core.command_line import split
from sweep.errors import EntrypointError

_INTERPRETERS = ("{python}", "python", "python3")


def check(command: str | Sequence[str], working_dir: Path) -> None:
    """Find the program of a command, and its Python script, without running either.

    Raises:
        EntrypointError: one isn't there, or the script is no Python.
    """
    if not working_dir.is_dir():
        raise EntrypointError(f"environment.working_dir: there is no folder {working_dir}.")
    words = split(command)
    program, *arguments = words
    if "{" not in program and shutil.which(_at(program, working_dir)) is None:
        hint = f" Write: {{python}} {program}" if program.endswith(".py") else ""
        raise EntrypointError(f"command: there is no program {program} on this machine.{hint}")
    if program not in _INTERPRETERS:
        return
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        # Only the first name: those behind it would import what they are in, torch among it.
        top = arguments[1].partition(".")[0]
        if PathFinder.find_spec(top, [str(working_dir), *sys.path]) is None:
            raise EntrypointError(f"command: no module {arguments[1]}. Looked in {working_dir} and what is installed.")
        return
    script = next((word for word in arguments if not word.startswith("-")), "")
    if "{" in script or not script.endswith(".py"):
        return
    file = working_dir / script
    if not file.is_file():
        raise EntrypointError(f"command: there is no file {file}. A script is looked for from the working directory.")
    try:
        ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise EntrypointError(f"command: {error.filename}, line {error.lineno}: {error.msg}.") from error


def _at(program: str, working_dir: Path) -> str:
    """A program with a folder in its name is one from the working directory."""
    return str(working_dir / program) if "/" in program else program
