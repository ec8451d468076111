"""Deterministic procedural pictures: zero-shot data sets and caption-image pairs that need no download."""

from lrjax.data.procedural.captioned import CaptionedSource
from lrjax.data.procedural.captions import (
    ATTRIBUTE_TEMPLATES,
    attribute_prompts,
    caption,
)
from lrjax.data.procedural.sampling import render, sample_scene
from lrjax.data.procedural.sources import (
    DATASETS,
    CaptionSource,
    ProceduralDataset,
    ProceduralSource,
)
from lrjax.data.procedural.vocabulary import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    IMAGE_SIZE,
    KINDS,
    LETTERS,
    SCENES,
    SHAPES,
    TEXTURES,
    VOCABULARIES,
    Scene,
    attribute_label,
)

__all__ = [
    "ATTRIBUTE_TEMPLATES",
    "COLOURS",
    "DATASETS",
    "HELD_OUT_COMBINATIONS",
    "IMAGE_SIZE",
    "KINDS",
    "LETTERS",
    "SCENES",
    "SHAPES",
    "TEXTURES",
    "VOCABULARIES",
    "CaptionSource",
    "CaptionedSource",
    "ProceduralDataset",
    "ProceduralSource",
    "Scene",
    "attribute_label",
    "attribute_prompts",
    "caption",
    "render",
    "sample_scene",
]
