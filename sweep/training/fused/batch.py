"""K models of one architecture as one: one forward pass, one backward pass and one optimizer step for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

from sweep.errors import NonFiniteLossError
from sweep.training import graphs, scoring
from sweep.training.augment import augmented_each
from sweep.training.batches import epoch_generator, on_device, steps_per_epoch
from sweep.training.fused import dropout
from sweep.training.fused.lane import Lane
from sweep.training.fused.optimizers import FusedOptimizer, clipped
from sweep.training.fused.skeleton import Skeleton

EVALUATED_AT_ONCE = 8192
"""Images times lanes in one forward pass of the evaluation."""

Outcome = dict[str, float] | NonFiniteLossError
"""What an epoch gave a lane: the metrics that it reports, or why it is over."""


class Batch:
    """Lanes that train together, each at an epoch of its own.

    The lanes' parameters are the rows of one tensor, and so are the moments of their optimizers: a step of all lanes
    costs as many kernels as a step of one. Nothing of a lane reaches another: each has its order of images,
    augmentation, dropout masks, learning rate and other numbers, and a loss of NaN stays in its row.

    The gradient is autograd's of the sum over lanes, not `torch.func.grad` inside `vmap`: so batch norm may update
    its statistics in place.

    Args:
        lanes: of one key (`sweep.training.fused.keys`). Their tensors become rows of this batch's.
        skeleton: of their architecture.
    """

    def __init__(self, lanes: Sequence[Lane], skeleton: Skeleton) -> None:
        first = lanes[0]
        self.lanes = list(lanes)
        self._settings, self._device = first.settings, first.ctx.device
        self._autocast, self._normalise = first.ctx.autocast, first.run.normalise
        self._train, self._val = first.data.train, first.data.val
        self._skeleton = skeleton
        self._drops = any(rate for lane in lanes for rate in lane.dropout)
        self._drawn: dropout.Drawn | None = None
        with torch.no_grad():
            self._weights = torch.stack([torch.cat([each.flatten() for each in lane.parameters]) for lane in lanes])
            self._buffers = {
                name: torch.stack([dict(lane.model.named_buffers())[name] for lane in lanes])
                for name, _ in first.model.named_buffers()
            }
        self._optimizer = FusedOptimizer(
            first.settings.optimizer,
            self._weights,
            [lane.optimizer for lane in lanes],
            [lane.parameters for lane in lanes],
        )
        self._weights.requires_grad_()
        self._smoothing = self._numbers(lane.settings.label_smoothing for lane in lanes)
        self._limits = self._numbers(lane.settings.clip_norm or math.inf for lane in lanes)[:, None]
        self._step: graphs.Step = self._descend
        self._tally: scoring.Tally = self._judge
        if self._device.type == "cuda" and self._settings.cuda_graphs is not False:
            # Of fused trials each is small, or there would be nothing to gain.
            recorder = graphs.CudaRecorder(self._device)
            self._step = graphs.Recorded(self._descend, recorder)
            self._tally = scoring.RecordedTally(self._judge, recorder)
        for row, lane in enumerate(lanes):
            self._lend(row, lane)

    def _numbers(self, values: Iterator[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.float32, device=self._device)

    def _lend(self, row: int, lane: Lane) -> None:
        """Let a lane's parameters and buffers be its row, so that its checkpoint needs no way of its own."""
        parts = torch.split(self._weights.detach()[row], self._skeleton.sizes)
        for parameter, part in zip(lane.parameters, parts, strict=True):
            parameter.data = part.view(parameter.shape)
        for name, buffer in lane.model.named_buffers():
            buffer.data = self._buffers[name][row]

    # Training

    def train_epoch(self) -> list[Outcome]:
        """Go once through the training images: each lane through its next epoch, in its own order.

        Returns:
            For each lane train_loss, learning_rate and images_per_s (its own, not the sum), or why it is over.
        """
        began = time.perf_counter()
        self._skeleton.model.train()
        count = len(self._train.labels)
        steps, size = steps_per_epoch(count, self._settings.batch_size), self._settings.batch_size
        epochs = [lane.ctx.t + 1 for lane in self.lanes]
        generators = [
            epoch_generator(lane.ctx.seed, epoch, self._device) for lane, epoch in zip(self.lanes, epochs, strict=True)
        ]
        orders = torch.stack([torch.randperm(count, generator=each, device=self._device) for each in generators])
        orders = orders.to(self._train.images.device)
        rates = torch.tensor([lane.rates(steps) for lane in self.lanes], dtype=torch.float64).T  # (steps, K)
        self._optimizer.begin(rates)
        losses = []
        for step in range(steps):
            images, labels = self._cut(orders[:, step * size : (step + 1) * size], generators)
            inputs = self._normalise(images.flatten(0, 1)).view(images.shape)
            masks = [self._masks_for(inputs).draw()] if self._drops else []
            losses.append(self._step(inputs, labels, self._optimizer.pace(step), *masks))
        return self._outcomes(torch.stack(losses), rates, size=min(size, count), began=began)

    def _cut(self, chosen: torch.Tensor, generators: list[torch.Generator]) -> tuple[torch.Tensor, torch.Tensor]:
        """The images (K, B, C, H, W) and labels (K, B) of these indices (K, B), augmented."""
        images = on_device(self._train.images[chosen], self._device)
        labels = on_device(self._train.labels[chosen], self._device)
        return augmented_each(images, self._settings.augment, generators), labels

    def _descend(
        self, inputs: torch.Tensor, labels: torch.Tensor, pace: torch.Tensor, *drawn: torch.Tensor
    ) -> torch.Tensor:
        """One step of each lane; returns the losses (K,)."""
        masks = [mask for each in drawn for mask in self._masks_for(inputs).cut(each)]
        with self._autocast():
            logits = self._skeleton(self._weights, self._buffers, inputs, masks)
        losses = smoothed_cross_entropy(logits.float(), labels, self._smoothing)
        (gradient,) = torch.autograd.grad(losses.sum(), self._weights)
        with torch.no_grad():
            self._optimizer.step(clipped(gradient, self._limits), pace)
        return losses.detach()

    def _masks_for(self, inputs: torch.Tensor) -> dropout.Drawn:
        """Where the masks of such inputs come from."""
        if self._drawn is None:
            # What the layers are given is known after a forward pass; batch norm mustn't count this one.
            kept = {name: each.clone() for name, each in self._buffers.items()}
            with torch.no_grad(), self._autocast():
                self._skeleton.plain(self._weights, self._buffers, inputs, [])
            for name, each in kept.items():
                self._buffers[name].copy_(each)
            self._drawn = dropout.Drawn(
                list(self._skeleton.masks.seen),
                [lane.dropout for lane in self.lanes],
                [lane.generator for lane in self.lanes],
            )
        return self._drawn

    def _outcomes(self, losses: torch.Tensor, rates: torch.Tensor, *, size: int, began: float) -> list[Outcome]:
        steps = len(losses)
        finite = losses.isfinite()
        means, good = losses.mean(dim=0).tolist(), finite.all(dim=0).tolist()  # waits for the GPU
        speed = steps * size / (time.perf_counter() - began)
        found: list[Outcome] = []
        for row, lane in enumerate(self.lanes):
            if not good[row]:
                step = int(finite[:, row].logical_not().nonzero()[0])
                rate = float(rates[step, row])
                found.append(lane.ctx.non_finite(float(losses[step, row]), step=step + 1, rate=rate))
                continue
            lane.advance(steps)
            found.append({"train_loss": means[row], "learning_rate": float(rates[-1, row]), "images_per_s": speed})
        return found

    # Evaluation

    @torch.no_grad()
    def validate(self) -> list[dict[str, float]]:
        """Each lane's loss and accuracy on the val split."""
        self._skeleton.model.eval()
        lanes, count = len(self.lanes), len(self._val.labels)
        found = torch.zeros(2, lanes, dtype=torch.float64, device=self._device)
        size = max(1, EVALUATED_AT_ONCE // lanes)
        for start in range(0, count, size):
            images, labels = (on_device(each[start : start + size], self._device) for each in self._val)
            found += self._tally(images, labels)
        return [{"val_loss": lost / count, "val_accuracy": right / count} for lost, right in found.T.tolist()]

    def _judge(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Each lane's sum of losses, and how many it has right, (2, K), of images that all lanes share."""
        with self._autocast():
            logits = self._skeleton(self._weights, self._buffers, self._normalise(images)).float()
        labels = labels.expand(len(self.lanes), -1)
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
        right = (logits.argmax(dim=2) == labels).sum(dim=1)
        return torch.stack([losses.sum(dim=1).double(), right.double()])


def smoothed_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: torch.Tensor) -> torch.Tensor:
    """Cross entropy with label smoothing, of each lane by itself: (K,).

    `functional.cross_entropy` with one smoothing a lane (Szegedy et al. 2015, arXiv 1512.00567).

    Args:
        logits: (K, B, classes) float32.
        labels: (K, B) int64.
        smoothing: (K,), in [0, 1).
    """
    logs = functional.log_softmax(logits, dim=2)
    right = -logs.gather(2, labels[:, :, None]).squeeze(2).mean(dim=1)
    spread = -logs.mean(dim=(1, 2))
    return (1 - smoothing) * right + smoothing * spread
