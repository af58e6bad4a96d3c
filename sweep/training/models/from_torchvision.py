"""torchvision's ResNets and ViTs, for images of any size and number of channels."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from sweep.errors import TrainingError


@cache
def torchvision_names() -> tuple[str, ...]:
    """resnet18, resnet34, ..., vit_b_16, ..."""
    import torchvision
    from torchvision.models import list_models

    return tuple(list_models(module=torchvision.models, include=["resnet*", "vit_*"]))


def build_torchvision(
    name: str, *, num_classes: int, in_channels: int, image_size: int, dropout: float = 0.0, small_stem: bool = False
) -> nn.Module:
    """A torchvision model without weights.

    A ResNet halves the image five times, so one of 32 pixels ends as a single one; it runs on 8 pixels too, but learns
    better with `small_stem`.

    Args:
        name: one of `torchvision_names()`.
        num_classes: width of the output.
        in_channels: the first convolution is replaced when it isn't 3.
        image_size: pixels; a ViT needs a multiple of its patch size, the number at the end of its name.
        dropout: before a ResNet's last layer, in a ViT's blocks; in [0, 1).
        small_stem: of a ResNet: a 3x3 convolution of stride 1 and no pooling first, as He et al. (2015, arXiv
            1512.03385, section 4.2) do for CIFAR's 32 pixels.

    Raises:
        TrainingError: an image size that the patch size doesn't divide.
    """
    from torchvision.models import get_model

    if name.startswith("vit_"):
        patch = int(name.rpartition("_")[2])
        if image_size % patch:
            raise TrainingError(
                f"{name}: {image_size} pixels are no multiple of its patches' {patch}. Set image_size, or use vit_tiny."
            )
        model: Any = get_model(name, weights=None, num_classes=num_classes, image_size=image_size, dropout=dropout)
        if in_channels != 3:  # noqa: PLR2004 - colour
            model.conv_proj = nn.Conv2d(in_channels, model.hidden_dim, kernel_size=patch, stride=patch)
        return model  # type: ignore[no-any-return]
    model = get_model(name, weights=None, num_classes=num_classes)
    if small_stem:
        model.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif in_channels != 3:  # noqa: PLR2004 - colour
        model.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    if dropout:
        model.fc = nn.Sequential(nn.Dropout(dropout), model.fc)
    return model  # type: ignore[no-any-return]
