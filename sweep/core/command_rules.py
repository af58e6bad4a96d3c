"""What can be wrong with a command: its words, its macros, and which of the parameters it passes on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sweep.core.command_line import LISTS, MACROS, BraceError, Piece, in_our_macros, pieces, split
from sweep.core.expressions import ExpressionError, names_in
from sweep.core.flow import flow
from sweep.core.parameters import Parameter
from sweep.core.positions import Path
from sweep.core.section import Fault

_OF_A_SHELL = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&>"}
_VARIABLE = re.compile(r"\$\w+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")


def command_faults(
    command: str | Sequence[str],
    parameters: Mapping[str, Parameter],
    derived: Mapping[str, str],
    known: Iterable[str],
) -> Iterator[Fault]:
    """What is wrong with a command.

    Args:
        command: of a file, a text or a list of words.
        parameters: of the file.
        derived: name to expression.
        known: names of all parameters, those among them that couldn't be read.
    """
    try:
        words = split(command)
    except ValueError:
        yield Fault(("command",), f"a quote is never closed in {command!r}.", ())
        return
    if not words:
        yield Fault(("command",), "is empty. Write command: python train.py {args}.", ())
        return
    if any("${" in word for word in words):
        yield Fault(("command",), _dollars(words), ())
        return
    if isinstance(command, str):
        yield from _shell(words)
    names = _Names(parameters, derived, known)
    for place, word in enumerate(words):
        path: Path = ("command",) if isinstance(command, str) else ("command", place)
        try:
            parts = pieces(word)
        except BraceError as error:
            yield Fault(path, f"{error}", ())
            continue
        for piece in parts:
            if piece.macro and (problem := names.problem(piece, len(parts))):
                yield Fault(path, f"column {piece.column} of {word!r}: {problem}", ())


class _Names:
    """What a macro may name."""

    def __init__(self, parameters: Mapping[str, Parameter], derived: Mapping[str, str], known: Iterable[str]) -> None:
        self._parameters = parameters
        self._derived = derived
        self._known = {*known, *derived}

    def problem(self, piece: Piece, parts: int) -> str | None:
        """What is wrong with a macro in a word of so many parts; None when nothing is."""
        name = piece.text
        if name in MACROS and name in self._known:
            return f"{name} is a macro, and a parameter here. Pass it by {{args}}, or give the parameter another name."
        if name in LISTS and parts > 1:
            return f"{{{name}}} becomes several words, so it stands alone. Put spaces around it."
        if name in MACROS:
            return None
        if name not in self._known:
            near = difflib.get_close_matches(name, [*self._known, *MACROS], n=1)
            hint = f" Did you mean {{{near[0]}}}?" if near else f" A macro is one of {', '.join(MACROS)}."
            return f"{{{name}}} is neither a parameter nor a macro.{hint} Plain braces are doubled: {{{{ }}}}."
        if self._may_be_absent(name, frozenset()):
            return f"not every trial has {name}, by its when. Use {{args}}, which leaves out what a trial lacks."
        return None

    def _may_be_absent(self, name: str, above: frozenset[str]) -> bool:
        if name in self._parameters:
            return bool(self._parameters[name].when)
        if name not in self._derived or name in above:
            return False
        try:
            read = names_in(self._derived[name])
        except ExpressionError:
            return False
        return any(self._may_be_absent(each, above | {name}) for each in read)


def _dollars(words: Sequence[str]) -> str:
    program = next((word for word in words if word.endswith(".py")), "")
    ours = in_our_macros(words, program or "train.py")
    if ours is None:
        return f"${{...}} is another tool's spelling. Ours is {{...}}, with one of {', '.join(MACROS)}, or a parameter."
    return f"${{...}} is another tool's spelling. Write: command: {flow(ours)}"


def _shell(words: Sequence[str]) -> Iterator[Fault]:
    signs = [word for word in words if word in _OF_A_SHELL]
    signs += [match[0] for word in words if (match := _VARIABLE.search(word))]
    if signs:
        told = f"no shell reads it, so {signs[0]!r} would go to the script. Write a script, or a list: [sh, -c, ...]."
        yield Fault(("command",), told, ())
    if _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words[0].partition("=")
        told = f"begins with {words[0]!r}, and no shell reads it. Write environment: {{env: {flow({name: value})}}}."
        yield Fault(("command",), told, ())
