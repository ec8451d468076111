"""Every row of the zoo that open_clip knows is the model that open_clip builds; nothing is allocated here."""

import functools

import pytest
import torch

from checkpoints_conv import FORMATS, convert, dropped, fits, recognise
from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from lrjax.models.row import Preprocess
from lrjax.models.spec import ResNetSpec
from lrjax.models.zoo import BACKBONES, get
from lrjax.weights.fitting import advice, fitting_rows
from torch_reference import build_open_clip, import_open_clip

open_clip = import_open_clip()
ROWS = [row for row in BACKBONES.values() if open_clip.get_pretrained_cfg(row.architecture, row.tag)]
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


class ShapeReader:
    """A checkpoint of which only names and shapes exist."""

    def __init__(self, module):
        self.shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}

    def keys(self):
        return list(self.shapes)

    def shape(self, key):
        return self.shapes[key]

    def read(self, key):
        raise AssertionError(f"{key} was read")


def build(row):
    """Builds the model that `create_model(architecture, pretrained=tag)` would."""
    entry = open_clip.get_pretrained_cfg(row.architecture, row.tag)
    return build_architecture(row.architecture, entry.get("quick_gelu"))


@functools.cache
def build_architecture(architecture, quick_gelu):
    return build_open_clip(architecture, quick_gelu=quick_gelu, device="meta")


def test_all_but_the_giants_of_their_own_authors_are_compared():
    assert BACKBONES.keys() - {row.name for row in ROWS} == {
        "EVA02-embedded",
        "EVA-CLIP-8B:merged2b_s9b",
        "EVA-CLIP-18B:merged2b_s6b",
    }


@rows
def test_names_and_shapes(row):
    module = build(row)
    reader = ShapeReader(module)
    table = FORMATS[recognise(reader.keys())].TABLE
    assert fits(reader, table, abstract_params(row.spec))
    assert row.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert row.image_parameters == sum(parameter.numel() for parameter in module.visual.parameters())
    left_out = sum(module.state_dict()[key].numel() for key in dropped(reader.keys(), table) if "decoder" in key)
    assert row.unused_parameters == left_out


def activation_of(module):
    kinds = {type(part).__name__: part for part in module.modules()}
    if "QuickGELU" in kinds:
        return "quick_gelu"
    assert kinds["GELU"].approximate == "none"
    return "gelu_erf"


def norm_eps(module):
    (eps,) = {part.eps for part in module.modules() if isinstance(part, torch.nn.LayerNorm)}
    return eps


@rows
def test_text_towers(row):
    module, text = build(row), row.spec.text
    tower = getattr(module, "text", module)
    assert activation_of(tower.transformer) == text.blocks.activation
    assert norm_eps(tower.transformer) == norm_eps(tower.ln_final) == text.blocks.eps
    assert {part.num_heads for part in tower.transformer.modules() if hasattr(part, "num_heads")} == {text.blocks.heads}
    assert (tower.attn_mask is not None) == text.blocks.causal
    # CoCa states a pooling that its class token overrides
    stated = "last" if text.class_token else getattr(tower, "text_pool_type", None) or tower.pool_type
    assert {"argmax": "end", "last": "last"}[stated] == text.pool
    assert text.context == tower.context_length


@rows
def test_image_towers(row):
    visual, image = build(row).visual, row.spec.image
    size = visual.image_size
    assert (size if isinstance(size, int) else size[0]) == image.size
    if isinstance(image, ResNetSpec):
        assert visual.attnpool.num_heads == image.heads
        assert {part.eps for part in visual.modules() if isinstance(part, torch.nn.BatchNorm2d)} == {image.eps}
        return
    if hasattr(visual, "trunk"):
        attention = visual.trunk.blocks[0].attn
        assert {"token": "class", "map": "map"}[visual.trunk.global_pool] == image.pool
        if image.pool == "map":
            assert visual.trunk.attn_pool.num_heads == image.pool_heads
            assert activation_of(visual) == image.blocks.activation
    else:
        attention = visual.transformer.resblocks[0].attn
        assert activation_of(visual) == image.blocks.activation
        if visual.attn_pool is None:
            assert {"tok": "class", "avg": "mean"}[visual.pool_type] == image.pool
            # the norm before a mean is another function
            assert visual.final_ln_after_pool or image.pool == "class"
        else:
            assert (visual.pool_type, visual.attn_pool.attn.num_heads) == ("tok", image.pool_heads)
    assert attention.num_heads == image.blocks.heads
    assert norm_eps(visual) == image.blocks.eps


