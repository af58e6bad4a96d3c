"""Models by name: `simplenet`, `vit_tiny`, and torchvision's `resnet*` and `vit_*`.

::

    model = build("vit_tiny", num_classes=10, in_channels=1, image_size=8, patch_size=2, dim=64)
    logits = model(images)  # (N, in_channels, image_size, image_size) float -> (N, num_classes)
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from sweep.errors import TrainingError
from sweep.training.models.from_torchvision import build_torchvision, torchvision_names
from sweep.training.models.simplenet import SimpleNet
from sweep.training.models.vit import TinyViT

MODELS: dict[str, Callable[..., nn.Module]] = {"simplenet": SimpleNet, "vit_tiny": TinyViT}

__all__ = ["MODELS", "build", "names"]

_SHAPE = ("num_classes", "in_channels", "image_size")


def names() -> list[str]:
    """All names that `build` knows."""
    return [*MODELS, *torchvision_names()]


def build(name: str, num_classes: int, in_channels: int, image_size: int, **options: Any) -> nn.Module:
    """A model with fresh weights, drawn from torch's global generator.

    Args:
        name: one of `names()`.
        num_classes: width of the output.
        in_channels: 1 for grey, 3 for colour.
        image_size: height and width in pixels.
        options: those of the model of that name, e.g. `hidden` of simplenet.

    Raises:
        TrainingError: an unknown name or option, or sizes that don't fit each other.
    """
    shape: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    if name in MODELS:
        constructor = MODELS[name]
        known = [key for key in inspect.signature(constructor).parameters if key not in _SHAPE]
        _refuse_unknown(name, options, known)
        return constructor(**shape, **options)
    if name in torchvision_names():
        _refuse_unknown(name, options, ["dropout", "small_stem"] if name.startswith("resnet") else ["dropout"])
        return build_torchvision(name, **shape, **options)
    near = difflib.get_close_matches(name, names(), n=1) or [", ".join(names())]
    raise TrainingError(f"model: {name!r} is unknown. Did you mean {near[0]}?")


def _refuse_unknown(name: str, options: dict[str, Any], known: list[str]) -> None:
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Its options: {', '.join(known)}."
            raise TrainingError(f"model: {name} has no option {key!r}. {hint}")
