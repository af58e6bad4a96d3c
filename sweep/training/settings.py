"""The config keys of `sweep.training.vision`, checked before anything is built."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sweep.errors import TrainingError

MODEL_OPTIONS = ("dim", "depth", "heads", "patch_size", "mlp_ratio", "hidden", "dropout", "small_stem")


class Settings(BaseModel):
    """Everything that a config can say; each key has a default, so `{}` trains too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = "digits"
    """A name of `sweep.training.data.DATASETS`."""
    data_dir: str | None = None
    """The folder of its files; digits needs none."""
    image_size: int | None = Field(default=None, ge=1)
    """Pixels to scale images to; the dataset's own size by default."""
    grey: bool | None = None
    """For image_folder: one channel instead of three."""

    model: str = "vit_tiny"
    """A name of `sweep.training.models.names()`."""
    dim: int | None = Field(default=None, ge=1)
    """vit_tiny: width of a token; a multiple of `heads`."""
    depth: int | None = Field(default=None, ge=1)
    """vit_tiny: number of blocks."""
    heads: int | None = Field(default=None, ge=1)
    """vit_tiny: of attention."""
    patch_size: int | None = Field(default=None, ge=1)
    """vit_tiny: pixels; divides the image size."""
    mlp_ratio: float | None = Field(default=None, gt=0)
    """vit_tiny: hidden width of a block's perceptron, in units of `dim`."""
    hidden: int | None = Field(default=None, ge=1)
    """simplenet: width of the hidden layer."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """All models."""
    small_stem: bool | None = None
    """resnet*: the stem for small images."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: float = Field(default=2e-3, gt=0)
    """The highest learning rate, reached after the warmup."""
    weight_decay: float = Field(default=0.05, ge=0)
    """On matrices and convolutions only; biases, norms and positions are left alone."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """sgd's, with Nesterov's form; the adams' first beta."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """The adams' second beta."""
    batch_size: int = Field(default=64, ge=1)
    """Images a step; all of them when there are fewer. The last, smaller batch of an epoch is left out."""
    epochs: int = Field(ge=1)
    """The schedule's horizon; max_t by default. Training ends there, or at max_t if that is less."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """The learning rate rises linearly from 0 during these."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows: down to 0 at `epochs` on half a cosine, or no change."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """In the training loss only."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest norm of all gradients together; null for none."""
    augment: Literal["none", "crop", "crop_flip"] = "none"
    """Random shifts by up to an eighth of the image, and mirror images."""
    cutout: float = Field(default=0.0, ge=0, le=1)
    """Side of a black square put over each image somewhere, in units of the image's; 0 for none."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """See `sweep.training.precision`."""
    channels_last: bool = False
    """Memory format of images and convolutions; quicker for ResNets on CUDA in bf16 and fp16."""

    @classmethod
    def parse(cls, config: Mapping[str, Any], max_t: int) -> Self:
        """The settings of a config.

        Raises:
            TrainingError: all that is wrong with it, a line each.
        """
        try:
            return cls.model_validate({"epochs": max_t, **config})
        except ValidationError as error:
            raise TrainingError("\n".join(cls._line(each) for each in error.errors())) from error

    @classmethod
    def _line(cls, problem: Any) -> str:
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, cls.model_fields, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(cls.model_fields)}."
            return f"config: {key}: unknown. {hint}"
        return f"config: {key}: got {problem['input']!r}. {problem['msg']}."

    @property
    def data_options(self) -> dict[str, Any]:
        """What `sweep.training.data.load` is given beside the name."""
        return {"folder": self.data_dir, "image_size": self.image_size, "grey": self.grey}

    @property
    def model_options(self) -> dict[str, Any]:
        """What `sweep.training.models.build` is given beside name and shape: those that the config names."""
        values = {key: getattr(self, key) for key in MODEL_OPTIONS}
        return {key: value for key, value in values.items() if value is not None}
