"""The project's own training function, with the same notes as the others make."""

from __future__ import annotations

from typing import Any

from rivals.book import Note
from sweep.training import vision
from sweep.training.context import Context

TRAIN_IMAGES = 1197


def train(config: dict[str, Any], ctx: Context) -> None:
    """`sweep.training.vision.train`, whose work is what lies between its reports.

    Before the first one it also sets up: there its own clock counts, which leaves the evaluation out.
    """
    with Note() as note:
        report = ctx.report
        first = True

        def noted(metrics: dict[str, Any], checkpoint: Any = None) -> None:
            nonlocal first
            note.rest(TRAIN_IMAGES / metrics["images_per_s"] if first else None)
            first = False
            report(metrics, checkpoint)
            note.work()

        ctx.report = noted  # type: ignore[method-assign]
        vision.train(config, ctx)
