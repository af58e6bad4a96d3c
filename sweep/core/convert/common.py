"""What the tools have in common: a parameter in their spelling as one in ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sweep.core.convert.draft import FILL_IN, Draft
from sweep.core.flow import flow
from sweep.core.parameters import KINDS, parameter_fields
from sweep.core.positions import Mark, Path
from sweep.core.spellings import ours


def put_parameter(draft: Draft, mark: Mark, path: Path, names: tuple[str, ...], raw: Any) -> None:
    """Write one of their parameters in our form, or say that there is none."""
    parameter = in_our_form(raw)
    if parameter is None and raw is not None:
        draft.refuse(mark, path, no_form(raw))
    else:
        draft.parameter(names, parameter, "" if parameter == raw else flow(raw))


def no_form(raw: Any) -> str:
    """What is said of a parameter that we have no form for."""
    return f"{flow(raw)} has no equivalent: ranges, with log or step, lists and constants have."


def in_our_form(raw: Any) -> Any:
    """One of their parameters as our file writes it; None when there is no form for it."""
    form = _in_steps(raw) if isinstance(raw, Mapping) else raw
    found = ours(form)
    parameter = form if found is None else found.parameter
    return parameter if _right(parameter) else None


def whole(value: Any, otherwise: int) -> int:
    """A whole number, of a text too; something else, which our loader couldn't read, for what is none."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return otherwise


def put_entrypoint(draft: Draft, program: Any, what: str) -> None:
    """Name the training function in the file that their tool ran as a script."""
    if isinstance(program, str) and program.endswith(".py") and not any(sign in program for sign in " :"):
        draft.set("entrypoint", f"{program}:train", f"fill in the function; {what}")
    else:
        draft.set("entrypoint", FILL_IN, f"fill in your training function; {what}")


def put_no_scheduler(draft: Draft) -> None:
    """Say that nobody is stopped, as in their file."""
    draft.set("scheduler.type", "none", "no early stopping there")


def put_max_t(draft: Draft) -> None:
    """Say that the length of a trial has to be filled in, unless their file named it."""
    if not draft.has("scheduler.max_t"):
        draft.set("scheduler.max_t", 100, "fill in how many epochs a trial trains; their file doesn't say")


def _right(parameter: Any) -> bool:
    fields = parameter_fields(parameter)
    try:
        KINDS[fields["kind"]].model_validate(fields)
    except (ValidationError, KeyError, OverflowError):
        return False
    return True


def _in_steps(raw: Mapping[str, Any]) -> Any:
    """A quantised range with ends that are multiples of its step, as those tools round; of a log one there is none."""
    word = str(raw.get("distribution", raw.get("_type", ""))).lower()
    if not word.startswith("q") or "uniform" not in word:
        return raw
    listed = raw.get("_value", [raw.get("min"), raw.get("max"), raw.get("q", 1)])
    numbers = [one for one in listed if isinstance(one, int | float) and not isinstance(one, bool)]
    if "log" in word or len(numbers) != 3 or numbers[2] <= 0:  # noqa: PLR2004  # low, high, q
        return {}
    low, high, step = numbers
    first, last = math.ceil(low / step - 1e-9) * step, math.floor(high / step + 1e-9) * step
    kind = int if all(isinstance(one, int) for one in numbers) else float
    return {"min": kind(first), "max": kind(last), "step": kind(step)}
