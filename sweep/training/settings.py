"""The config keys of `sweep.training.vision` and `sweep.training.text`, checked before anything is built."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sweep.errors import TrainingError


class LoopSettings(BaseModel):
    """What images and text have in common: how `sweep.training.loop` trains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    MODEL_OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Keys that the model is built with."""

    data: str
    """A name of a dataset."""

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
    """Samples a step; all of them when there are fewer. The last, smaller batch of an epoch is left out."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that each batch is computed in, one after the other, with the same gradients and less memory."""
    epochs: int = Field(ge=1)
    """The schedule's horizon; max_t by default. Training ends there, or at max_t if that is less."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """The learning rate rises linearly from 0 during these; onecycle has a rise of its own."""
    schedule: Literal["cosine", "constant", "onecycle"] = "cosine"
    """What follows: down to 0 at `epochs` on half a cosine, or no change. onecycle: from lr/25 up during the first 30 %
    of `epochs`, then down to lr/250,000, both on half cosines, momentum unchanged (Smith & Topin 2017, arXiv
    1708.07120, as in torch's OneCycleLR)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """In the training loss only."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest norm of all gradients together; null for none."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of the weights, e.g. 0.999; null for none. The average is what is evaluated and
    promoted. During the first steps its decay is less: (1 + step) / (10 + step)."""
    weights: str | None = None
    """A .safetensors or .pth file to start from; tensors that don't fit the model, such as its head, start fresh."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """See `sweep.training.precision`."""
    compile: Literal["auto"] | bool = "auto"
    """Train through torch.compile. auto: on CUDA, models of 5 million parameters and more; see docs/decisions.md."""

    cuda_graphs: Literal["auto"] | bool = "auto"
    """Replay each step as one CUDA graph; on one GPU, in bf16 or fp32, uncompiled, and nowhere else. auto: models of
    fewer than 5 million parameters; see docs/decisions.md."""

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
    def model_options(self) -> dict[str, Any]:
        """What the model is built with, beside its shape: those that the config names."""
        values = {key: getattr(self, key) for key in self.MODEL_OPTIONS}
        return {key: value for key, value in values.items() if value is not None}


class Settings(LoopSettings):
    """Everything that a config of `sweep.training.vision` can say; each key has a default, so `{}` trains too."""

    MODEL_OPTIONS = ("dim", "depth", "heads", "patch_size", "mlp_ratio", "hidden", "dropout", "small_stem")

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

    augment: Literal["none", "crop", "crop_flip"] = "none"
    """Random shifts by up to an eighth of the image, and mirror images."""
    cutout: float = Field(default=0.0, ge=0, le=1)
    """Side of a black square put over each image somewhere, in units of the image's; 0 for none."""
    mixup: float = Field(default=0.0, ge=0)
    """alpha of mixup: each image is mixed with another by a weight from Beta(alpha, alpha); 0 for none."""
    channels_last: Literal["auto"] | bool = "auto"
    """Memory format of images and convolutions. auto: for convolutional networks on CUDA."""

    @property
    def data_options(self) -> dict[str, Any]:
        """What `sweep.training.data.load` is given beside the name."""
        return {"folder": self.data_dir, "image_size": self.image_size, "grey": self.grey}


class TextSettings(LoopSettings):
    """Everything that a config of `sweep.training.text` can say; each key has a default, so `{}` trains too."""

    MODEL_OPTIONS = ("dim", "depth", "heads", "mlp_ratio", "dropout")

    data: str = "docstrings"
    """A name of `sweep.training.data.texts.TEXTS`."""
    file: str | None = None
    """For `table`: a .csv or .jsonl file, or a folder with train, val and perhaps test ones."""
    text: str | None = None
    """For `table`: the column of the text; "text" by default."""
    label: str | None = None
    """For `table`: the column of the label; "label" by default."""

    length: int = Field(default=32, ge=1)
    """Tokens of a text that are read; the rest is cut off."""
    vocabulary: int = Field(default=4000, ge=3)
    """Different tokens that the model knows, the most frequent of the training texts."""
    dim: int | None = Field(default=None, ge=1)
    """Width of a token; a multiple of `heads`."""
    depth: int | None = Field(default=None, ge=1)
    """Number of blocks."""
    heads: int | None = Field(default=None, ge=1)
    """Of attention."""
    mlp_ratio: float | None = Field(default=None, gt=0)
    """Hidden width of a block's perceptron, in units of `dim`."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """On embeddings, on each block's two outputs and inside its perceptron."""

    @property
    def data_options(self) -> dict[str, Any]:
        """What `sweep.training.data.texts.load` is given beside the name."""
        return {"file": self.file, "text": self.text, "label": self.label}