@rows
def test_preprocessing(row):
    entry = open_clip.get_pretrained_cfg(row.architecture, row.tag)
    native = row.preprocess
    assert native.mean == pytest.approx(entry["mean"], abs=1e-12)
    assert native.std == pytest.approx(entry["std"], abs=1e-12)
    assert native.kernel == entry["interpolation"]
    assert native.mode == {"shortest": "crop", "squash": "squash"}[entry["resize_mode"]]


@rows
def test_hub_ids(row):
    assert open_clip.get_pretrained_cfg(row.architecture, row.tag)["hf_hub"].rstrip("/") == row.hub_id


def kind_of(row):
    return row.architecture.removesuffix("-quickgelu"), row.spec.text.blocks.activation, row.preprocess


def test_every_activation_and_preprocessing_of_an_architecture_has_a_row():
    """Of an architecture that the zoo has, no checkpoint of open_clip is of a kind that no row is."""
    architectures, kinds = {kind_of(row)[0] for row in ROWS}, {kind_of(row) for row in ROWS}
    compared = 0
    for architecture, tag in open_clip.list_pretrained():
        plain, entry = architecture.removesuffix("-quickgelu"), open_clip.get_pretrained_cfg(architecture, tag)
        if plain not in architectures:
            continue
        quick = entry.get("quick_gelu") or open_clip.get_model_config(architecture).get("quick_gelu")
        preprocess = Preprocess(
            mode={"shortest": "crop", "squash": "squash"}[entry["resize_mode"]],
            kernel=entry["interpolation"],
            mean=tuple(entry["mean"]),
            std=tuple(entry["std"]),
        )
        activations = {"quick_gelu"} if quick else {one for name, one, _ in kinds if name == plain} - {"quick_gelu"}
        assert any((plain, activation, preprocess) in kinds for activation in activations), (architecture, tag)
        compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("architecture", "fitting"),
    [
        ("RN50x4", ["RN50x4:openai"]),
        ("ViT-B-32-256", ["ViT-B-32-256:datacomp_s34b_b86k"]),
        (
            "ViT-L-14",  # openai and metaclip use quick GELU, which shapes do not tell
            [
                "ViT-L-14:openai",
                "ViT-L-14:laion2b_s32b_b82k",
                "ViT-L-14:datacomp_xl_s13b_b90k",
                "ViT-L-14:commonpool_xl_clip_s13b_b90k",
                "ViT-L-14:commonpool_xl_laion_s13b_b90k",
                "ViT-L-14:commonpool_xl_s13b_b90k",
                "ViT-L-14:laion400m_e31",
                "ViT-L-14:laion400m_e32",
                "ViT-L-14-quickgelu:metaclip_400m",
                "ViT-L-14-quickgelu:metaclip_fullcc",
            ],
        ),
        ("ViT-H-14-CLIPA-336", ["ViT-H-14-CLIPA-336:laion2b", "ViT-H-14-CLIPA-336:datacomp1b"]),
        ("ViT-SO400M-14-SigLIP", ["ViT-SO400M-14-SigLIP:webli"]),
        ("coca_ViT-B-32", ["coca_ViT-B-32:laion2b_s13b_b90k"]),
        ("EVA02-L-14-336", ["EVA02-L-14-336:merged2b_s6b_b61k"]),
        ("ViT-B-16-plus-240", []),
    ],
)
def test_rows_that_a_checkpoint_fits_are_found_by_its_shapes(architecture, fitting):
    reader = ShapeReader(build_open_clip(architecture, device="meta"))
    assert fitting_rows(reader, recognise(reader.keys())) == fitting


def test_a_wrong_name_is_answered_with_the_rows_that_fit():
    reader = ShapeReader(build_open_clip("ViT-B-32", device="meta"))
    row = get("ViT-B-16:openai")
    with (
        pytest.raises(UserError, match=r"has shape \(50, 768\) .*this checkpoint fits ViT-B-32:openai, "),
        advice(reader, "open_clip_clip"),
    ):
        convert(reader, FORMATS["open_clip_clip"].TABLE, abstract_params(row.spec), model=row.name)


def test_a_checkpoint_that_fits_nothing_asks_for_its_name_or_for_all_of_it():
    reader = ShapeReader(build_open_clip("ViT-B-16-plus-240", device="meta"))
    row = get("ViT-B-16:openai")
    with (
        pytest.raises(UserError, match="the model that the checkpoint holds, or use a complete"),
        advice(reader, "open_clip_clip"),
    ):
        convert(reader, FORMATS["open_clip_clip"].TABLE, abstract_params(row.spec), model=row.name)
