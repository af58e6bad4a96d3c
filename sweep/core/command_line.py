"""The command of a search file: words with macros in braces, filled in for each attempt. No shell reads it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sweep.core.groups import flattened

MACROS = {
    "python": "the interpreter that runs sweep where the trial runs",
    "args": "every parameter: --lr=0.001; true is --nesterov, false and null are left out",
    "args_bool_values": "the same with --nesterov=True and --nesterov=False",
    "args_bool_no": "the same with --nesterov and --no-nesterov, as argparse.BooleanOptionalAction has it",
    "overrides": "every parameter without hyphens, for Hydra: lr=0.001 nesterov=true",
    "config_json": "the config as JSON, groups as maps",
    "config_file": "a file with that JSON",
    "seed": "the trial's seed",
    "trial": "the trial's number, from 0",
    "attempt": "the attempt's number, from 1",
    "study": "the study's name",
    "max_t": "scheduler.max_t: how far to train",
    "checkpoint_dir": "a folder whose files are kept as checkpoints, and are there again when the trial goes on",
    "log_dir": "the trial's TensorBoard folder",
    "device": "cuda or cpu",
    "gpus": "how many GPUs it sees: 0, 1, or resources.gpu",
    "cpus": "resources.cpu, rounded down, at least 1",
    "batch_split": "into how many parts to compute a batch, after memory ran out",
}
"""What stands in braces beside the names of parameters."""

LISTS = ("args", "args_bool_values", "args_bool_no", "overrides")
"""Macros that become several words, and so stand alone."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Piece(NamedTuple):
    """A part of a word.

    Attributes:
        text: as it is; of a macro its name.
        macro: whether it is one.
        column: where it begins in its word, from 1.
    """

    text: str
    macro: bool
    column: int


class BraceError(ValueError):
    """A brace that belongs to no macro; the message says where."""


def split(command: str | Sequence[str]) -> list[str]:
    """The words of a command, macros left in.

    A text is taken apart at spaces, quotes keeping together what is inside them; a list is the words.

    Raises:
        ValueError: a quote that isn't closed.
    """
    return shlex.split(command) if isinstance(command, str) else list(command)


def pieces(word: str) -> list[Piece]:
    """A word's texts and macros, in order; `{{` and `}}` are plain braces.

    Raises:
        BraceError: a brace stands alone.
    """
    found: list[Piece] = []
    end = 0
    for token in _TOKEN.finditer(word):
        if token.start() > end:
            found.append(Piece(word[end : token.start()], macro=False, column=end + 1))
        end = token.end()
        if token[0] in ("{{", "}}"):
            found.append(Piece(token[0][0], macro=False, column=token.start() + 1))
        elif token[1] is None:
            raise BraceError(
                f"column {token.start() + 1} of {word!r}: a lone {token[0]!r}. Write {token[0] * 2} for it."
            )
        else:
            found.append(Piece(token[1].strip(), macro=True, column=token.start() + 1))
    if end < len(word):
        found.append(Piece(word[end:], macro=False, column=end + 1))
    return found


def macros(command: str | Sequence[str]) -> list[str]:
    """The names in braces, in order of appearance; none of a command that is wrong."""
    try:
        return [piece.text for word in split(command) for piece in pieces(word) if piece.macro]
    except ValueError:
        return []


def filled(command: str | Sequence[str], config: Mapping[str, Any], facts: Mapping[str, object]) -> list[str]:
    """The words that are run.

    Args:
        command: as in a file that the loader took.
        config: of the trial, as the training function gets it: groups as maps, derived values with it.
        facts: a value for each macro but those that the config alone decides; one that is missing stays in its braces.
    """
    flat = flattened(config)
    known: dict[str, object] = {**facts, "config_json": json.dumps(config, ensure_ascii=False)}
    words: list[str] = []
    for word in split(command):
        parts = pieces(word)
        if len(parts) == 1 and parts[0].macro and parts[0].text in LISTS:
            words += _all(parts[0].text, flat)
        else:
            words.append("".join(_part(piece, flat, known) for piece in parts))
    return words


def _part(piece: Piece, flat: Mapping[str, Any], known: Mapping[str, object]) -> str:
    if not piece.macro:
        return piece.text
    if piece.text in flat:
        return _text(flat[piece.text])
    return str(known[piece.text]) if piece.text in known else f"{{{piece.text}}}"


def _all(macro: str, flat: Mapping[str, Any]) -> Iterator[str]:
    for name, value in flat.items():
        if macro == "overrides":
            yield f"{name}={json.dumps(value) if value is None or isinstance(value, bool) else _text(value)}"
        elif value is None:
            continue
        elif not isinstance(value, bool) or macro == "args_bool_values":
            yield f"--{name}={_text(value)}"
        elif value:
            yield f"--{name}"
        elif macro == "args_bool_no":
            # argparse puts the no before the whole name.
            yield f"--no-{name}"


def _text(value: Any) -> str:
    """As Python writes it: 1e-05 and True can be read by float and by what most scripts make of a truth value."""
    return value if isinstance(value, str) else repr(value)


_THEIRS = {
    "env": "",
    "interpreter": "{python}",
    "args": "{args_bool_values}",
    "args_no_boolean_flags": "{args}",
    "args_no_hyphens": "{overrides}",
    "args_json": "{config_json}",
    "args_json_file": "{config_file}",
}
"""W&B's macros in ours."""

_DOLLAR = re.compile(r"\$\{\s*([^{}]*?)\s*\}")
_OF_A_TRIAL = "trialParameters."


def in_our_macros(
    words: Sequence[str], program: str = "", references: Mapping[str, str] | None = None
) -> list[str] | None:
    """The words of a W&B sweep or a Katib trial with our macros; None where one of theirs has no equivalent.

    Args:
        words: theirs.
        program: what their file names so.
        references: which parameter a name of a Katib trial stands for; itself when it isn't there.
    """
    found: list[str] = []
    for word in words:
        text, end = "", 0
        for macro in _DOLLAR.finditer(word):
            ours = _ours(macro[1], program, references or {})
            if ours is None:
                return None
            # Braces that are no macro's are plain ones.
            text += _plain(word[end : macro.start()]) + ours
            end = macro.end()
        text += _plain(word[end:])
        if text or not word:
            found.append(text)
    return found


def _ours(name: str, program: str, references: Mapping[str, str]) -> str | None:
    if name == "program":
        return program or None
    if name.startswith(_OF_A_TRIAL):
        own = name.removeprefix(_OF_A_TRIAL)
        return f"{{{references.get(own, own)}}}"
    return _THEIRS.get(name)


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
