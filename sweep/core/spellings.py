"""Parameters as other tools write them, rewritten in ours.

`ours` answers with the tool and the parameter in our form. Nothing here is accepted by the
loader: the reader sees the line that he should write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from sweep.core.calls import called_parameter
from sweep.core.parameters import KINDS, PARAMETER_KEYS, parameter_fields

SYNONYMS: dict[str, tuple[str, str]] = {
    "low": ("min", "Optuna"),
    "lower": ("min", "Ray Tune"),
    "minval": ("min", "Determined"),
    "minimum": ("min", "another tool"),
    "high": ("max", "Optuna"),
    "upper": ("max", "Ray Tune"),
    "maxval": ("max", "Determined"),
    "maximum": ("max", "another tool"),
    "choices": ("values", "Optuna"),
    "vals": ("values", "Determined"),
    "list": ("values", "Katib"),
    "categories": ("values", "another tool"),
    "options": ("values", "another tool"),
    "q": ("step", "W&B"),
    "step_size": ("step", "Ax"),
    "is_ordered": ("ordered", "Ax"),
    "val": ("value", "Determined"),
    "log_scale": ("log", "Ax"),
}
"""Key of another tool to our key and the tool."""

_WORDS = ("distribution", "type", "parameterType", "_type", "scale", "scaling", "feasibleSpace", "_value", "base")
# fmt: off
_RANGES = frozenset((
    "uniform", "quniform", "q_uniform", "float", "double", "int", "integer", "int_uniform", "randint", "qrandint",
    "loguniform", "log_uniform", "log_uniform_values", "q_log_uniform", "q_log_uniform_values", "qloguniform",
    "lograndint", "log", "range",
))
# fmt: on
_CHOICES = frozenset(("categorical", "choice", "discrete", "grid_search"))


class Rewritten(NamedTuple):
    """A parameter in our form.

    Attributes:
        spelling: what was found, as it should be quoted: "distribution: log_uniform_values".
        tool: whose spelling it is.
        parameter: the same parameter for our file, or None when there is no equivalent.
    """

    spelling: str
    tool: str
    parameter: Any


def ours(raw: Any) -> Rewritten | None:
    """A parameter in another tool's spelling, rewritten; None when it is none that we know."""
    if isinstance(raw, str):
        called = called_parameter(raw)
        return None if called is None else Rewritten(raw, called[0], _accepted(called[1]))
    if not isinstance(raw, Mapping):
        return None
    found = next(((key, raw[key]) for key in raw if key in _WORDS or key in SYNONYMS), None)
    if found is None:
        return None
    key, value = found
    spelling = f"{key}: {value}" if isinstance(value, str | int | float) and key in _WORDS else key
    return Rewritten(spelling, _tool(raw, key, value), _accepted(_translated(raw)))


def _accepted(parameter: Any) -> Any:
    """The parameter when our own file would take it, else None."""
    fields = parameter_fields(parameter)
    value = fields.get("value")
    if isinstance(value, dict | list) or parameter is None:
        return None
    if isinstance(value, str) and called_parameter(value) is not None:
        return None
    try:
        KINDS[fields["kind"]].model_validate(fields)
    except (ValidationError, KeyError, OverflowError):
        return None
    return parameter


def _tool(raw: Mapping[str, Any], key: str, value: Any) -> str:
    if key in SYNONYMS:
        return "Determined" if "minval" in raw or "vals" in raw else SYNONYMS[key][1]
    if key == "type" and ("minval" in raw or "vals" in raw or value in ("log", "const", "double")):
        return "Determined"
    if key == "type":
        return "another tool"
    owners = {
        "distribution": "W&B",
        "parameterType": "Katib",
        "feasibleSpace": "Katib",
        "_type": "NNI",
        "_value": "NNI",
        "base": "Determined",
    }
    return owners.get(key, "Ax")


def _translated(raw: Mapping[str, Any]) -> Any:
    if isinstance(raw.get("feasibleSpace"), Mapping):
        inner = {key: _unquoted(value) for key, value in raw["feasibleSpace"].items()}
        return _translated({**inner, "type": raw.get("parameterType", "double")})
    if "_type" in raw:
        return _nni(str(raw["_type"]).lower(), raw.get("_value"))
    words = [str(raw[key]).lower() for key in ("distribution", "type", "scale", "scaling") if key in raw]
    fields = {SYNONYMS[key][0] if key in SYNONYMS else key: value for key, value in raw.items()}
    return _typed(words, fields)


def _typed(words: list[str], fields: dict[str, Any]) -> Any:
    """Our form of already renamed fields and the words that said what they mean."""
    known = {key: fields[key] for key in PARAMETER_KEYS if key in fields}
    if any(word in ("constant", "const") for word in words) or set(known) == {"value"}:
        return fields.get("value")
    if "values" in known:
        return {key: known[key] for key in ("values", "ordered", "when") if key in known}
    if not {"min", "max"} <= set(known) or any("normal" in word or "beta" in word for word in words):
        return None
    if any("log" in word for word in words):
        known["log"] = True
        known.pop("step", None)
    base = _exponent_base(words, fields)
    if base is not None:
        known["min"], known["max"] = _power(base, known["min"]), _power(base, known["max"])
    return _ends(words, known)


def _exponent_base(words: list[str], fields: Mapping[str, Any]) -> float | None:
    """The base when the ends are exponents: Determined's type log, W&B's log_uniform."""
    if "log" in words and ("base" in fields or _negative(fields.get("min"))):
        base = fields.get("base", 10)
        return float(base) if isinstance(base, int | float) else None
    wandb = {"log_uniform", "q_log_uniform"} & set(words)
    return math.e if wandb else None


def _negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0


def _power(base: float, exponent: Any) -> Any:
    if not isinstance(exponent, int | float) or isinstance(exponent, bool):
        return exponent
    try:
        return float(f"{base**exponent:.6g}")
    except (OverflowError, ZeroDivisionError, TypeError, ValueError):
        return None


def _ends(words: list[str], known: dict[str, Any]) -> dict[str, Any]:
    """Ends as ints or floats, as the words ask."""
    whole = any("int" in word for word in words)
    real = any(word in ("float", "double", "uniform", "quniform", "q_uniform") for word in words)
    convert: Callable[[Any], Any] | None = _as_int if whole else _as_float if real else None
    if convert is not None:
        known.update({key: convert(known[key]) for key in ("min", "max", "step") if key in known})
    if known.get("step") in (None, 1) and whole:
        known.pop("step", None)
    if known.get("log") is False:
        del known["log"]
    order = ("min", "max", "log", "step", "when")
    return {key: known[key] for key in order if key in known}


def _as_int(value: Any) -> Any:
    return int(value) if isinstance(value, float) and math.isfinite(value) else value


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _unquoted(value: Any) -> Any:
    """Katib quotes its numbers."""
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    if not isinstance(value, str):
        return value
    for convert in (int, float):
        try:
            return convert(value)
        except ValueError:
            continue
    return value


def _nni(kind: str, values: Any) -> Any:
    if not isinstance(values, list):
        return None
    if kind in _CHOICES:
        return {"values": values}
    if kind not in _RANGES or len(values) < 2:  # noqa: PLR2004  # two ends
        return None
    low, high = values[0], values[1]
    if kind == "randint" and isinstance(high, int):
        high -= 1  # NNI's upper end is left out
    fields = {"min": low, "max": high}
    if len(values) > 2 and "log" not in kind:  # noqa: PLR2004  # quniform's third
        fields["step"] = values[2]
    return _typed(["log_uniform_values" if "log" in kind else kind], fields)
