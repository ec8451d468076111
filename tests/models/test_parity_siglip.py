"""SigLIP gives the numbers of open_clip and timm, rung by rung, and goes back to them."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest
import torch

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


@pytest.fixture(scope="module")
def reference(make_open_clip):
    return make_open_clip("siglip")


def test_patches_and_positions(reference):
    trunk = reference.module.visual.trunk
    expected = hooked(trunk.blocks[:1], lambda: trunk(reference.torch_images), inputs=True)[0]
    assert expected.shape == (3, 16, 48)
    chex.assert_trees_all_close(embedded_image(reference), expected, atol=ATOL)


def test_every_image_block(reference):
    trunk = reference.module.visual.trunk
    expected = hooked(trunk.blocks, lambda: trunk(reference.torch_images))
    chex.assert_trees_all_close(reference.image_outputs.blocks, expected, atol=ATOL)


def test_attention_pooling(reference):
    pooler = reference.module.visual.trunk.attn_pool
    rows = np.random.default_rng(1).normal(size=(2, 9, 48)).astype(np.float32)
    with torch.no_grad():
        expected = pooler(torch.from_numpy(rows)).numpy()
    chex.assert_trees_all_close(quick_jit(reference.model.image.pooler)(jnp.asarray(rows)), expected, atol=ATOL)


def test_image_tower(reference):
    with torch.no_grad():
        expected = reference.module.encode_image(reference.torch_images).numpy()
    chex.assert_trees_all_close(reference.image_outputs.tower, expected, atol=ATOL)


def test_image_embeddings_and_gradient(reference):
    assert_same_image_embeddings_and_gradient(reference)


def test_text(reference):
    text = reference.module.text
    assert text.attn_mask is None
    assert_same_text(reference, text, text.transformer.resblocks)


def test_temperature_and_offset_are_identical(reference):
    for name in ("logit_scale", "logit_bias"):
        assert reference.params[name] == getattr(reference.module, name).item()
        assert reference.params[name].shape == ()


def test_bfloat16_is_within_one_percent_of_float32(reference):
    assert_bfloat16_is_close(reference)


def test_export_is_loaded_by_open_clip(reference):
    assert_exports_to(reference, "open_clip_siglip")


@pytest.mark.slow
def test_full_size(tmp_path):
    """All blocks with random weights; peak memory 4 GB."""
    tokens = np.ones((2, 64), np.int32)
    tokens[0, :3], tokens[1, :6] = [262, 266, 1304], [266, 31000, 12, 8, 262, 4]
    assert_same_at_full_size("ViT-B-16-SigLIP", "open_clip_siglip", tokens, tmp_path / "model.safetensors")
