"""CoCa gives the numbers of open_clip, rung by rung, and goes back to it."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrjax.data.tokenizers import get_tokenizer
from lrjax.models.build import Encoders
from lrjax.models.zoo import BACKBONES, get
from parity_helpers import (
    ATOL,
    assert_bfloat16_is_close,
    assert_exports_to,
    assert_same_at_full_size,
    assert_same_image_embeddings_and_gradient,
    assert_same_text,
    convert_module,
    embedded_image,
    hooked,
    quick_jit,
    tiny_open_clip_spec,
)
from torch_reference import build_open_clip, import_open_clip, randomise


@pytest.fixture(scope="module")
def reference(make_open_clip):
    """Texts that are padded, that fill the context, that hold id 0 ("!") before their end, and an empty one."""
    reference = make_open_clip("coca")
    tokens = reference.tokens.copy()
    tokens[1] = np.arange(80, 92)
    tokens[2, :6], tokens[2, 6:] = [94, 7, 0, 9, 0, 95], 0
    tokens[3] = 0
    return replace(reference, tokens=tokens)


def test_patches_class_token_positions_and_first_norm(reference):
    visual = reference.module.visual
    expected = hooked(visual.transformer.resblocks[:1], lambda: visual(reference.torch_images), inputs=True)[0]
    chex.assert_trees_all_close(embedded_image(reference), expected, atol=ATOL)


def test_every_image_block(reference):
    visual = reference.module.visual
    expected = hooked(visual.transformer.resblocks, lambda: visual(reference.torch_images))
    chex.assert_trees_all_close(reference.image_outputs.blocks, expected, atol=ATOL)


def test_attention_pooling(reference):
    pooler = reference.module.visual.attn_pool
    rows = np.random.default_rng(1).normal(size=(2, 9, 48)).astype(np.float32)
    with torch.no_grad():
        expected = pooler(torch.from_numpy(rows)).numpy()
    assert expected.shape == (2, 5, 24)
    chex.assert_trees_all_close(quick_jit(reference.model.image.pooler)(jnp.asarray(rows)), expected[:, 0], atol=ATOL)


def test_image_tower(reference):
    with torch.no_grad():
        expected = reference.module.encode_image(reference.torch_images, normalize=False).numpy()
    chex.assert_trees_all_close(reference.image_outputs.tower, expected, atol=ATOL)


def test_image_embeddings_and_gradient(reference):
    assert_same_image_embeddings_and_gradient(reference)


def test_text(reference):
    text = reference.module.text
    _, additive = text._embeds(reference.torch_tokens)  # [B * heads, S, S]
    seen = (additive == 0).numpy().reshape(4, 4, 13, 13)
    assert not seen[0, 0, -1].all() and seen[1, 0, -1].all()
    assert_same_text(reference, text, text.transformer.resblocks, mask=jnp.asarray(seen))


def test_the_mask_sees_the_first_padded_position_only(reference):
    """The flag of the class token stands in front of those of the ids in the weights' training."""
    embed = quick_jit(Encoders(reference.spec).text)
    ids = np.zeros((1, 12), np.int32)
    ids[0, :3] = [94, 7, 95]
    params = jax.tree.map(lambda leaf: leaf, reference.params)
    before = embed(params, ids)
    for row, changes in ((3, True), (4, False), (11, False)):
        position = reference.params["text"]["position"].copy()
        position[row] += np.random.default_rng(2).normal(size=32)
        params["text"]["position"] = position
        assert (np.abs(embed(params, ids) - before).max() > 1e-3) == changes


def test_texts_longer_than_the_context_embed_as_in_open_clip(tmp_path):
    """From the text to the embedding, with the context of the published weights on both sides."""
    row, sizes = get("coca_ViT-B-32"), {"width": 32, "heads": 4, "layers": 2}
    vision = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 3, "head_width": 24, "attn_pooler_queries": 5}
    module = build_open_clip("coca_ViT-B-32", embed_dim=24, vision_cfg=vision, text_cfg=sizes, multimodal_cfg=sizes)
    randomise(module)
    tiny = tiny_open_clip_spec("coca")
    text = replace(tiny.text, context=row.spec.text.context, vocabulary=row.spec.text.vocabulary)
    spec = replace(tiny, text=text)
    params = convert_module(module, spec, tmp_path / "model.safetensors")
    # 1, 74 (the last that fits), 75, 76 and 200 pieces; what follows the cut does not count
    texts = [" ".join(["cat"] * pieces) for pieces in (1, 74, 75, 76, 200)] + ["cat " * 74 + "dog " * 9]
    reference = import_open_clip().get_tokenizer("coca_ViT-B-32")
    with torch.no_grad():
        expected = module.encode_text(reference(texts)).numpy()
    ids = get_tokenizer(row.tokenizer, text.context)(texts)
    found = quick_jit(Encoders(spec).text)(params, ids)
    chex.assert_trees_all_close(found, expected, atol=ATOL)
    np.testing.assert_array_equal(ids[1:], ids[[1, 1, 1, 1, 1]])
    assert np.abs(expected[0] - expected[1]).max() > 1e-2


def test_bfloat16_is_within_one_percent_of_float32(reference):
    assert_bfloat16_is_close(reference)


def test_export_is_loaded_by_open_clip(reference):
    assert_exports_to(reference, "open_clip_coca")


@pytest.mark.parametrize("name", [name for name in BACKBONES if name.startswith("coca")])
def test_the_decoder_has_the_recorded_size(name):
    row = get(name)
    decoder = build_open_clip(row.architecture, device="meta").text_decoder
    assert row.unused_parameters == sum(parameter.numel() for parameter in decoder.parameters())


@pytest.mark.slow
def test_full_size(tmp_path):
    """All blocks with random weights; peak memory 4 GB."""
    tokens = np.zeros((2, 76), np.int32)
    tokens[0, :4], tokens[1] = [49406, 320, 1125, 49407], np.arange(1000, 1076)
    assert_same_at_full_size("coca_ViT-B-32", "open_clip_coca", tokens, tmp_path / "model.safetensors")
