"""A spec as the complete file, as a hash, and as the difference to another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sweep.core.flow import flow, flow_key
from sweep.core.groups import nested
from sweep.core.parameters import Constant, Parameter
from sweep.core.positions import dotted
from sweep.core.section import Section
from sweep.core.spec import ORDER, StudySpec
from sweep.core.units import format_duration

# Where a study is kept says nothing of what it finds, and a moved study stays the same.
_NOT_HASHED = ("storage",)


def resolved_yaml(spec: StudySpec, *, defaults: bool = True) -> str:
    """A file that loads as an equal spec.

    Args:
        spec: the study.
        defaults: whether it also says what goes without saying.
    """
    lines: list[str] = []
    for key, value in (_content(spec) if defaults else _told(spec)).items():
        if key == "parameters":
            lines.append(f"{key}:")
            lines += _parameter_lines(nested(value), spec, "  ")
        elif isinstance(value, dict) and value:
            lines.append(f"{key}:")
            lines += [f"  {flow_key(name)}: {flow(item)}" for name, item in value.items()]
        elif isinstance(value, list) and value:
            lines.append(f"{key}:")
            lines += [f"  - {flow(item)}" for item in value]
        elif value is not None or (defaults and key == "promote"):
            lines.append(f"{key}: {flow(value)}")
    return "\n".join(lines) + "\n"


def _parameter_lines(level: dict[str, Any], spec: StudySpec, indent: str, *groups: str) -> Iterator[str]:
    """A line a parameter, groups as maps around theirs."""
    for name, item in level.items():
        if ".".join((*groups, name)) in spec.parameters:
            yield f"{indent}{flow_key(name)}: {flow(item)}"
        else:
            yield f"{indent}{flow_key(name)}:"
            yield from _parameter_lines(item, spec, indent + "  ", *groups, name)


def spec_sha256(spec: StudySpec) -> str:
    """64 hexadecimal digits over everything that can change the result, comments and `storage` not.

    The order of keys doesn't count, but for the parameters': samplers draw them in order, so with
    one seed two orders are two searches.
    """
    content = _hashed(spec)
    content["parameters"] = [[name, value] for name, value in content["parameters"].items()]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def difference(old: StudySpec, new: StudySpec) -> list[str]:
    """What changed, a line a value: "scheduler.max_t: 20 -> 30".

    Empty exactly when both have the same `spec_sha256`.
    """
    lines = list(_changes(_hashed(old), _hashed(new), ()))
    if not lines and list(old.parameters) != list(new.parameters):
        lines.append(f"parameters: in the order {', '.join(old.parameters)} -> {', '.join(new.parameters)}")
    return lines


def _changes(old: Any, new: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    """Maps key by key; a list is told as a whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            here = dotted((*path, key))
            if key not in new:
                yield f"{here}: {flow(old[key])} -> removed"
            elif key not in old:
                yield f"{here}: added {flow(new[key])}"
            else:
                yield from _changes(old[key], new[key], (*path, key))
    elif _canonical(old) != _canonical(new):
        yield f"{dotted(path)}: {flow(old)} -> {flow(new)}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _hashed(spec: StudySpec) -> dict[str, Any]:
    return {key: value for key, value in _content(spec).items() if key not in _NOT_HASHED}


def _content(spec: StudySpec) -> dict[str, Any]:
    """The file's keys, in its order, with plain values."""
    return {key: _plain(key, getattr(spec, key)) for key in ORDER}


def _told(spec: StudySpec) -> dict[str, Any]:
    """Those keys that differ from their defaults."""
    content = {key: _plain(key, getattr(spec, key), defaults=False) for key in ORDER}
    usual = {key: field.get_default(call_default_factory=True) for key, field in StudySpec.model_fields.items()}
    return {key: value for key, value in content.items() if value and getattr(spec, key) != usual[key]}


def _plain(key: str, value: Any, *, defaults: bool = True) -> Any:
    if key == "parameters":
        return {name: _parameter(one) for name, one in value.items()}
    if isinstance(value, Section):
        return _section(value, defaults=defaults)
    if isinstance(value, list):
        return [_section(item, defaults=defaults) if isinstance(item, Section) else item for item in value]
    return value


def _section(section: Section, *, defaults: bool) -> dict[str, Any]:
    fields = section.model_dump(by_alias=True, exclude_defaults=not defaults)
    if fields.get("time") is not None:
        fields["time"] = format_duration(fields["time"]) or fields["time"]
    return fields


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """The fields that say something: `log: false` and the like would only be noise, line after line."""
    fields = parameter.model_dump(exclude={"kind"}, exclude_defaults=not isinstance(parameter, Constant))
    order = ("min", "max", "log", "step", "values", "ordered", "value", "when")
    return {key: fields[key] for key in order if key in fields and (key != "when" or fields[key] is not None)}
