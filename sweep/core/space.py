"""Questions about the space that a file spans."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from sweep.core.activation import activation_order, applies, told_condition
from sweep.core.expressions import AbsentError, Expression, ExpressionError, parse
from sweep.core.flow import flow
from sweep.core.groups import nested
from sweep.core.parameters import Choice, Constant, FloatRange, IntRange, Parameter
from sweep.core.spec import StudySpec
from sweep.core.values import place_in, steps_in, value_problem

__all__ = [
    "NoConfigError",
    "Space",
    "constants",
    "contains",
    "describe",
    "midpoint",
    "size",
    "value_problem",
    "varying",
]


class NoConfigError(Exception):
    """No config was found that a trial may have; the message says why, for the study's end."""


class Space:
    """What a file says of its configs, worked out once: which names a trial has, and which values go together.

    Configs are flat here, a member of a group under its whole name: {"optimizer.lr": 0.1}. They hold the parameters in
    use, constants among them, in the file's order.

    Attributes:
        parameters: of the file.
        order: their names, each after those that its conditions name.
        proposed: what a sampler chooses values for, in that order: what varies, and of lists in step the first.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.parameters = spec.parameters
        self.order = activation_order(spec.parameters)
        self._steps = _in_step(spec)
        self.proposed: dict[str, FloatRange | IntRange | Choice] = {}
        for name in self.order:
            parameter = self.parameters[name]
            if not isinstance(parameter, Constant) and name not in self._steps:
                self.proposed[name] = _leader(parameter, [spec.parameters[one] for one in self.followers(name)])
        self._constraint_texts = spec.constraints
        self._derived_texts = spec.derived

    @cached_property
    def _constraints(self) -> list[Expression]:
        return [parse(text) for text in self._constraint_texts]

    @cached_property
    def _derived(self) -> dict[str, Expression]:
        return {name: parse(text) for name, text in self._derived_texts.items()}

    @property
    def constrained(self) -> bool:
        """Whether there are configs within all ranges that no trial may have."""
        return bool(self._constraint_texts or self._derived_texts)

    @property
    def conditional(self) -> bool:
        """Whether trials differ in which parameters they have."""
        return any(parameter.when for parameter in self.parameters.values())

    def followers(self, name: str) -> list[str]:
        """The parameters whose values are taken in step with this one."""
        return [one for one, leader in self._steps.items() if leader == name]

    def active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether a trial with these values has a parameter; they hold at least those that its conditions name."""
        return applies(self.parameters[name], values)

    def walk(self, choose: Callable[[str], Any]) -> dict[str, Any]:
        """The config that comes of choosing a value for each proposed parameter that turns out to be in use.

        Args:
            choose: a proposed name to its value; called for each after those that its conditions name.
        """
        values: dict[str, Any] = {}
        for name in self.order:
            parameter = self.parameters[name]
            if not applies(parameter, values):
                continue
            if isinstance(parameter, Constant):
                values[name] = parameter.value
            elif name in self._steps:
                values[name] = self._in_step_value(name, values)
            else:
                values[name] = choose(name)
        return {name: values[name] for name in self.parameters if name in values}

    def every(self, values: Callable[[str], Iterable[Any]]) -> Iterator[dict[str, Any]]:
        """Each config that comes of choosing among some values, constraints left aside.

        Args:
            values: a proposed name to those that it may take.
        """
        return self._every({}, 0, values)

    def _every(
        self, found: dict[str, Any], place: int, values: Callable[[str], Iterable[Any]]
    ) -> Iterator[dict[str, Any]]:
        """Those that begin with what was found for the first names of the order."""
        if place == len(self.order):
            yield {name: found[name] for name in self.parameters if name in found}
            return
        name = self.order[place]
        parameter = self.parameters[name]
        if not applies(parameter, found):
            yield from self._every(found, place + 1, values)
            return
        if isinstance(parameter, Constant):
            options: Iterable[Any] = [parameter.value]
        elif name in self._steps:
            options = [self._in_step_value(name, found)]
        else:
            options = values(name)
        for value in options:
            yield from self._every({**found, name: value}, place + 1, values)

    def complete(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The config that comes of the proposed values.

        Args:
            chosen: a value for each proposed name that is in use; what is there of the others counts for nothing.
        """
        return self.walk(lambda name: chosen[name])

    def _in_step_value(self, name: str, values: Mapping[str, Any]) -> Any:
        leader, follower = self.parameters[self._steps[name]], self.parameters[name]
        if not isinstance(leader, Choice) or not isinstance(follower, Choice):
            raise TypeError(f"{name} is in step, and no list")
        return follower.values[place_in(leader.values, values[self._steps[name]])]

    def chosen(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The proposed values of a config, or of a part of one: a value in step says that of the first."""
        found = {name: config[name] for name in self.proposed if name in config}
        for name, leader in self._steps.items():
            parameter, first = self.parameters[name], self.parameters[leader]
            if name in config and isinstance(parameter, Choice) and isinstance(first, Choice):
                found[leader] = first.values[place_in(parameter.values, config[name])]
        return {name: found[name] for name in self.proposed if name in found}

    def implied(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Proposed values, and those that they can't do without: one that is only for sgd says sgd."""
        found = dict(chosen)
        for name in reversed(self.order):
            condition = self.parameters[name].when or {} if name in found else {}
            for other, wanted in condition.items():
                values = wanted if isinstance(wanted, list) else [wanted]
                if len(values) == 1:
                    found = {**self.chosen({other: values[0]}), **found}
        return found

    def key(self, config: Mapping[str, Any]) -> tuple[Any, ...]:
        """Equal for configs that are the same to training, whoever computed them: of real values ten digits count."""
        chosen = self.chosen(config)
        return tuple((name, _mark(self.proposed[name], value)) for name, value in chosen.items())

    def derived(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The further values of a config; without those that read a parameter which it lacks.

        Raises:
            ExpressionError: one of them has no value, as when it divides by zero.
        """
        values = dict(config)
        found: dict[str, Any] = {}
        for name, expression in self._derived.items():
            try:
                values[name] = found[name] = expression.value(values)
            except AbsentError:
                continue
            except ExpressionError as error:
                raise ExpressionError(f"derived.{name}: {expression.text}: {error}") from error
        return found

    def broken(self, config: Mapping[str, Any]) -> list[str]:
        """Why no trial may have this config, a line each: constraints that it doesn't meet, values that can't be had.

        A constraint that reads a parameter which the config lacks says nothing of it.
        """
        if not self.constrained:
            return []
        try:
            values = {**config, **self.derived(config)}
        except ExpressionError as error:
            return [str(error)]
        return [line for constraint in self._constraints if (line := _unmet(constraint, values))]

    def feasible(self, config: Mapping[str, Any]) -> bool:
        """Whether a trial may have this config."""
        return not self.broken(config)

    def for_training(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config as the training function gets it: with derived values, and groups as maps."""
        return nested({**config, **self.derived(config)})


def _mark(parameter: FloatRange | IntRange | Choice, value: Any) -> Any:
    if isinstance(parameter, Choice):
        return place_in(parameter.values, value)
    if parameter.step is not None:
        return round((value - parameter.min) / parameter.step)
    return f"{value:.9e}" if isinstance(parameter, FloatRange) else value


def _unmet(constraint: Expression, values: Mapping[str, Any]) -> str | None:
    try:
        if constraint.value(values):
            return None
        reason = "is not met"
    except AbsentError:
        return None
    except ExpressionError as error:
        reason = f"can't be told ({error})"
    told = ", ".join(f"{name} {flow(values[name])}" for name in constraint.names if name in values)
    return f"{constraint.text} {reason}" + (f" with {told}" if told else "")


def _in_step(spec: StudySpec) -> dict[str, str]:
    """The parameters that follow another one's choice, and which: of lists in step the first leads."""
    return {name: group[0] for group in spec.zip for name in group[1:]}


def _leader(parameter: FloatRange | IntRange | Choice, followers: list[Parameter]) -> FloatRange | IntRange | Choice:
    """What is proposed for lists in step: an ordered one gives its order to all."""
    if isinstance(parameter, Choice) and any(isinstance(one, Choice) and one.ordered for one in followers):
        return parameter.model_copy(update={"ordered": True})
    return parameter


def varying(spec: StudySpec) -> dict[str, FloatRange | IntRange | Choice]:
    """The parameters that a sampler proposes, in the file's order."""
    return {name: one for name, one in spec.parameters.items() if not isinstance(one, Constant)}


def constants(spec: StudySpec) -> dict[str, Any]:
    """Name to value of the parameters that every trial shares."""
    return {name: one.value for name, one in spec.parameters.items() if isinstance(one, Constant)}


def contains(parameters: Mapping[str, Parameter], config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a config, a line each; empty when it lies in the space, constraints left aside.

    A parameter with `when:` is there where its conditions hold, and only there.
    """
    lines = [f"{name}: is no parameter." for name in config if name not in parameters]
    for name, parameter in parameters.items():
        if name not in config:
            if applies(parameter, config):
                lines.append(f"{name}: is missing.")
        elif not applies(parameter, config):
            lines.append(f"{name}: is only for trials in which {told_condition(parameter)}.")
        elif wrong := value_problem(parameter, config[name]):
            lines.append(f"{name}: {wrong}")
    return lines


def midpoint(spec: StudySpec) -> dict[str, Any]:
    """A config from the middle: geometric on log scale, else arithmetic, the middle one of a list."""
    return Space(spec).complete({name: _middle(parameter) for name, parameter in spec.parameters.items()})


def describe(parameter: Parameter) -> str:
    """A parameter in a table's cell: "1e-5 … 0.1, log"."""
    extras: list[str] = []
    if isinstance(parameter, Constant):
        text = flow(parameter.value)
    elif isinstance(parameter, Choice):
        text = " | ".join(flow(value) for value in parameter.values)
        extras = ["ordered"] if parameter.ordered else []
    else:
        text = f"{_short(parameter.min)} … {_short(parameter.max)}"
        extras = ["log"] if parameter.log else []
        extras += [f"step {_short(parameter.step)}"] if parameter.step is not None else []
    if parameter.when:
        extras.append(f"when {told_condition(parameter)}")
    return ", ".join([text, *extras])


def size(parameters: Mapping[str, Parameter]) -> int | None:
    """How many different configs there are, conditions left aside; None when a range is continuous."""
    count = 1
    for parameter in parameters.values():
        if isinstance(parameter, Choice):
            count *= len(parameter.values)
        elif isinstance(parameter, FloatRange | IntRange):
            if parameter.step is not None:
                count *= steps_in(parameter) + 1
            elif isinstance(parameter, IntRange):
                count *= parameter.max - parameter.min + 1
            else:
                return None
    return count


def _middle(parameter: Parameter) -> Any:
    if isinstance(parameter, Constant):
        return parameter.value
    if isinstance(parameter, Choice):
        return parameter.values[len(parameter.values) // 2]
    if parameter.step is not None:
        value = parameter.min + (steps_in(parameter) // 2) * parameter.step
        return min(value, parameter.max)
    if parameter.log:
        # Halves of logarithms: the product of both ends could overflow.
        middle = math.exp(math.log(parameter.min) / 2 + math.log(parameter.max) / 2)
    else:
        middle = parameter.min / 2 + parameter.max / 2
    if isinstance(parameter, IntRange):
        whole = (parameter.min + parameter.max) // 2 if not parameter.log else round(middle)
        return min(max(whole, parameter.min), parameter.max)
    return min(max(middle, parameter.min), parameter.max)


def _short(value: float | None) -> str:
    """1e-5 for 1.0e-05, 0.1 for 0.1: for eyes, not for files."""
    if value is None:
        return ""
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if exponent else text.removesuffix(".0")
