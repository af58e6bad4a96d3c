"""pydantic's errors in our words: what came, the rule, the next step."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from sweep.core.flow import flow
from sweep.core.scalars import resolve
from sweep.core.section import BROKEN_RULES, described


class Explained(NamedTuple):
    """One error: the keys from the section down to the value, and the message."""

    path: tuple[str | int, ...]
    message: str


_KINDS = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_TRUE = frozenset(("yes", "y", "on", "1"))
_FALSE = frozenset(("no", "n", "off", "0"))


def explained(error: ValidationError, *, ignoring: Collection[str] = ()) -> list[Explained]:
    """Each error of a section once.

    Args:
        error: what pydantic raised for the section.
        ignoring: keys that were left out because they are wrong; what follows from that is skipped.
    """
    return list(_all(error, ignoring))


def _all(error: ValidationError, ignoring: Collection[str]) -> Iterator[Explained]:
    for one in error.errors(include_url=False):
        path, context = tuple(one["loc"]), one.get("ctx", {})
        if one["type"] == BROKEN_RULES:
            for fault in context["faults"]:
                if not set(fault.needs) & set(ignoring):
                    yield Explained((*path, *fault.path), fault.message)
        elif not (path and path[0] in ignoring):
            yield Explained(path, _message(one["type"], one["input"], context, one["msg"]))


def _message(kind: str, value: Any, context: dict[str, Any], fallback: str) -> str:
    if kind == "refused":
        return fallback
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}, got {described(value)}.{_hint(kind, value)}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"got {value!r}. It has to be {words} {_number(context[name])}."
    if kind == "literal_error":
        return _one_of(value, context["expected"])
    plain = {
        "missing": "is missing.",
        "finite_number": f"got {flow(value)}. It has to be finite.",
        "string_too_short": "is an empty text.",
        "string_too_long": f"is longer than {context.get('max_length')} characters.",
        "int_parsing_size": "has too many digits.",
    }
    return plain.get(kind, f"{fallback}.")


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _one_of(value: Any, expected: str) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    near = difflib.get_close_matches(value.lower(), choices, n=1) if isinstance(value, str) else []
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"expected one of {', '.join(choices)}, got {described(value)}.{hint}"


def _hint(kind: str, value: Any) -> str:
    """The next step, where the value tells what was meant."""
    if kind.startswith("bool"):
        return _switch(value)
    if kind in ("int_from_float", "int_type") and isinstance(value, float) and value.is_integer():
        return f" Write {int(value)}."
    if kind.startswith(("int", "float")) and isinstance(value, str):
        number = resolve(value.strip().replace("_", "").replace(" ", ""))
        if isinstance(number, int | float) and not isinstance(number, bool):
            return f" Write {flow(number)}, without quotes or underscores."
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f' Put it in quotes: "{flow(value)}".'
    if kind == "list_type" and isinstance(value, str | int | float):
        return f" Write [{flow(value)}]."
    return ""


def _switch(value: Any) -> str:
    word = str(value).strip().lower()
    if word in _TRUE or word == "true":
        return " Write true."
    return " Write false." if word in _FALSE or word == "false" else ""
