"""The backbones as rows: architecture, preprocessing, tokenizer, checkpoint and licence belong together."""

import dataclasses
import difflib
from typing import Literal

from lrjax.errors import UserError
from lrjax.models.spec import ImageSpec, ModelSpec, TextSpec, TransformerSpec

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes the input of a backbone.

    Attributes:
        mode: "crop" (shortest side, then centre crop) or "squash" (both sides, aspect lost).
        kernel: Pillow filter.
        mean: per channel, of values in [0, 1].
        std: per channel.
    """

    mode: Literal["crop", "squash"]
    kernel: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """A row of the zoo.

    Attributes:
        name: architecture name, as in open_clip where it has one.
        spec: architecture.
        preprocess: native preprocessing.
        tokenizer: "clip", or "file:NAME" for a vocabulary that lies beside the checkpoint.
        source_file: file name of the authors' release.
        hub_id: Hugging Face hub id, with ":FILE" where the file has no usual name; "" if there is none.
        parameters: total number of parameters, temperature included.
        image_parameters: those of the image tower.
        data: pre-training data.
        licence: licence of the weights.
    """

    name: str
    spec: ModelSpec
    preprocess: Preprocess
    tokenizer: str
    source_file: str
    hub_id: str
    parameters: int
    image_parameters: int
    data: str
    licence: str


def _clip_text(width: int, heads: int, depth: int, embedding: int) -> TextSpec:
    blocks = TransformerSpec(
        width=width,
        depth=depth,
        heads=heads,
        hidden=4 * width,
        activation="gelu_erf",
        norm="layer",
        eps=1e-5,
        order="pre",
        qkv_bias="qkv",
        gated=False,
        sub_norm=False,
        rope=False,
        causal=True,
    )
    return TextSpec(context=77, vocabulary=49408, blocks=blocks, embedding=embedding)


def _eva02(width: int, depth: int, heads: int, hidden: int) -> TransformerSpec:
    return TransformerSpec(
        width=width,
        depth=depth,
        heads=heads,
        hidden=hidden,
        activation="silu",
        norm="layer",
        eps=1e-6,
        order="pre",
        qkv_bias="qv",
        gated=True,
        sub_norm=True,
        rope=True,
        causal=False,
    )


_EVA01_G = dataclasses.replace(
    _eva02(1408, 40, 16, 6144), activation="gelu_erf", gated=False, sub_norm=False, rope=False
)
_EVA02_E = dataclasses.replace(_EVA01_G, width=1792, depth=64, heads=16, hidden=15360, order="post")
_EVA_8B = dataclasses.replace(_EVA01_G, width=4096, depth=32, heads=32, hidden=20480, norm="rms", qkv_bias="")


def _eva(
    name: str,
    blocks: TransformerSpec,
    text: TextSpec,
    *,
    patch: int,
    source_file: str,
    hub_id: str,
    parameters: int,
    image_parameters: int,
    data: str,
    size: int = 224,
    head_bias: bool = True,
    mode: Literal["crop", "squash"] = "crop",
) -> Backbone:
    image = ImageSpec(size=size, patch=patch, blocks=blocks, embedding=text.embedding, head_bias=head_bias)
    return Backbone(
        name=name,
        spec=ModelSpec(image=image, text=text),
        preprocess=Preprocess(mode=mode, kernel="bicubic", mean=OPENAI_MEAN, std=OPENAI_STD),
        tokenizer="clip",
        source_file=source_file,
        hub_id=hub_id,
        parameters=parameters,
        image_parameters=image_parameters,
        data=data,
        licence="MIT",
    )


def _embedded() -> Backbone:
    text = dataclasses.replace(_clip_text(128, 4, 2, 128), context=24, vocabulary=576)
    image = ImageSpec(size=224, patch=32, blocks=_eva02(128, 4, 4, 344), embedding=128, head_bias=True)
    return Backbone(
        name="EVA02-embedded",
        spec=ModelSpec(image=image, text=text),
        preprocess=Preprocess(mode="crop", kernel="bicubic", mean=OPENAI_MEAN, std=OPENAI_STD),
        tokenizer="file:tokenizer.json",
        source_file="model.safetensors",
        hub_id="",
        parameters=1_707_777,
        image_parameters=1_217_792,
        data="procedural caption-image pairs",
        licence="Apache-2.0",
    )


BACKBONES: dict[str, Backbone] = {
    row.name: row
    for row in (
        _embedded(),
        _eva(
            "EVA01-g-14",
            _EVA01_G,
            _clip_text(768, 12, 12, 1024),
            patch=14,
            source_file="EVA01_CLIP_g_14_psz14_s11B.pt",
            hub_id="timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k",
            parameters=1_136_435_841,
            image_parameters=1_012_588_928,
            data="LAION-400M",
        ),
        _eva(
            "EVA01-g-14-plus",
            _EVA01_G,
            _clip_text(1024, 16, 24, 1024),
            patch=14,
            source_file="EVA01_CLIP_g_14_plus_psz14_s11B.pt",
            hub_id="timm/eva_giant_patch14_plus_clip_224.merged2b_s11b_b114k",
            parameters=1_366_621_569,
            image_parameters=1_012_588_928,
            data="Merged-2B",
        ),
        _eva(
            "EVA02-B-16",
            _eva02(768, 12, 12, 2048),
            _clip_text(512, 8, 12, 512),
            patch=16,
            source_file="EVA02_CLIP_B_psz16_s8B.pt",
            hub_id="timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k",
            parameters=149_691_137,
            image_parameters=86_263_040,
            data="Merged-2B",
        ),
        _eva(
            "EVA02-L-14",
            _eva02(1024, 24, 16, 2730),
            _clip_text(768, 12, 12, 768),
            patch=14,
            source_file="EVA02_CLIP_L_psz14_s4B.pt",
            hub_id="timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k",
            parameters=427_755_457,
            image_parameters=304_105_152,
            data="Merged-2B",
        ),
        _eva(
            "EVA02-L-14-336",
            _eva02(1024, 24, 16, 2730),
            _clip_text(768, 12, 12, 768),
            size=336,
            patch=14,
            source_file="EVA02_CLIP_L_336_psz14_s6B.pt",
            hub_id="timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k",
            parameters=428_083_137,
            image_parameters=304_432_832,
            data="Merged-2B",
        ),
        _eva(
            "EVA02-E-14",
            _EVA02_E,
            _clip_text(1024, 16, 24, 1024),
            patch=14,
            source_file="EVA02_CLIP_E_psz14_s4B.pt",
            hub_id="timm/eva02_enormous_patch14_clip_224.laion2b_s4b_b115k",
            parameters=4_704_589_569,
            image_parameters=4_350_556_928,
            data="LAION-2B",
        ),
        _eva(
            "EVA02-E-14-plus",
            _EVA02_E,
            _clip_text(1280, 20, 32, 1024),
            patch=14,
            source_file="EVA02_CLIP_E_psz14_plus_s9B.pt",
            hub_id="timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144k",
            parameters=5_044_889_089,
            image_parameters=4_350_556_928,
            data="LAION-2B",
        ),
        _eva(
            "EVA-CLIP-8B",
            _EVA_8B,
            _clip_text(1280, 20, 32, 1280),
            patch=14,
            source_file="EVA_CLIP_8B_psz14_s9B.pt",
            hub_id="BAAI/EVA-CLIP-8B:EVA_CLIP_8B_psz14_s9B.pt",
            parameters=8_220_748_545,
            image_parameters=7_526_088_704,
            data="Merged-2B",
            head_bias=False,
            mode="squash",
        ),
    )
}


def get(name: str) -> Backbone:
    """Returns the row of a backbone.

    Args:
        name: key of `BACKBONES`.

    Raises:
        UserError: no backbone has this name.
    """
    if name not in BACKBONES:
        close = difflib.get_close_matches(name, BACKBONES, n=3) or sorted(BACKBONES)
        raise UserError(f"unknown backbone {name!r}; did you mean {', '.join(close)}?")
    return BACKBONES[name]
