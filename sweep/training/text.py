"""Text classification: the training function of `search_spaces/text.yaml`, and its evaluation.

Each config key, its default and its meaning is a field of `sweep.training.settings.TextSettings`. Reported each epoch:

=============== =======================================================
epoch           finished epochs, from 1
train_loss      mean over the epoch's steps, with label smoothing
val_loss        cross entropy over the val split
val_accuracy    0..1, over the val split
learning_rate   of the epoch's last step
texts_per_s     training texts a second, without the evaluation
=============== =======================================================

The vocabulary is learned from the training texts and kept in each checkpoint's manifest, so `classify` needs nothing
else. As with images, a resumed trial ends with the same weights, bit for bit on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sweep.errors import CheckpointError
from sweep.store import checkpoints
from sweep.training import states
from sweep.training.batches import on_device, shuffled
from sweep.training.data import lookup, texts
from sweep.training.loop import Loop
from sweep.training.models.text_encoder import TextEncoder
from sweep.training.scoring import score, tally_of
from sweep.training.settings import TextSettings
from sweep.training.tokenizer import Tokenizer

if TYPE_CHECKING:
    from sweep.training.context import Context

NAME = "text_encoder"


def train(config: dict[str, Any], ctx: Context) -> None:
    """Train a text classifier; see the module's head for what it reports.

    Args:
        config: the fields of `TextSettings`.
        ctx: of the trial; its checkpoints say how to rebuild model and tokenizer, and from which data it learned.

    Raises:
        TrainingError: a config key or dataset that is wrong, in words.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    settings = TextSettings.parse(config, ctx.max_t)
    data = texts.load(settings.data, **settings.data_options)
    ctx.describe(data=data.description, classes=list(data.classes))
    _Run(settings, data, ctx).run()


class _Run(Loop):
    """The loop over texts."""

    RATE = "texts_per_s"

    def __init__(self, settings: TextSettings, data: texts.TextData, ctx: Context) -> None:
        tokenizer = Tokenizer.learn(data.train.texts, settings.vocabulary)
        # Small, also for long texts: 8 bytes a token. So all of it is where the model is.
        train, val = (
            (tokenizer(pair.texts, settings.length).to(ctx.device), pair.labels.to(ctx.device))
            for pair in (data.train, data.val)
        )
        self.train_split, self.val_split = train, val
        description = {
            "name": NAME,
            "num_classes": len(data.classes),
            "vocabulary": len(tokenizer),
            "length": settings.length,
            "options": settings.model_options,
        }
        ctx.describe(model=description, tokenizer={"words": tokenizer.words})
        super().__init__(settings, ctx, rebuild(description).to(ctx.device), samples=len(data.train.labels))

    def batches(self, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Tokens (B, T) and labels (B,)."""
        tokens, labels = self.train_split
        for chosen in shuffled(len(labels), self.settings.batch_size, generator, labels.device):
            yield tokens[chosen], labels[chosen]

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """Tokens are what the model takes."""
        return samples


def evaluate(checkpoint: Path | str, split: str = "test", *, device: str = "cpu") -> dict[str, float]:
    """Loss and accuracy of a checkpoint's model, e.g. on the texts that no search has seen.

    Args:
        checkpoint: a folder that `train` wrote, or a registered version's `checkpoint/`.
        split: "train", "val" or "test".
        device: where to compute, in fp32.

    Returns:
        "{split}_loss" and "{split}_accuracy" (0..1).

    Raises:
        CheckpointError: it is damaged, or another training function wrote it.
        TrainingError: the data isn't there any more, has no such split, or isn't what the model learned from.
    """
    folder, place = Path(checkpoint), torch.device(device)
    model, tokenizer, manifest = _open(folder, place)
    _, pair = lookup.again(folder, manifest["data"], texts.load, split)
    tokens = tokenizer(pair.texts, manifest["model"]["length"])
    loss, accuracy = score(tally_of(model.eval(), lambda tokens: tokens), tokens, pair.labels, place)
    return {f"{split}_loss": loss, f"{split}_accuracy": accuracy}


def classify(checkpoint: Path | str, texts: Sequence[str], *, device: str = "cpu") -> list[str]:
    """The class that a checkpoint's model gives each text.

    Raises:
        CheckpointError: it is damaged, or another training function wrote it.
    """
    place = torch.device(device)
    model, tokenizer, manifest = _open(Path(checkpoint), place)
    with torch.inference_mode():
        logits = model.eval()(on_device(tokenizer(texts, manifest["model"]["length"]), place))
    return [manifest["classes"][int(index)] for index in logits.argmax(dim=1)]


def rebuild(description: dict[str, Any]) -> nn.Module:
    """The model that a checkpoint's manifest describes, with fresh weights."""
    shape = {key: value for key, value in description.items() if key not in {"name", "options"}}
    return TextEncoder(**shape, **description["options"])


def _open(folder: Path, device: torch.device) -> tuple[nn.Module, Tokenizer, dict[str, Any]]:
    manifest = checkpoints.verify(folder)
    if not {"model", "data", "tokenizer"} <= manifest.keys():
        raise CheckpointError(f"{folder}: its manifest doesn't say which model, data and tokenizer it is of.")
    model = rebuild(manifest["model"])
    model.load_state_dict(states.read(folder, lambda: device)["model"])
    return model.to(device), Tokenizer(manifest["tokenizer"]["words"]), manifest
