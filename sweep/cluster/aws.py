"""`node_config` on AWS, against the EC2 API as botocore ships it."""

from __future__ import annotations

import functools
from typing import Any

from sweep.cluster.remarks import Remarks, unknown
from sweep.cluster.values import is_list, is_map, scalar
from sweep.core.positions import Path
from sweep.core.section import described

Config = dict[str, Any]

_RAYS_OWN = ("MinCount", "MaxCount")
_NEEDED = (("InstanceType", "g6.xlarge"), ("ImageId", "ami-0123456789abcdef0"))
_SCALARS = {
    **dict.fromkeys(("string", "blob", "timestamp"), "text"),
    "boolean": "flag",
    **dict.fromkeys(("integer", "long"), "whole"),
    **dict.fromkeys(("float", "double"), "number"),
}


def node_problems(path: Path, node: Config, found: Remarks) -> None:
    """What EC2's RunInstances would refuse in this request.

    Raises:
        ModuleNotFoundError: botocore isn't installed.
    """
    model = ec2_model()
    fields = dict(node)
    # Not EC2's: Ray puts each machine in one of these.
    subnets = fields.pop("SubnetIds", [])
    if not isinstance(subnets, list):
        found.wrong((*path, "SubnetIds"), f"expected a list, got {described(subnets)}. Write [{subnets}].")
    for key in _RAYS_OWN:
        if key in fields:
            told = "is Ray's to say. Write min_workers and max_workers of the node type."
            found.wrong((*path, key), told, at_key=True)
    _hold(path, fields, model.operation_model("RunInstances").input_shape, found)
    if "LaunchTemplate" not in fields:
        for key, example in _NEEDED:
            if key not in fields:
                found.wrong((*path, key), f"is missing. Write {key}: {example}.")


def _hold(path: Path, value: Any, shape: Any, found: Remarks) -> None:
    """Hold a value to a shape of botocore's model, and what is inside it."""
    if shape.type_name == "structure":
        if is_map(path, value, found):
            _structure(path, value, shape, found)
    elif shape.type_name == "list":
        if is_list(path, value, found):
            for place, item in enumerate(value):
                _hold((*path, place), item, shape.member, found)
    else:
        choices = getattr(shape, "enum", None)
        scalar(path, value, _SCALARS.get(shape.type_name, ""), found, choices=choices, api="EC2")


def _structure(path: Path, value: Config, shape: Any, found: Remarks) -> None:
    for key, item in value.items():
        if key in shape.members:
            _hold((*path, key), item, shape.members[key], found)
        else:
            found.wrong((*path, key), unknown(key, shape.members, "of EC2's"), at_key=True)
    for key in shape.required_members:
        if key not in value and key not in _RAYS_OWN:
            found.wrong((*path, key), "is missing, and EC2 asks for it.")


@functools.cache
def ec2_model() -> Any:
    """The EC2 API; 10 MB of JSON, so it is read once.

    Raises:
        ModuleNotFoundError: botocore isn't installed.
    """
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("ec2", "service-2"))
