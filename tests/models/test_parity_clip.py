"""CLIP, CLIPA and the modified ResNet give the numbers of open_clip, rung by rung, and go back to it."""

from dataclasses import replace

import chex
import jax
import numpy as np
import pytest
import torch

from lrjax.models.build import Encoders, abstract_params
from parity_helpers import (
    ATOL,
    assert_bfloat16_is_close,
    assert_exports_to,
    assert_same_at_full_size,
    assert_same_image_embeddings_and_gradient,
    assert_same_text,
    embedded_image,
    hooked,
    quick_jit,
)

vits = pytest.mark.parametrize("family", ["clip", "clip_quick", "clipa"])
families = pytest.mark.parametrize("family", ["clip", "clip_quick", "clipa", "resnet"])


@vits
def test_patches_class_token_positions_and_first_norm(family, make_open_clip):
    vit = make_open_clip(family)
    blocks = vit.module.visual.transformer.resblocks
    expected = hooked(blocks[:1], lambda: vit.module.visual(vit.torch_images), inputs=True)[0]
    chex.assert_trees_all_close(embedded_image(vit), expected, atol=ATOL)


@vits
def test_every_image_block(family, make_open_clip):
    vit = make_open_clip(family)
    visual = vit.module.visual
    expected = hooked(visual.transformer.resblocks, lambda: visual(vit.torch_images))
    assert expected.shape == (3, 3, 17, 48)
    chex.assert_trees_all_close(vit.image_outputs.blocks, expected, atol=ATOL)


@vits
def test_attention_of_every_block(family, make_open_clip):
    vit = make_open_clip(family)
    visual, spec = vit.module.visual, vit.spec.image
    blocks = visual.transformer.resblocks
    rows = [torch.from_numpy(one) for one in hooked(blocks, lambda: visual(vit.torch_images), inputs=True)]
    with torch.no_grad():
        normed = [block.ln_1(x) for block, x in zip(blocks, rows, strict=True)]
        expected = [block.attn(x, x, x, average_attn_weights=False)[1] for block, x in zip(blocks, normed, strict=True)]
    apply = quick_jit(lambda params, images: Encoders(vit.spec).apply(params, images, taps=("attention",)))
    found = apply(vit.params, vit.images)["attention"]
    assert found.shape == (spec.blocks.depth, 3, spec.blocks.heads, spec.rows, spec.rows)
    chex.assert_trees_all_close(found, torch.stack(expected).numpy(), atol=ATOL)


def test_every_stage_of_the_resnet(make_open_clip):
    resnet = make_open_clip("resnet")
    visual = resnet.module.visual
    stages = [visual.layer1, visual.layer2, visual.layer3, visual.layer4]
    expected = hooked(stages, lambda: visual(resnet.torch_images))
    assert [stage.shape[1:] for stage in expected] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    for found, stage in zip(resnet.image_outputs.blocks, expected, strict=True):
        chex.assert_trees_all_close(found, stage.transpose(0, 2, 3, 1), atol=ATOL)


def test_running_statistics_take_part(make_open_clip):
    resnet = make_open_clip("resnet")
    stage = resnet.params["image"]["stage3"]["rest"]["conv2"]
    params = jax.tree.map(lambda leaf: leaf, resnet.params)
    params["image"]["stage3"]["rest"]["conv2"] = stage | {"variance": stage["variance"] * 2}
    assert np.abs(resnet.run_image(params, resnet.images).tower - resnet.image_outputs.tower).max() > 1e-2


@families
def test_image_tower(family, make_open_clip):
    reference = make_open_clip(family)
    with torch.no_grad():
        expected = reference.module.encode_image(reference.torch_images).numpy()
    chex.assert_trees_all_close(reference.image_outputs.tower, expected, atol=ATOL)


@families
def test_image_embeddings_and_gradient(family, make_open_clip):
    assert_same_image_embeddings_and_gradient(make_open_clip(family))


@vits
def test_text(family, make_open_clip):
    reference = make_open_clip(family)
    module = reference.module
    assert (module.attn_mask is None) == (not reference.spec.text.blocks.causal)
    assert_same_text(reference, module.encode_text, module.transformer.resblocks)


def test_clipa_pools_the_last_row_whatever_the_ids(make_open_clip):
    reference = make_open_clip("clipa")
    tokens = np.full((2, 12), 5, np.int32)
    tokens[0, 3] = 95  # the highest id, where CLIP would pool
    embed = quick_jit(Encoders(reference.spec).text)
    with torch.no_grad():
        expected = reference.module.encode_text(torch.from_numpy(tokens).long(), normalize=True).numpy()
    chex.assert_trees_all_close(embed(reference.params, tokens), expected, atol=ATOL)


@pytest.mark.parametrize("family", ["clip", "clipa", "resnet"])
def test_bfloat16_is_within_one_percent_of_float32(family, make_open_clip):
    assert_bfloat16_is_close(make_open_clip(family))


@families
def test_export_is_loaded_by_open_clip(family, make_open_clip):
    assert_exports_to(make_open_clip(family), "open_clip_clip")


def test_quick_gelu_changes_the_embeddings_but_not_the_parameters(make_open_clip):
    """Nothing in a checkpoint tells the two apart: the row that is named decides."""
    exact, quick = make_open_clip("clip"), make_open_clip("clip_quick")
    assert exact.spec != quick.spec
    chex.assert_trees_all_equal_shapes_and_dtypes(abstract_params(exact.spec), abstract_params(quick.spec))
    mistaken = quick_jit(Encoders(replace(quick.spec, image=exact.spec.image)).image)(quick.params, quick.images)
    with torch.no_grad():
        expected = quick.module.encode_image(quick.torch_images, normalize=True).numpy()
    assert np.abs(mistaken - expected).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "quick_gelu", "depth"),
    [("RN50:openai", True, None), ("ViT-B-32:openai", True, None), ("ViT-L-14-CLIPA:datacomp1b", None, 8)],
)
def test_full_size(name, quick_gelu, depth, tmp_path):
    """Random weights; all blocks but of CLIPA, whose smallest model would take 5 GB."""
    length = 32 if "CLIPA" in name else 77
    tokens = np.zeros((2, length), np.int32)
    tokens[0, :4], tokens[1, :9] = [1, 320, 1125, 30000], [1, 320, 1125, 539, 320, 2368, 7, 8, 31000]
    path = tmp_path / "model.safetensors"
    assert_same_at_full_size(name, "open_clip_clip", tokens, path, quick_gelu=quick_gelu, depth=depth)
