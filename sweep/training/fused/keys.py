"""Which trials can train together. Free of torch: the driver places trials by it."""

from __future__ import annotations

import json
from typing import Any

from sweep.core.protocols import Placement
from sweep.core.spec import StudySpec
from sweep.errors import TrainingError
from sweep.training.settings import Settings

ENTRYPOINTS = ("sweep.training.vision:train",)
"""Training functions that have a fused form."""

NUMBERS = frozenset(
    {
        "lr", "weight_decay", "momentum", "beta2", "label_smoothing", "clip_norm", "dropout",
        "warmup_epochs", "schedule", "epochs",
    }
)  # fmt: skip
"""Settings that each lane has for itself."""

SHARED = frozenset(
    {
        "data", "data_dir", "image_size", "grey", "augment", "batch_size", "precision", "optimizer", "cuda_graphs",
        "compile",
        "model", "dim", "depth", "heads", "patch_size", "mlp_ratio", "hidden", "small_stem",
    }
)  # fmt: skip
"""Settings that all lanes of a batch have in common: they give shapes, the kind of arithmetic, and the data."""


def notes(spec: StudySpec, executor: str) -> tuple[str, ...]:
    """What the user of `resources.fuse` should know before the start."""
    fuse = spec.resources.fuse
    if fuse == 1:
        return ()
    if executor != "ray":
        return (f"fuse: {fuse} is for --executor ray: here each trial trains by itself.",)
    if spec.resources.isolation == "process":
        return (f"fuse: {fuse} is unused: isolation: process gives each attempt a process of its own.",)
    if not can_fuse(spec):
        return (f"fuse: {fuse} is unused: only {' and '.join(ENTRYPOINTS)} can train several trials as one batch.",)
    return (f"Up to {fuse} trials that differ only in numbers train in one process, as one batch of models.",)


def can_fuse(spec: StudySpec) -> bool:
    """Whether some of a study's trials may train together."""
    resources = spec.resources
    return (
        resources.fuse > 1
        and resources.isolation == "worker"
        and spec.entrypoint in ENTRYPOINTS
        and (resources.gpu == "auto" or resources.gpu <= 1)
    )


def key(placement: Placement) -> str | None:
    """Equal exactly for attempts that can train together; None for one that must train by itself."""
    return None if refusal(placement) else json.dumps(_parts(_settings(placement)), sort_keys=True)


def refusal(placement: Placement) -> str | None:
    """Why an attempt can't train together with others, in words; None when it can."""
    if placement.entrypoint not in ENTRYPOINTS:
        return f"{placement.entrypoint} has no fused form"
    if placement.gpu > 1:
        return f"it has {placement.gpu:g} GPUs"
    if placement.batch_split != 1:
        return f"its batches are split into {placement.batch_split} parts"
    try:
        settings = _settings(placement)
    except TrainingError:
        return "its config is wrong"
    if settings.precision == "fp16":
        return "precision: fp16 scales each loss by itself"
    if settings.model.startswith("vit_") and settings.model != "vit_tiny":
        return f"model: {settings.model} has no fused form"
    # A setting that this module has never heard of could mean anything.
    for name in type(settings).model_fields.keys() - NUMBERS - SHARED:
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].get_default(call_default_factory=True):
            return f"{name}: {value} has no fused form"
    return None


def _settings(placement: Placement) -> Settings:
    return Settings.parse(placement.config, placement.max_t)


def _parts(settings: Settings) -> dict[str, Any]:
    # A ResNet without dropout has no layer for it; and lanes without any need not wait for masks.
    return {**settings.model_dump(include=set(SHARED)), "has_dropout": bool(settings.dropout)}
