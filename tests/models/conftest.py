import functools
from dataclasses import replace
from typing import Any

import pytest
import torch

from lrjax.models.spec import ModelSpec
from lrjax.models.zoo import get
from parity_helpers import Reference, convert_module, make_inputs, make_open_clip_reference
from torch_reference import Family, Kind, TinySizes, tiny_eva

ROWS: dict[Kind, str] = {"eva02": "EVA02-B-16", "eva01": "EVA01-g-14", "eva_e": "EVA02-E-14"}


def tiny_spec(sizes: TinySizes) -> ModelSpec:
    """Shrinks the row of the zoo that a tiny reference stands for, so that all but the sizes is the row's own."""
    spec = get(ROWS[sizes.kind]).spec
    image_blocks = replace(
        spec.image.blocks, width=sizes.width, depth=sizes.depth, heads=sizes.heads, hidden=sizes.mlp_width
    )
    text_blocks = replace(
        spec.text.blocks,
        width=sizes.text_width,
        depth=sizes.text_depth,
        heads=sizes.text_heads,
        hidden=sizes.text_mlp_width,
    )
    return replace(
        spec,
        image=replace(spec.image, size=sizes.image_size, patch=sizes.patch, blocks=image_blocks, embedding=sizes.embed),
        text=replace(
            spec.text, context=sizes.context, vocabulary=sizes.vocab, blocks=text_blocks, embedding=sizes.embed
        ),
    )


def make_reference(kind: Kind, path: Any) -> Reference:
    """Builds a tiny open_clip reference and converts it through a safetensors file."""
    module, sizes = tiny_eva(kind)
    spec = tiny_spec(sizes)
    return Reference(module, spec, convert_module(module, spec, path), *make_inputs(spec))


@pytest.fixture(scope="session", params=sorted(ROWS))
def reference(request, tmp_path_factory):
    return make_reference(request.param, tmp_path_factory.mktemp(request.param) / "model.safetensors")


@pytest.fixture(scope="session")
def eva02(tmp_path_factory):
    return make_reference("eva02", tmp_path_factory.mktemp("eva02") / "model.safetensors")


@pytest.fixture(scope="session")
def load_reference():
    """Converts a PyTorch module of a given spec: a function of (module, spec, path)."""

    def load(module: torch.nn.Module, spec: ModelSpec, path: Any) -> Reference:
        return Reference(module, spec, convert_module(module, spec, path), *make_inputs(spec))

    return load


@pytest.fixture(scope="session")
def make_open_clip(tmp_path_factory):
    """Builds a tiny open_clip model of a family and converts it, once: a function of the family."""

    @functools.cache
    def make(family: Family) -> Reference:
        return make_open_clip_reference(family, tmp_path_factory.mktemp(family) / "model.safetensors")

    return make
