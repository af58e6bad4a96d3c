"""The columns of a study's trials, under the names that people sort and filter by."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sweep.core.study import StudyMachine
from sweep.core.trial import Trial
from sweep.errors import InputError
from sweep.watch.words import trial_state

Read = Callable[[Trial], Any]

_FILTER = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Columns:
    """Every column that a study's trials have.

    Where two bear one name, a built-in one comes first, then a parameter, then a metric; `param.NAME` and `metric.NAME`
    say which is meant. Metrics are those of a trial's best report; `t` and the time_attr's own name are the last
    fidelity.

    Args:
        study: whose trials.
        live: whether a driver holds the study's lock.
    """

    def __init__(self, study: StudyMachine, *, live: bool = False) -> None:
        self._metric = study.metric
        trials = list(study.trials.values())
        time_attr = study.spec.scheduler.time_attr
        reported = {name for trial in trials for report in trial.reports for name in report.metrics}
        others = sorted(reported - {self._metric.name, time_attr})
        self.metrics = [self._metric.name, *others]
        declared = list(study.spec.parameters)
        self.params = list(dict.fromkeys([*declared, *(name for trial in trials for name in trial.config)]))
        built_in: dict[str, Read] = {
            "trial": lambda trial: trial.number,
            "state": lambda trial: trial_state(trial, live=live).value,
            "t": lambda trial: trial.t,
            "value": lambda trial: trial.value(self._metric),
            "attempts": lambda trial: len(trial.attempts),
            "seconds": lambda trial: trial.duration_s,
            "bracket": lambda trial: trial.bracket,
            "repeat_of": lambda trial: trial.repeat_of,
            "reason": lambda trial: trial.why,
        }
        metrics = {name: self._metric_reader(name) for name in self.metrics}
        params = {name: _param_reader(name) for name in self.params}
        self._readers: dict[str, Read] = {
            **{f"param.{name}": read for name, read in params.items()},
            **{f"metric.{name}": read for name, read in metrics.items()},
            **params,
            **{name: read for name, read in metrics.items() if name not in params},
            time_attr: built_in["t"],
            **built_in,
        }

    def reader(self, name: str) -> Read:
        """What gives a trial's value in this column; None stands for a value that it doesn't have.

        Raises:
            InputError: there is no such column.
        """
        if name in self._readers:
            return self._readers[name]
        near = difflib.get_close_matches(name, self._readers, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(self.plain_names())}."
        raise InputError(f"column {name!r}: unknown. {hint}")

    def plain_names(self) -> list[str]:
        """The names without their long forms."""
        return [name for name in self._readers if not name.startswith(("param.", "metric."))]

    def unambiguous(self, name: str, kind: str) -> str:
        """A parameter's or metric's name as a head: the long form where the short one means something else."""
        long = f"{kind}.{name}"
        return name if self._readers[name] is self._readers[long] else long

    def is_objective(self, name: str) -> bool:
        """Whether the column holds the value that ranks trials."""
        return self._readers.get(name) in (self._readers["value"], self._readers[f"metric.{self._metric.name}"])

    def _metric_reader(self, name: str) -> Read:
        def read(trial: Trial) -> Any:
            report = trial.best(self._metric) or (trial.reports[-1] if trial.reports else None)
            return report.metrics.get(name) if report else None

        return read

    # Choosing

    def filtered(self, trials: Iterable[Trial], expressions: Sequence[str]) -> list[Trial]:
        """The trials for which all expressions hold: `state=complete`, `val_loss<0.5 and lr>=1e-4`.

        Raises:
            InputError: an expression can't be read.
        """
        tests = [self._test(part) for text in expressions for part in re.split(r"\s+and\s+", text, flags=re.IGNORECASE)]
        return [trial for trial in trials if all(test(trial) for test in tests)]

    def _test(self, text: str) -> Callable[[Trial], bool]:
        match = _FILTER.fullmatch(text)
        if match is None:
            raise InputError(f"filter {text!r}: expected COLUMN, one of = != < <= > >=, and a value: val_loss<0.5.")
        name, sign, wanted = match.groups()
        read = self.reader(name)
        if sign in ("=", "=="):
            return lambda trial: _same(read(trial), wanted)
        if sign == "!=":
            return lambda trial: not _same(read(trial), wanted)
        limit = _as_number(wanted)
        if limit is None:
            raise InputError(f"filter {text!r}: expected a number after {sign}, got {wanted!r}.")
        compare = _COMPARE[sign]

        def test(trial: Trial) -> bool:
            value = read(trial)
            return isinstance(value, int | float) and not isinstance(value, bool) and compare(value, limit)

        return test

    def ordered(self, trials: Iterable[Trial], sort: str | None) -> list[Trial]:
        """The trials by a column: the objective best first, others ascending; "-" before the name turns it round.

        Trials without a value there come last either way.

        Raises:
            InputError: there is no such column.
        """
        found = list(trials)
        if sort is None:
            return found
        name = sort.removeprefix("-")
        read = self.reader(name)
        turned = sort.startswith("-") != (self.is_objective(name) and self._metric.goal == "maximize")
        valued = [trial for trial in found if not _missing(read(trial))]
        valueless = [trial for trial in found if _missing(read(trial))]
        return [*sorted(valued, key=lambda trial: _sort_key(read(trial)), reverse=turned), *valueless]


def _param_reader(name: str) -> Read:
    return lambda trial: trial.config.get(name)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Numbers before texts, for a parameter may have both."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _same(value: Any, wanted: str) -> bool:
    if value is None:
        return wanted.lower() in ("", "none", "null")
    wanted_number = _as_number(wanted)
    if isinstance(value, bool) or not isinstance(value, int | float) or wanted_number is None:
        return str(value).lower() == wanted.lower()
    return value == wanted_number or (math.isnan(value) and math.isnan(wanted_number))
