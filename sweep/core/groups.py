"""Groups of parameters: maps inside `parameters`, whose members have names such as `optimizer.lr`.

In a file, and for the training function, a group is a map. Everywhere between, a parameter has its whole name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PARAMETER_KEYS = ("min", "max", "log", "step", "values", "ordered", "value", "when")
"""Every key of a parameter's map, of whatever kind."""

NAME_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
NAME_RULE = "Names are letters, digits, '_' and '-', at most 64, a letter or '_' first."

_OF_PARAMETERS = frozenset(PARAMETER_KEYS) - {"when"}
# What other tools write into a parameter's map with a map or a list behind it.
_OTHERS = frozenset(("feasibleSpace", "parameterType", "distribution", "_type", "_value"))
_OTHERS_LISTS = frozenset(("choices", "vals", "list", "categories", "options"))


def is_group(raw: Any) -> bool:
    """Whether a value under `parameters` is a group: a map with a map or list in it, without a parameter's keys."""
    if not isinstance(raw, Mapping) or _OF_PARAMETERS & raw.keys() or _OTHERS & raw.keys():
        return False
    if any(key in _OTHERS_LISTS and isinstance(value, list) for key, value in raw.items()):
        return False
    return any(isinstance(value, Mapping | list) for key, value in raw.items() if key != "when")


class Member(NamedTuple):
    """A parameter as a file writes it.

    Attributes:
        keys: that lead to it: those of the groups around it, and its own.
        raw: what stands there.
        whens: the condition of each group around it, the outermost first; None where it has none.
    """

    keys: tuple[str, ...]
    raw: Any
    whens: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """Its whole name."""
        return ".".join(self.keys)


def members(raw: Mapping[str, Any], around: Member | None = None) -> Iterator[Member]:
    """The parameters of a map, those of its groups among them, in order."""
    around = around or Member((), raw)
    for name, value in raw.items():
        if around.keys and name == "when":
            continue
        found = Member((*around.keys, str(name)), value, around.whens)
        if is_group(value):
            yield from members(value, Member(found.keys, value, (*around.whens, value.get("when"))))
        else:
            yield found


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values by whole names as maps in maps: {"optimizer.lr": 0.1} is {"optimizer": {"lr": 0.1}}."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        into = found
        for group in groups:
            into = into.setdefault(group, {})
        into[last] = value
    return found


def flattened(values: Mapping[str, Any], *groups: str) -> dict[str, Any]:
    """Maps in maps as values by whole names; what `nested` made of."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flattened(value, *groups, name))
        else:
            found[".".join((*groups, name))] = value
    return found


def in_file_order(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the members of each group together, as a file has them."""
    places = nested({name: name for name in flat})
    return {name: flat[name] for name in _leaves(places)}


def _leaves(places: Mapping[str, Any]) -> Iterator[str]:
    for value in places.values():
        if isinstance(value, str):
            yield value
        else:
            yield from _leaves(value)


def clash(names: list[str]) -> str | None:
    """A name that is a parameter's and a group's, if there is one."""
    return next((name for name in names if any(other.startswith(f"{name}.") for other in names)), None)
