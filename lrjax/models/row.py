"""What a row of the zoo is."""

import dataclasses
from typing import Literal

from lrjax.models.spec import ModelSpec

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of the channels of ImageNet, of values in [0, 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes the input of a backbone.

    Attributes:
        mode: "crop" (shortest side, then centre crop) or "squash" (both sides, aspect lost).
        kernel: Pillow filter.
        mean: per channel, of values in [0, 1].
        std: per channel.
        pass_order: which Pillow's order of the two passes of a resize, see `ops.resample.vertical_pass_first`.
    """

    mode: Literal["crop", "squash"]
    kernel: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pass_order: str = "pillow13"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """A row of the zoo.

    Attributes:
        architecture: name of the architecture, as in open_clip where it has one.
        tag: name of the weights, as in open_clip; "" where there is only one checkpoint.
        family: for instance "EVA-CLIP".
        spec: architecture.
        preprocess: native preprocessing, what the weights were made for.
        benchmark: preprocessing of the published LR0.FM numbers; None where it is the native one.
        tokenizer: "clip", "bert" or "siglip", or "file:NAME" for a vocabulary that lies beside the checkpoint.
        source_file: file name of the authors' release.
        hub_id: Hugging Face hub id, with ":FILE" where the file has no usual name; "" if there is none.
        parameters: number of parameters of the checkpoint, temperature included.
        image_parameters: those of the image tower.
        unused_parameters: those that zero-shot classification does not need and that are not loaded (CoCa's decoder).
        data: pre-training data.
        pairs: nominal number of pre-training image-text pairs, in millions; None where it is not known.
        gflops: forward pass of the image tower for one image, a multiply-add as 2; None at another input size.
        licence: licence of the weights.
        resized: whether the input size is not that of the weights, so that position tables are resampled.
    """

    architecture: str
    tag: str
    family: str
    spec: ModelSpec
    preprocess: Preprocess
    benchmark: Preprocess | None = None
    tokenizer: str
    source_file: str
    hub_id: str
    parameters: int
    image_parameters: int
    unused_parameters: int = 0
    data: str
    pairs: float | None
    gflops: float | None
    licence: str
    resized: bool = False

    @property
    def weights(self) -> str:
        """Architecture and tag, for instance "ViT-B-16:openai"."""
        return f"{self.architecture}:{self.tag}" if self.tag else self.architecture

    @property
    def name(self) -> str:
        """Name of the weights, and "@SIZE" where they run at another input size."""
        return f"{self.weights}@{self.spec.image.size}" if self.resized else self.weights
