"""The JSON Schema of the search file, for editors: `python -m sweep.core.schema` writes it anew.

It describes what one may write, short forms included, and not the typed values that come of it.
It knows shapes, types and bounds; the rules between values are the loader's.
"""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

from sweep.core import parameters, spec
from sweep.core.groups import PARAMETER_KEYS
from sweep.core.names import NAME
from sweep.core.spec import ORDER, PARAMETER_NAME, StudySpec

SCHEMA_FILE = Path(__file__).with_name("spec.schema.json")
_REQUIRED = ("metric", "parameters")
_SCALAR = {"type": ["number", "string", "boolean", "null"]}
_WHEN = {
    "type": ["object", "null"],
    "minProperties": 1,
    "description": "Only for trials in which these other parameters have these values.",
}


def build_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    made = StudySpec.model_json_schema(by_alias=True, mode="validation")
    texts = _docstrings()
    sections = {
        name: _described(_without_titles(made["$defs"][name]), texts[name], _SHORT_FORMS.get(name, {}))
        for name in sorted(made["$defs"])
        if name not in ("FloatRange", "IntRange", "Choice", "Constant")
    }
    top = _described(_without_titles(made), {**texts["Basics"], **texts["StudySpec"]}, {})["properties"]
    top["name"]["pattern"] = f"^{NAME.pattern}$"
    top["command"]["anyOf"] = _COMMAND
    top["parameters"] = {
        "type": "object",
        "description": texts["StudySpec"]["parameters"],
        "propertyNames": {"pattern": f"^{PARAMETER_NAME.pattern}$"},
        "minProperties": 1,
        "additionalProperties": {"$ref": "#/$defs/Parameter"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sweep search file",
        "description": "Three keys are enough: entrypoint, metric, parameters.",
        "type": "object",
        "properties": {key: top[key] if key in _REQUIRED else _or_null(top[key]) for key in ORDER},
        "required": list(_REQUIRED),
        "anyOf": [{"required": ["entrypoint"]}, {"required": ["command"]}],
        "additionalProperties": False,
        "$defs": {**sections, **_parameter_forms(texts)},
    }


def schema_text() -> str:
    """The schema as the package carries it."""
    return json.dumps(build_schema(), indent=2) + "\n"


_COMMAND = [
    {"type": "string", "minLength": 1},
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                {"type": ["string", "number"]},
                {
                    "description": "{args} without quotes, which is a map to YAML.",
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": {"type": "null"},
                },
            ]
        },
    },
    {"type": "null"},
]


_SHORT_FORMS: dict[str, dict[str, Any]] = {
    "Budget": {
        "time": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^([0-9.]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?$", "minLength": 2},
                {"type": "null"},
            ]
        }
    },
    "Search": {
        "warm_start": {
            "type": "array",
            "items": {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/WarmStart"}]},
        }
    },
    "Resources": {
        "gpu": {"anyOf": [{"type": "number", "minimum": 0}, {"const": "auto"}]},
        "gpu_memory": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9.]+\s*(GiB|MiB)$"},
                {"type": "null"},
            ]
        },
    },
    "Environment": {"env": {"type": "object", "additionalProperties": {"type": ["string", "number"]}}},
}
"""Fields that take more than their type says, by section."""


def _described(schema: dict[str, Any], texts: dict[str, str], short: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model with its fields' docstrings and short forms."""
    for name, field in schema["properties"].items():
        if name in short:
            for key in ("type", "anyOf", "exclusiveMinimum", "additionalProperties", "items"):
                field.pop(key, None)
            field.update(short[name])
        text = texts.get(name) or texts.get(f"{name}_s")
        if text:
            field["description"] = text
    return schema


def _without_titles(schema: Any) -> Any:
    """Titles from pydantic repeat the key with a capital."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)
        }
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A key without a value is a key that isn't there."""
    nullable = schema.get("type") == "null" or {"type": "null"} in schema.get("anyOf", [])
    if nullable:
        return schema
    told: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in told}
    return {"anyOf": [rest, {"type": "null"}], **told}


def _parameter_forms(texts: dict[str, dict[str, str]]) -> dict[str, Any]:
    range_texts, choice_texts = texts["FloatRange"], texts["Choice"]
    values = {"type": "array", "items": _SCALAR, "minItems": 1, "uniqueItems": True}
    return {
        "Parameter": {
            "description": "A range {min, max}, a list of values, one value for all trials, or a group of parameters.",
            "anyOf": [
                {"$ref": "#/$defs/Range"},
                {"$ref": "#/$defs/Choice"},
                {"$ref": "#/$defs/Constant"},
                {**values, "description": "One of these values."},
                {"type": ["number", "string", "boolean", "null"], "description": "A value that every trial gets."},
                {"$ref": "#/$defs/Group"},
            ],
        },
        "Group": {
            "description": 'Parameters in a map of their own; config["optimizer"]["lr"] in the training function.',
            "type": "object",
            "properties": {"when": _WHEN},
            "propertyNames": {"pattern": f"^{PARAMETER_NAME.pattern}$"},
            "additionalProperties": {"$ref": "#/$defs/Parameter"},
            "not": {
                "anyOf": [
                    *({"required": [key]} for key in PARAMETER_KEYS if key != "when"),
                    # A map of plain values alone is a parameter with the wrong keys.
                    {"properties": {"when": True}, "additionalProperties": _SCALAR},
                ]
            },
        },
        "Range": _map_form(
            "A number between two ends, both included; whole when both ends are.",
            {
                "min": {"type": "number", "description": range_texts["min"]},
                "max": {"type": "number", "description": range_texts["max"]},
                "log": {"type": "boolean", "default": False, "description": range_texts["log"]},
                "step": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": range_texts["step"]},
                "when": _WHEN,
            },
            ["min", "max"],
        ),
        "Choice": _map_form(
            "One of a list of values.",
            {
                "values": {**values, "description": choice_texts["values"]},
                "ordered": {"type": "boolean", "default": False, "description": choice_texts["ordered"]},
                "when": _WHEN,
            },
            ["values"],
        ),
        "Constant": _map_form(
            "A value that every trial gets.",
            {"value": {"description": texts["Constant"]["value"]}, "when": _WHEN},
            ["value"],
        ),
    }


def _map_form(description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _docstrings() -> dict[str, dict[str, str]]:
    """Class to field to the docstring under the field, read from the source of the models."""
    found: dict[str, dict[str, str]] = {}
    for module in (spec, parameters):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = _field_docstrings(node)
    return found


def _field_docstrings(node: ast.ClassDef) -> dict[str, str]:
    texts: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
