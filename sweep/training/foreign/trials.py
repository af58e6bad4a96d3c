"""An Optuna objective as an attempt: the object that it gets for its trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweep.core.flow import flow
from sweep.errors import TrainingError
from sweep.training.context import Context, StopTrial
from sweep.training.foreign.steps import Steps
from sweep.training.foreign.values import number
from sweep.training.states import kind


def run(objective: Callable[..., Any], context: Context, objectives: Sequence[str]) -> None:
    """Call it; what it returns is the last report.

    Args:
        objective: takes a trial.
        context: of the attempt.
        objectives: names of the metrics that it returns, in the order of the search file.

    Raises:
        StopTrial: the study has decided so, whether the objective asked for it or not.
        TrainingError: it asked for what the search file doesn't have, or returned no number.
    """
    trial = Trial(context, objectives)
    try:
        value = objective(trial)
    except Exception as error:
        if not _is_pruned(error):
            raise
        trial.pruned(error)
    else:
        trial.returned(value)


def _is_pruned(error: Exception) -> bool:
    """Whether it is Optuna's TrialPruned, told by name: Optuna is imported by whoever raises it, and not here."""
    kinds = ((each.__name__, each.__module__.partition(".")[0]) for each in type(error).__mro__)
    return ("TrialPruned", "optuna") in kinds


class AbsentError(TrainingError, AttributeError):
    """The objective asks for what only Optuna itself has; an AttributeError, so that `hasattr` can tell."""


