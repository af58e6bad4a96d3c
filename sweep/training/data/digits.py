"""The default dataset: it lies inside scikit-learn's wheel, so a first study needs nothing but pip."""

from __future__ import annotations

import numpy as np
import torch

from sweep.training.data.images import Recipe, TensorPair, assemble, hold_out

HELD_OUT = 300
"""Images in val, and in test: of 1,797, with 1,197 left to train on. One image is then 0.33 % of accuracy."""


def digits(*, image_size: int | None = None) -> Recipe:
    """1,797 grey 8x8 images of handwritten digits (UCI, 1998).

    Args:
        image_size: pixels to scale to; 8 by default.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    # Intensities are 0..16 there.
    pixels = np.rint(raw.images * (255 / 16)).astype(np.uint8)
    everything = TensorPair(torch.from_numpy(pixels)[:, None], torch.from_numpy(raw.target.astype(np.int64)))
    rest, test = hold_out(everything, HELD_OUT, "digits")
    train, val = hold_out(rest, HELD_OUT, "digits")
    return assemble("digits", (train, val, test), [str(each) for each in raw.target_names], image_size=image_size)
