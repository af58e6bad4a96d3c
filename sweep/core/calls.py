"""Parameters pasted from Python: `tune.loguniform(1e-5, 1e-1)`, `trial.suggest_int("n", 1, 8)`."""

from __future__ import annotations

import ast
import warnings
from typing import Any

_LONGEST = 500
# Function to (has log ends, is whole, upper end is left out, takes the parameter's name first).
_RANGES = {
    "uniform": (False, False, False, False),
    "quniform": (False, False, False, False),
    "loguniform": (True, False, False, False),
    "qloguniform": (True, False, False, False),
    "randint": (False, True, True, False),
    "qrandint": (False, True, False, False),
    "lograndint": (True, True, True, False),
    "interval": (False, False, False, False),
    "suggest_float": (False, False, False, True),
    "suggest_uniform": (False, False, False, True),
    "suggest_loguniform": (True, False, False, True),
    "suggest_discrete_uniform": (False, False, False, True),
    "suggest_int": (False, True, False, True),
}
_CHOICES = ("choice", "grid_search", "suggest_categorical", "Categorical")


def called_parameter(text: str) -> tuple[str, Any] | None:
    """The tool and our form of a call that makes a parameter; None for any other text.

    The form is None when the call is known and its arguments can't be carried over.
    """
    if "(" not in text or not text.rstrip().endswith(")") or len(text) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    name, owner = _callee(call)
    if not isinstance(call, ast.Call) or name is None:
        return None
    if name == "tag":
        return "Hydra", _tagged(call)
    if name not in _RANGES and name not in _CHOICES:
        return None
    return _tool(name, owner), _form(name, call)


def _callee(node: ast.AST) -> tuple[str | None, str | None]:
    if not isinstance(node, ast.Call):
        return None, None
    if isinstance(node.func, ast.Name):
        return node.func.id, None
    if isinstance(node.func, ast.Attribute):
        return node.func.attr, getattr(node.func.value, "id", None)
    return None, None


def _tool(name: str, owner: str | None) -> str:
    if name.startswith("suggest_"):
        return "Optuna"
    if name == "interval" or (name == "choice" and owner is None):
        return "Hydra"
    return "Ray Tune"


def _tagged(call: ast.Call) -> Any:
    inner = call.args[-1] if call.args else None
    name, _ = _callee(inner) if inner is not None else (None, None)
    if not isinstance(inner, ast.Call) or name is None or (name not in _RANGES and name not in _CHOICES):
        return None
    form = _form(name, inner)
    if isinstance(form, dict) and "min" in form and any(_value(tag) == "log" for tag in call.args[:-1]):
        form["log"] = True
    return form


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return node.id  # Hydra's choice(adam, sgd) has bare words
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _form(name: str, call: ast.Call) -> Any:
    values = [_value(argument) for argument in call.args]
    named = {keyword.arg: _value(keyword.value) for keyword in call.keywords if keyword.arg}
    if name in _CHOICES:
        return _choice(name, values, named)
    log, whole, exclusive, has_name = _RANGES[name]
    if has_name and values and isinstance(values[0], str):
        values = values[1:]
    low = named.get("low", named.get("lower", values[0] if values else None))
    high = named.get("high", named.get("upper", values[1] if len(values) > 1 else None))
    step = named.get("step", named.get("q", values[2] if len(values) > 2 else None))  # noqa: PLR2004  # third
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    if exclusive and isinstance(high, int):
        high -= 1
    form: dict[str, Any] = {"min": low, "max": high} if whole else {"min": float(low), "max": float(high)}
    if log or named.get("log") is True:
        form["log"] = True
    elif isinstance(step, int | float) and not (whole and step == 1):
        form["step"] = step
    return form


def _choice(name: str, values: list[Any], named: dict[str, Any]) -> Any:
    if name == "suggest_categorical":
        values = values[1:]
    given = named.get("choices", named.get("categories"))
    if given is None:
        given = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
    return {"values": list(given)} if isinstance(given, list | tuple) and given else None