class Trial:
    """A trial as an objective sees it; the values that it suggests are those of the study's config.

    Attributes:
        number: of the trial, from 0.
        params: what was suggested so far.
        user_attrs: what `set_user_attr` was given.
    """

    def __init__(self, context: Context, objectives: Sequence[str]) -> None:
        self.number = context.trial
        self.params: dict[str, Any] = {}
        self.user_attrs: dict[str, Any] = {}
        self._context = context
        self._objectives = tuple(objectives)
        self._steps = Steps(context)
        self._end: StopTrial | None = None
        self._last: float | None = None

    def __getattr__(self, name: str) -> Any:
        raise AbsentError(
            f"{self._context.where()}: the objective asks for trial.{name}, which it has in a study of Optuna's only. "
            "What there is: suggest_float, suggest_int, suggest_categorical, report, should_prune, number, params and "
            "set_user_attr."
        )

    # What the study chose.

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The config's value, a number from `low` to `high`."""
        ends = {
            "min": float(low),
            "max": float(high),
            **({"step": step} if step else {}),
            **({"log": True} if log else {}),
        }
        value = self._value(name, ends)
        if not _is_number(value) or not low <= value <= high or (step and not _on_grid(value, low, step)):
            raise self._outside(name, value, f"suggest_float({name!r}, {low}, {high}{_rest(step, log)})", ends)
        found = self.params[name] = float(value)
        return found

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The config's value, a whole number from `low` to `high`."""
        ends = {"min": low, "max": high, **({"step": step} if step != 1 else {}), **({"log": True} if log else {})}
        value = self._value(name, ends)
        whole = _is_number(value) and value == int(value)
        if not whole or not low <= value <= high or not _on_grid(value, low, step):
            written = f"suggest_int({name!r}, {low}, {high}{_rest(step if step != 1 else None, log)})"
            raise self._outside(name, value, written, ends)
        found = self.params[name] = int(value)
        return found

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The config's value, one of `choices`."""
        value = self._value(name, list(choices))
        for each in choices:
            # 1 and True are equal, and are two choices.
            if each == value and isinstance(each, bool) == isinstance(value, bool):
                self.params[name] = each
                return each
        raise self._outside(name, value, f"suggest_categorical({name!r}, {list(choices)!r})", list(choices))

    def _value(self, name: str, values: Any) -> Any:
        found: Any = self._context.config
        for part in (name,) if name in found else name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise TrainingError(
                    f"{self._context.where()}: the objective asks for {name}, which isn't among the trial's "
                    f"parameters: {', '.join(self._context.config) or 'there are none'}. Write under parameters in the "
                    f"search file: {name}: {flow(values)}; with when: where the objective asks for it only sometimes."
                )
            found = found[part]
        return found

    def _outside(self, name: str, value: Any, asked: str, values: Any) -> TrainingError:
        return TrainingError(
            f"{self._context.where()}: {name} is {value!r}, and the objective's own range has no such value: {asked}. "
            f"Write under parameters in the search file: {name}: {flow(values)}; or widen the range in the objective."
        )

    # What the study is told, and says.

    def report(self, value: float, step: int) -> None:
        """Report the metric at a step, counted from 0 or 1; a step that was reported already is left out.

        Raises:
            StopTrial: the report before was the trial's last.
            TrainingError: the study has several objectives, of which Optuna reports none before the end.
        """
        if self._end is not None:
            raise self._end
        if len(self._objectives) != 1:
            raise TrainingError(
                f"{self._context.where()}: trial.report was called, and the search file has "
                f"{len(self._objectives)} objectives: {', '.join(self._objectives)}. With several, only what the "
                "objective returns is reported, as in Optuna."
            )
        t = self._steps.fidelity(step)
        if t == self._context.t > 0:
            print(f"sweep: step {step} was reported already, so {value} is left out")  # noqa: T201
            return
        try:
            self._report({self._objectives[0]: value, self._context.time_attr: t})
        except StopTrial as end:
            self._end = end

    def should_prune(self) -> bool:
        """Whether the study has decided that the trial ends here, or pauses; what has come to its end isn't pruned."""
        return self._end is not None and self._end.decision.action != "finish"

    def set_user_attr(self, key: str, value: Any) -> None:
        """Note a fact: it stands in the attempt's log, and a number is a metric of the reports to come."""
        self.user_attrs[key] = value
        print(f"{key}: {value}")  # noqa: T201

    def _report(self, values: Mapping[str, Any]) -> None:
        numbers = {name: value for name, value in self.user_attrs.items() if _is_number(value)}
        if len(self._objectives) == 1:
            self._last = number(values[self._objectives[0]])
        self._context.report({**numbers, **values})

    # How it ends.

    def pruned(self, error: Exception) -> None:
        """The objective raised TrialPruned: the study's decision, or its own when it has reported something."""
        if self._end is not None:
            raise self._end
        if self._context.t == 0:
            raise TrainingError(
                f"{self._context.where()}: the objective raised TrialPruned before it reported anything, so the trial "
                "has no value. Say in the search file what can't be tried: constraints, or when of a parameter."
            ) from error
        print("sweep: the objective pruned itself: the trial ends with what it has reported")  # noqa: T201

    def returned(self, value: Any) -> None:
        """The objective has come to its end with this value, or one for each objective."""
        if self._end is not None:
            raise self._end
        values = list(value) if isinstance(value, list | tuple) else [value]
        if len(values) != len(self._objectives):
            raise TrainingError(
                f"{self._context.where()}: the objective returned {len(values)} values, and the search file has "
                f"{len(self._objectives)} objectives: {', '.join(self._objectives)}. Return one for each."
            )
        if wrong := [each for each in values if not _is_number(each)]:
            raise TrainingError(
                f"{self._context.where()}: the objective returned {kind(wrong[0])}, expected a number. "
                f"Return {', '.join(self._objectives)}."
            )
        if self._context.t > 0 and len(values) == 1 and _same(number(values[0]), self._last):
            return
        # Nothing in between was reported: the value is of the whole training.
        t = self._context.t + 1 if self._context.t else self._context.max_t
        self._report({**dict(zip(self._objectives, values, strict=True)), self._context.time_attr: t})


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and number(value) is not None


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isnan(one) and math.isnan(other))


def _on_grid(value: float, low: float, step: float) -> bool:
    places = (value - low) / step
    return abs(places - round(places)) < 1e-6  # noqa: PLR2004 - steps of floats add up with their error


def _rest(step: float | None, log: bool) -> str:
    return (f", step={step}" if step else "") + (", log=True" if log else "")
