"""The text of a search file to a `StudySpec`, or to every problem in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from pydantic import ValidationError

from sweep.core.flow import flow
from sweep.core.groups import Member, members
from sweep.core.messages import explained
from sweep.core.names import NAME
from sweep.core.overrides import apply_overrides
from sweep.core.parameters import KINDS, Parameter, parameter_fields, under_conditions
from sweep.core.plain_tree import tree_of
from sweep.core.positions import Mark, Path, Problem
from sweep.core.refusals import SECTIONS, Refusals, file_keys
from sweep.core.rules import study_faults
from sweep.core.section import Section, described
from sweep.core.spec import PARAMETER_NAME, PARAMETER_NAME_RULE, Basics, Metric, Resources, StudySpec
from sweep.core.yaml_tree import Node, YamlError, parse, positions_of
from sweep.errors import SpecError

# Of a section with a bad key the rules may still look at these.
_READ_BY_RULES = {"search": "points_to_evaluate", "scheduler": "time_attr"}
_MISSING = {
    "metric": "is missing. Write metric: {name: val_loss, goal: minimize}.",
    "parameters": "is missing. Write parameters: {lr: {min: 1.0e-5, max: 0.1, log: true}}.",
}


def load(text: str, *, source: str, overrides: Sequence[str] = ()) -> StudySpec:
    """The study that a search file describes, defaults filled in.

    Args:
        text: the file's contents.
        source: the file's name as messages should show it; its stem names a study without `name`.
        overrides: "a.b=value" texts, applied in order.

    Raises:
        SpecError: with every problem of the file and of the overrides, in the file's order.
    """
    try:
        tree, problems = parse(text, source)
    except YamlError as error:
        raise SpecError([f"{error.problem}{_hint(text)}"]) from error
    start = Mark(source)
    if tree is None:
        example = "Three keys are enough: entrypoint, metric, parameters."
        raise SpecError([str(Problem(start, (), f"the file is empty. {example}"))])
    if not isinstance(tree.value, dict):
        told = f"expected a map of keys, got {described(tree.plain())}. Write entrypoint: package.module:function."
        raise SpecError([str(Problem(tree.mark, (), told))])
    problems += apply_overrides(tree, overrides)
    return _Reading(tree, problems, start).spec()


def load_plain(content: Mapping[str, Any], *, source: str = "spec", overrides: Sequence[str] = ()) -> StudySpec:
    """The study that a search file's content describes, as maps, lists and scalars of Python.

    Args:
        content: what the file would say.
        source: what messages call it.
        overrides: "a.b=value" texts, applied in order.

    Raises:
        SpecError: with every problem.
    """
    start = Mark(source, override=True)
    try:
        tree, problems = tree_of(content, source)
    except YamlError as error:
        raise SpecError([str(error.problem)]) from error
    problems += apply_overrides(tree, overrides)
    return _Reading(tree, problems, start).spec()


def _hint(text: str) -> str:
    """A macro that stands at the beginning, or in a list without quotes, is a map to YAML."""
    if found := re.search(r"^command:[ ]*(\{\w+\} .+)$", text, re.MULTILINE):
        return f" Put the command in quotes: command: {flow(found[1].rstrip())}"
    if re.search(r"^command:[ ]*\[.*[^\s,\[\"'{]\{", text, re.MULTILINE):
        return ' Put a word that has braces in it in quotes: "--lr={lr}".'
    return ""


class _Broken(NamedTuple):
    path: Path
    message: str
    at_key: bool = False  # the key is wrong rather than its value


def _names_on(path: Path) -> list[str]:
    """The names of a parameter that something wrong at this path may be a part of."""
    steps = list(map(str, path[1:])) if path[:1] == ("parameters",) else []
    return [".".join(steps[:length]) for length in range(1, len(steps) + 1)]


class _Reading:
    """One file on its way from tree to spec."""

    def __init__(self, tree: Node, problems: list[Problem], start: Mark) -> None:
        self._problems = problems
        self._start = start
        self._tree = tree
        self._positions = positions_of(tree, start)
        self._refusals = Refusals(tree)
        # Fields of StudySpec that could be read, and parameters that couldn't.
        self._parts: dict[str, Any] = {}
        self._broken = {name for one in problems for name in _names_on(one.path)}

    def spec(self) -> StudySpec:
        """The spec, when nothing is wrong."""
        self._refusals.review()
        raw = self._tree.plain()
        self._read(raw)
        if "parameters" not in self._parts and isinstance(raw.get("parameters"), Mapping):
            self._broken.update(raw["parameters"])
        self._broken.update(name for path in self._refusals.paths for name in _names_on(path))
        broken = frozenset(self._broken)
        self._report(_Broken(fault.path, fault.message) for fault in study_faults(self._parts, broken))
        problems = [*self._problems, *self._refusals.problems]
        if problems:
            problems.sort(key=lambda problem: problem.mark.order)
            raise SpecError(list(dict.fromkeys(map(str, problems))))
        return StudySpec(**self._parts).located(self._positions)

    def _report(self, broken: Iterable[_Broken]) -> None:
        for path, message, at_key in broken:
            if not self._refusals.covers(path):
                mark = self._positions.key(path) if at_key else self._positions.value(path)
                self._problems.append(Problem(mark, path, message))

    def _read(self, raw: Mapping[str, Any]) -> None:
        self._read_basics(raw)
        self._read_metric(raw.get("metric"))
        self._read_parameters(raw.get("parameters"))
        for name, section in SECTIONS.items():
            if name != "metric" and raw.get(name) is not None:
                self._keep(name, self._section(section, raw[name], (name,), needed=_READ_BY_RULES.get(name)))
        if raw.get("resources") is None and not self._refusals.covers(("resources",)):
            # A limit in money misses the prices also where the file has no such section.
            self._parts["resources"] = Resources()

    def _keep(self, name: str, value: Any) -> None:
        if value is not None:
            self._parts[name] = value

    def _read_basics(self, raw: Mapping[str, Any]) -> None:
        fields = {key: raw[key] for key in Basics.model_fields if raw.get(key) is not None}
        if "name" not in fields:
            fields["name"] = "study" if self._refusals.covers(("name",)) else self._default_name()
        read, bad = self._partly(Basics, fields, ())
        if read is not None:
            good = [key for key in Basics.model_fields if key not in bad]
            self._parts.update({key: getattr(read, key) for key in good if not self._refusals.covers((key,))})

    def _default_name(self) -> str:
        stem = PurePath(self._start.source.replace("\\", "/")).stem
        if NAME.fullmatch(stem):
            return stem
        near = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "study"
        message = f"is missing, and the file's name {stem!r} can't be a folder's name. Write name: {near}."
        self._report([_Broken(("name",), message)])
        return near

    def _read_metric(self, raw: Any) -> None:
        if raw is None:
            self._report([_Broken(("metric",), _MISSING["metric"], at_key=True)])
        elif isinstance(raw, list):
            metrics = [self._section(Metric, item, ("metric", place)) for place, item in enumerate(raw)]
            if None not in metrics:
                self._parts["metric"] = metrics
        else:
            self._keep("metric", self._section(Metric, raw, ("metric",)))

    def _read_parameters(self, raw: Any) -> None:
        if raw is None:
            self._report([_Broken(("parameters",), _MISSING["parameters"], at_key=True)])
            return
        if not isinstance(raw, Mapping):
            message = f"expected a map of names, got {described(raw)}. Write lr: {{min: 0.0, max: 1.0}} below it."
            self._report([_Broken(("parameters",), message)])
            return
        good: dict[str, Parameter] = {}
        for member in members(raw):
            parameter = self._parameter(member)
            if parameter is None:
                self._broken.add(member.name)
            else:
                good[member.name] = parameter
        self._parts["parameters"] = good

    def _parameter(self, member: Member) -> Parameter | None:
        raw, path = member.raw, ("parameters", *member.keys)
        for depth in range(2, len(path) + 1):
            if not PARAMETER_NAME.fullmatch(path[depth - 1]):
                told = f"can't be a parameter's name. {PARAMETER_NAME_RULE}"
                self._report([_Broken(path[:depth], told, at_key=True)])
                return None
        for depth, when in enumerate(member.whens, start=2):
            if when is not None and not isinstance(when, Mapping):
                # Told for each member, and shown once.
                told = f"expected a map such as {{optimizer: sgd}}, got {described(when)}."
                self._report([_Broken((*path[:depth], "when"), told)])
                return None
        written = self._written(path)
        if raw is None and not written:
            message = "has no value. Write {min: 0.0, max: 1.0}, a list of values, or one value."
            self._report([_Broken(path, message)])
            return None
        if raw == {} and self._refused_below(path):
            return None
        if raw == {}:
            message = "is an empty map. Write {min: 0.0, max: 1.0}, a list of values, or one value."
            self._report([_Broken(path, message)])
            return None
        fields = under_conditions(parameter_fields(raw), member.whens)
        section = KINDS[fields.pop("kind")]
        bare = not isinstance(raw, Mapping)
        return self._section(section, fields, path, bare=bare)  # type: ignore[return-value]

    def _written(self, path: Path) -> str:
        """The characters of a scalar, to tell `lr:` from `lr: null`."""
        node = self._tree
        for step in path:
            if not isinstance(node.value, dict):
                return ""
            node = node.value[str(step)]
        return node.text

    def _section(
        self,
        section: type[Section],
        raw: Any,
        path: Path,
        *,
        bare: bool = False,
        needed: str | None = None,
    ) -> Section | None:
        """One section, or None when a key of it is wrong or was refused: `needed` alone, when one is named."""
        if not isinstance(raw, Mapping):
            message = f"expected a map with the keys {', '.join(file_keys(section))}, got {described(raw)}."
            self._report([_Broken(path, message)])
            return None
        read, bad = self._partly(section, raw, path, bare=bare)
        if needed is not None:
            return None if needed in bad else read
        return None if bad or self._refused_below(path) else read

    def _refused_below(self, path: Path) -> bool:
        return any(len(one) > len(path) and one[: len(path)] == path for one in self._refusals.paths)

    def _partly(
        self, section: type[Section], raw: Mapping[str, Any], path: Path, *, bare: bool = False
    ) -> tuple[Section | None, set[str]]:
        """A section with its bad keys left out, and those keys; all problems are reported.

        It is read again without its bad keys, for pydantic looks at the rules between keys only
        when each key is right.
        """
        fields, bad = dict(raw), set[str]()
        while True:
            try:
                return section.model_validate(fields), bad
            except ValidationError as error:
                found = explained(error, ignoring=bad)
            # A bare list is shown without the key `values` that it stands for.
            self._report([_Broken((*path, *(one.path[1:] if bare else one.path)), one.message) for one in found])
            worse = {str(one.path[0]) for one in found if one.path}
            bad |= worse
            if not worse & set(fields):
                return None, bad | {"?"}
            fields = {key: value for key, value in fields.items() if key not in worse}
