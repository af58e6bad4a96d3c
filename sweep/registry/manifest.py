"""What a registry version says about itself: `manifest.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sweep.errors import VerificationError
from sweep.registry.seals import INDENTED

FORMAT: Literal[1] = 1

Curve = list[dict[str, float]]
"""A learning curve: the metrics of each report, in the order they came."""

# NaN and infinity are no JSON; as strings every reader of JSON can take the file, and a float field reads them back.
_NAN_SAFE = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")
_CURVE = TypeAdapter(Curve, config=ConfigDict(ser_json_inf_nan="strings"))


class Facts(BaseModel):
    """A part of the manifest: unknown keys are errors, values never change."""

    model_config = _NAN_SAFE


class FileFacts(Facts):
    """One file of a version."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Measured(Facts):
    """The metric that the promoted trial was chosen by."""

    name: str
    goal: Literal["minimize", "maximize"]
    value: float


class Weights(Facts):
    """What `model.safetensors` and `model.pth` hold."""

    tensors: int = Field(ge=0)
    parameters: int = Field(ge=0)
    dtypes: list[str]


class TakenUp(Facts):
    """Where a trial went on from another's checkpoint with another config (population based training).

    Attributes:
        source: the other trial.
        t: the fidelity of its checkpoint.
        before: the trial's config until then.
        after: its config since.
    """

    source: int = Field(ge=0)
    t: int = Field(ge=0)
    before: dict[str, Any]
    after: dict[str, Any]


class Lineage(Facts):
    """Where the version came from; `taken_up` is what other trials had a part in it, oldest first."""

    study: str
    trial: int = Field(ge=0)
    attempt: int = Field(ge=1)
    t: int = Field(ge=0)
    checkpoint_sha256: str
    spec_sha256: str
    taken_up: list[TakenUp] = []


class Manifest(Facts):
    """All facts of a version.

    Attributes:
        created: seconds since 1970.
        weights: None when the checkpoint holds no plain tensors; `weights_missing` says why.
        data: the checkpoint's data fingerprint, as its training wrote it.
        network: the checkpoint's description of the model, as its training wrote it.
        files: path inside the version to size and digest; the manifest itself bears its own digest.
    """

    format: Literal[1] = FORMAT
    model: str
    version: int = Field(ge=1)
    created: float
    metric: Measured
    metrics: dict[str, float]
    config: dict[str, Any]
    seed: int
    lineage: Lineage
    environment: dict[str, Any]
    data: Any = None
    network: Any = None
    weights: Weights | None
    weights_missing: str | None = None
    files: dict[str, FileFacts]

    def to_bytes(self) -> bytes:
        """The file's content, with its own digest at its end."""
        return INDENTED.put(self.model_dump_json(indent=2).encode())


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        VerificationError: it is missing, torn or changed.
    """
    try:
        return Manifest.model_validate_json(INDENTED.check(path.read_bytes()))
    except OSError as error:
        raise VerificationError(f"{path}: can't be read ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VerificationError(f"{path}: not a manifest of format {FORMAT} ({where}: {first['msg']}).") from error
    except ValueError as error:
        raise VerificationError(f"{path}: torn or changed ({error}).") from error


def curve_to_bytes(curve: list[Mapping[str, float]]) -> bytes:
    """The content of `curve.json`."""
    return _CURVE.dump_json([dict(point) for point in curve], indent=2) + b"\n"


def read_curve(path: Path) -> Curve:
    """The learning curve in a file, NaN and infinity included."""
    return _CURVE.validate_json(path.read_bytes())
