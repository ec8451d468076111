"""Every row of the zoo describes the published model; nothing is allocated here."""

import dataclasses
import math

import pytest

from lrjax.errors import UserError
from lrjax.models.build import abstract_params, count_params
from lrjax.models.layers import ACTIVATIONS
from lrjax.models.spec import ResNetSpec
from lrjax.models.zoo import BACKBONES, get, with_protocol

# (all, image tower): the sizes of the released checkpoints, counted in open_clip; that of 8B in the authors' code.
PUBLISHED = {
    "EVA01-g-14": (1_136_435_841, 1_012_588_928),
    "EVA01-g-14-plus": (1_366_621_569, 1_012_588_928),
    "EVA02-B-16": (149_691_137, 86_263_040),
    "EVA02-L-14": (427_755_457, 304_105_152),
    "EVA02-L-14-336": (428_083_137, 304_432_832),
    "EVA02-E-14": (4_704_589_569, 4_350_556_928),
    "EVA02-E-14-plus": (5_044_889_089, 4_350_556_928),
    "EVA-CLIP-8B": (8_220_748_545, 7_526_088_704),
}

rows = pytest.mark.parametrize("row", BACKBONES.values(), ids=BACKBONES.keys())


def test_every_published_eva_clip_is_there():
    assert PUBLISHED.keys() <= {row.architecture for row in BACKBONES.values()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_have_the_published_size(name):
    params = abstract_params(get(name).spec)
    assert (count_params(params), count_params(params["image"])) == PUBLISHED[name]


@rows
def test_recorded_counts_are_those_of_the_architecture(row):
    params = abstract_params(row.spec)
    assert row.parameters == count_params(params) + row.unused_parameters
    assert row.image_parameters == count_params(params["image"])
    assert (row.unused_parameters > 0) == (row.family == "CoCa")


@rows
def test_row_is_consistent(row):
    image, text = row.spec.image, row.spec.text
    assert BACKBONES[row.name] is row
    assert image.embedding == text.embedding
    assert image.grid * image.step <= image.size < (image.grid + 1) * image.step
    towers = [text.blocks]
    if isinstance(image, ResNetSpec):
        assert image.position_width % image.heads == 0
        assert min(image.layers) > 1
    else:
        towers.append(image.blocks)
        assert not image.blocks.causal
        assert (image.pool_heads > 0) == (image.pool in ("map", "query"))
        assert (image.queries > 0) == (image.pool == "query")
    for blocks in towers:
        assert blocks.width % blocks.heads == 0
        assert (blocks.width // blocks.heads) % (4 if blocks.rope else 2) == 0  # rope: pairs, for rows and for columns
        assert blocks.activation in ACTIVATIONS
        assert blocks.eps in (1e-5, 1e-6)
    assert text.blocks.causal == (row.family not in ("CLIPA", "SigLIP"))


@rows
def test_preprocessing_is_sane(row):
    preprocess = row.preprocess
    assert preprocess.mode in ("crop", "squash")
    assert preprocess.kernel in ("bicubic", "bilinear")
    for values in (preprocess.mean, preprocess.std):
        assert len(values) == 3
        assert all(0 < value < 1 for value in values)


@rows
def test_row_says_where_it_comes_from(row):
    vocabulary = {"clip": 49408, "bert": 32000, "siglip": 32000, "file:tokenizer.json": 576}
    assert vocabulary[row.tokenizer] == row.spec.text.vocabulary
    assert row.source_file
    assert row.data
    assert row.licence
    assert not row.hub_id or row.hub_id.count("/") == 1


def test_giant_trees_stay_abstract():
    leaf = abstract_params(get("EVA-CLIP-8B").spec)["image"]["blocks"]["mlp"]["up"]["kernel"]
    assert leaf.shape == (32, 4096, 20480)
    assert not hasattr(leaf, "addressable_shards")
    assert math.prod(leaf.shape) * leaf.dtype.itemsize > 10**10


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("EVA02-B16", "EVA02-B-16"), ("eva02-L-14-336", "EVA02-L-14-336"), ("EVA-CLIP-8b", "EVA-CLIP-8B")],
)
def test_unknown_names_are_answered_with_a_close_one(wrong, meant):
    with pytest.raises(UserError, match="unknown backbone") as error:
        get(wrong)
    assert repr(wrong) in str(error.value)
    assert meant in str(error.value)


def test_a_name_like_no_other_is_answered_with_all():
    with pytest.raises(UserError, match=r"EVA-CLIP-8B.*EVA02-B-16"):
        get("qqqq")


@pytest.mark.parametrize(
    ("protocol", "pass_order", "found"),
    [
        ("native", "", "pillow13"),
        ("native", "pillow12", "pillow12"),
        ("lr0fm", "", "pillow12"),
        ("lr0fm", "pillow13", "pillow13"),
    ],
)
def test_the_order_of_passes_is_that_of_the_protocol_or_the_one_asked_for(protocol, pass_order, found):
    for name in ("ViT-B-16:openai", "ViT-L-14-CLIPA:datacomp1b"):
        row = get(name)
        expected = row.preprocess if protocol == "native" else row.benchmark or row.preprocess
        expected = dataclasses.replace(expected, pass_order=found)
        assert with_protocol(row, protocol, pass_order) == dataclasses.replace(row, preprocess=expected)


def test_an_unknown_order_of_passes():
    with pytest.raises(UserError, match="unknown pass order 'pillow11'; use pillow13 or pillow12"):
        with_protocol(get("ViT-B-16:openai"), "native", "pillow11")
