"""Ray's own rules for a cluster file: its JSON schema, all problems at once, then what it checks in code."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path as FilePath
from typing import Any

from sweep.cluster.remarks import Remarks, unknown
from sweep.core.positions import Path
from sweep.core.section import described
from sweep.errors import InputError

Config = dict[str, Any]

_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}
# What a file of an older Ray had at its top, and where that is now.
_MOVED = {
    "head_node": "is of an older Ray. Write available_node_types.head.node_config, and head_node_type: head.",
    "worker_nodes": "is of an older Ray. Write available_node_types.worker.node_config.",
    "initial_workers": "is of an older Ray. Write min_workers in a node type.",
    "target_utilization_fraction": "is of an older Ray. Remove it.",
    "autoscaling_mode": "is of an older Ray. Remove it.",
    "no_restart": "is an option of `ray up`. Remove it.",
}


def schema() -> Config:
    """The schema that `ray up` holds a file to.

    Raises:
        InputError: this Ray has none where it used to be.
    """
    import ray.autoscaler

    file = FilePath(ray.autoscaler.__file__).parent / "ray-schema.json"
    try:
        found: Config = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{file}: this Ray ({ray.__version__}) brings no schema for cluster files.") from error
    return found


def schema_problems(config: Config, found: Remarks) -> Config | None:
    """Each place where the file breaks Ray's schema.

    Args:
        config: the file as it is.
        found: takes the problems.

    Returns:
        The file without the keys that Ray doesn't know; None when nobody knows what the rest means.
    """
    from jsonschema import Draft7Validator

    content = dict(config)
    # Ray takes it for `local` and drops it elsewhere, but its schema doesn't know it.
    least = content.pop("min_workers", 0)
    if isinstance(least, bool) or not isinstance(least, int):
        found.wrong(("min_workers",), f"expected a whole number, got {described(least)}.")
    known, sound = copy.deepcopy(config), True
    for error in Draft7Validator(schema()).iter_errors(content):
        path = tuple(error.absolute_path)
        sound &= error.validator == "additionalProperties"
        match error.validator:
            case "additionalProperties":
                for key in _extra(error):
                    top = _MOVED.get(key) if not path else None
                    found.wrong((*path, key), top or unknown(key, error.schema["properties"]), at_key=True)
                    del _at(known, path)[key]
            case "required":
                for key in error.validator_value:
                    if key not in error.instance:
                        found.wrong((*path, key), _missing(path, key))
            case "type":
                found.wrong(path, f"expected {_type_words(error)}, got {described(error.instance)}.{_hint(error)}")
            case "enum":
                choices = ", ".join(map(str, error.validator_value))
                found.wrong(path, f"expected one of {choices}, got {described(error.instance)}.")
            case "minimum":
                found.wrong(path, f"got {error.instance}. It has to be at least {error.validator_value}.")
            case _:
                found.wrong(path, f"{error.message}.")
    return known if sound and isinstance(least, int) else None


def _at(config: Config, path: Path) -> Any:
    value: Any = config
    for step in path:
        value = value[step]
    return value


def prepared(config: Config, found: Remarks) -> Config | None:
    """The file as `ray up` would work with it, Ray's defaults filled in; None when Ray refuses it.

    Args:
        config: the file, which has passed the schema.
        found: takes Ray's reason.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        # It prints, too; what it has to say is told below.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), _silent(logging.getLogger("ray")):
            made: Config = prepare_config(copy.deepcopy(config))
            validate_config(made)
    # Ray has no error type of its own here: KeyError, AssertionError, click's and jsonschema's all occur.
    except Exception as error:  # noqa: BLE001
        if found.problems:
            return None  # it stumbles over what was told already
        told = str(error).strip().splitlines()
        found.wrong(*_place_of(config, f"Ray refuses this: {told[0] if told else type(error).__name__}"))
        return None
    return made


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _place_of(config: Config, told: str) -> tuple[Path, str]:
    """Where Ray's complaint belongs; it names no place itself."""
    for key in ("container_name", "head_node_type", "max_workers", "worker_ips", "head_ip", "available_node_types"):
        if key in told:
            around = {"container_name": ("docker",), "worker_ips": ("provider",), "head_ip": ("provider",)}
            return (*around.get(key, ()), key), told
    return ("provider",) if "provider" in config else (), told


def _extra(error: Any) -> list[str]:
    allowed = error.schema.get("properties", {})
    return [key for key in error.instance if key not in allowed]


def _missing(path: Path, key: str) -> str:
    if key == "resources":
        return "is missing. Write {CPU: 4, GPU: 1}: only for AWS does Ray find it out, and only when online."
    if key == "node_config":
        return "is missing. It says which machine this is, in the words of the cloud's API."
    if key == "provider":
        return "is missing. Write provider: {type: aws}; local, gcp and azure are others."
    return f"is missing. Write {'.'.join(map(str, (*path, key)))}: ..."


def _type_words(error: Any) -> str:
    kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    return " or ".join(str(_WORDS.get(kind, kind)) for kind in kinds)


def _hint(error: Any) -> str:
    came, wanted = error.instance, error.validator_value
    if isinstance(came, str) and wanted in ("integer", "number") and came.strip().isdigit():
        return f" Write {came.strip()}, without quotes."
    if isinstance(came, str) and wanted == "array":
        return f" Write [{came}], or a line '- {came}' below it." if len(came) < 40 else " Put '- ' before it."  # noqa: PLR2004
    if isinstance(came, int | float) and not isinstance(came, bool) and wanted == "string":
        return f' Put it in quotes: "{came}".'
    if isinstance(came, float) and wanted == "integer" and not came.is_integer():
        return " Ray counts machines' resources in whole numbers; a trial may ask for a part of one."
    return ""
