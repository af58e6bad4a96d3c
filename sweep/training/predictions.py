"""What a model says of some images of its val split, as one picture for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "predictions"
"""Below the trial's TensorBoard folder, so a run of its own: of a folder TensorBoard reads only the last file on."""

MOST = 24
COLUMNS = 6
SIDE = 72
CAPTION = 14
RIGHT, WRONG = (32, 128, 80), (190, 40, 40)


def chosen(samples: int, most: int = MOST) -> Tensor:
    """Indices of a few of so many samples, evenly spread; the same in each trial, so that trials can be compared."""
    return torch.linspace(0, samples - 1, min(most, samples)).round().long()


def picture(images: Tensor, labels: Tensor, scores: Tensor, classes: Sequence[str]) -> Tensor:
    """A sheet of images, each with what it is and what the model takes it for.

    Args:
        images: (N, 1 or 3, H, W) uint8, on the CPU.
        labels: (N,) int64.
        scores: (N, K) the model's logits.
        classes: the K names.

    Returns:
        (3, H', W') uint8. A caption is "name 97%" where the model is right, "said, is name" where it isn't.
    """
    from PIL import Image, ImageDraw

    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 4), rows * (SIDE + CAPTION + 6)), "white")
    draw = ImageDraw.Draw(sheet)
    sure, said = scores.float().softmax(dim=1).max(dim=1)
    for place, (image, label, taken, part) in enumerate(
        zip(images, labels.tolist(), said.tolist(), sure.tolist(), strict=True)
    ):
        left, top = place % COLUMNS * (SIDE + 4) + 2, place // COLUMNS * (SIDE + CAPTION + 6) + 2
        large = functional.interpolate(image[None].float(), (SIDE, SIDE))[0].byte().expand(3, -1, -1)
        sheet.paste(Image.fromarray(large.permute(1, 2, 0).contiguous().numpy()), (left, top))
        right = taken == label
        text = f"{classes[label]} {part:.0%}" if right else f"{classes[taken]}, is {classes[label]}"
        colour = RIGHT if right else WRONG
        draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline=colour, width=1 if right else 3)
        draw.text((left, top + SIDE + 1), text[: SIDE // 6], fill=colour)
    flat = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
    return flat.view(sheet.height, sheet.width, 3).permute(2, 0, 1)


def write(log_dir: Path, sheet: Tensor, step: int) -> None:
    """Put a sheet where TensorBoard finds it."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(log_dir / FOLDER)) as writer:
        writer.add_image("predictions", sheet, step)
