"""LR-TK0 tokens: where they are added, how many there are and that they can be learned."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrjax.errors import UserError
from lrjax.models.build import Encoders
from lrjax.models.lr_tokens import init_lr_tokens, token_shape
from lrjax.models.zoo import get

pytestmark = pytest.mark.usefixtures("light_compilation")


def draw_tokens(spec, std=0.5):
    return init_lr_tokens(spec.image, jax.random.key(3), std=std)


def torch_forward(reference, tables):
    """Adds tables as LR0.FM does: to the patches before class token and positions, then to the input of each block."""
    trunk = reference.module.visual.trunk
    x, rope = trunk._pos_embed(trunk.patch_embed(reference.torch_images) + tables[0])
    for block, table in zip(trunk.blocks, tables[1:], strict=True):
        x = block(torch.cat([x[:, :1], x[:, 1:] + table], dim=1), rope=rope)
    return torch.nn.functional.normalize(trunk.forward_head(trunk.norm(x)), dim=-1)


def without_blocks(params):
    """Returns parameters with which every block adds nothing, so that rows show what was added to them."""
    image = params["image"]
    return {**params, "image": {**image, "blocks": jax.tree.map(jnp.zeros_like, image["blocks"])}}


def test_tokens_of_b_16_have_the_published_count():
    shape = token_shape(get("EVA02-B-16").spec.image)
    assert shape == (13, 196, 768)
    assert np.prod(shape) == 1_956_864  # 149.6 M -> 151.6 M parameters (LR0.FM, section 5)


def test_tokens_follow_the_grid_of_the_row():
    assert token_shape(get("EVA02-L-14-336").spec.image) == (25, 576, 1024)


def test_initial_tokens_are_normal_and_reproducible():
    spec = get("EVA02-B-16").spec.image
    tokens = init_lr_tokens(spec, jax.random.key(0))
    assert tokens.shape == token_shape(spec)
    assert tokens.dtype == jnp.float32
    # Two million draws: the standard errors are 1.4e-5 of the mean and 1e-5 of the deviation.
    np.testing.assert_allclose(tokens.mean(), 0, atol=7e-5)
    np.testing.assert_allclose(tokens.std(), 0.02, atol=5e-5)
    chex.assert_trees_all_equal(tokens, init_lr_tokens(spec, jax.random.key(0)))
    assert not np.allclose(tokens, init_lr_tokens(spec, jax.random.key(1)))


def test_tokens_of_another_backbone_are_refused(eva02):
    encoders = Encoders(eva02.spec)
    depth, patches, width = token_shape(eva02.spec.image)
    for shape in ((depth - 1, patches, width), (depth, patches + 1, width), (depth, patches, 1)):
        for encode in (encoders.image, encoders.apply, jax.jit(encoders.image)):
            with pytest.raises(UserError, match=rf"shape \[{shape[0]}, .* needs \[{depth}, {patches}, {width}\]"):
                encode(eva02.params, eva02.images, {"tokens": jnp.zeros(shape)})
    with pytest.raises(UserError, match="a ResNet has no patch rows"):
        Encoders(get("RN50").spec).image({}, eva02.images, {"tokens": jnp.zeros((1, 1, 1))})


def test_zero_tokens_change_no_bit(reference):
    encoders, zeros = Encoders(reference.spec), jnp.zeros(token_shape(reference.spec.image))
    vanilla = encoders.image(reference.params, reference.images)
    chex.assert_trees_all_equal(encoders.image(reference.params, reference.images, {"tokens": zeros}), vanilla)
    chex.assert_trees_all_equal(reference.block_outputs(zeros), reference.block_outputs())


def test_no_tokens_are_the_vanilla_model(reference):
    encoders = Encoders(reference.spec)
    with torch.no_grad():
        expected = reference.module.encode_image(reference.torch_images, normalize=True).numpy()
    chex.assert_trees_all_close(encoders.image(reference.params, reference.images, None), expected, atol=1e-5, rtol=0)
    moved = encoders.image(reference.params, reference.images, {"tokens": draw_tokens(reference.spec)})
    assert np.abs(moved - expected).max() > 0.01


def test_tokens_enter_where_the_torch_twin_adds_them(reference):
    tokens = draw_tokens(reference.spec)
    with torch.no_grad():
        expected = torch_forward(reference, torch.from_numpy(np.array(tokens))).numpy()
    embeddings = Encoders(reference.spec).image(reference.params, reference.images, {"tokens": tokens})
    chex.assert_trees_all_close(embeddings, expected, atol=1e-5, rtol=0)


SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("remat", [SLOW("none"), "selective", SLOW("full")])
def test_gradients_equal_those_of_the_torch_twin(reference, remat):
    encoders, tokens = Encoders(reference.spec), draw_tokens(reference.spec)
    direction = np.random.default_rng(2).normal(size=(3, reference.spec.image.embedding)).astype(np.float32)

    def loss(tokens):
        return jnp.sum(encoders.image(reference.params, reference.images, {"tokens": tokens}, remat=remat) * direction)

    gradients = jax.jit(jax.grad(loss))(tokens)
    tables = torch.from_numpy(np.array(tokens)).requires_grad_()
    torch.sum(torch_forward(reference, tables) * torch.from_numpy(direction)).backward()
    assert np.isfinite(gradients).all()
    assert (np.abs(gradients).max(axis=(1, 2)) > 1e-4).all(), "a table gets no gradient"
    chex.assert_trees_all_close(gradients, tables.grad.numpy(), atol=1e-5)


def test_tables_reach_patch_rows_only_and_one_block_each(eva02):
    params, tokens = without_blocks(eva02.params), draw_tokens(eva02.spec)
    difference = np.asarray(eva02.block_outputs(tokens, params) - eva02.block_outputs(None, params))
    np.testing.assert_array_equal(difference[:, :, 0], 0)
    added = np.cumsum(tokens, axis=0)[1:, None]  # after block i: table 0 of the patchify and those of blocks 0 to i
    np.testing.assert_allclose(difference[:, :, 1:], np.broadcast_to(added, difference[:, :, 1:].shape), atol=1e-5)


def test_first_table_leaves_the_class_row_untouched(eva02):
    params, tokens = without_blocks(eva02.params), draw_tokens(eva02.spec).at[1:].set(0)
    vanilla, moved = (eva02.block_outputs(given, params)[0] for given in (None, tokens))
    chex.assert_trees_all_equal(moved[:, 0], vanilla[:, 0])
    position = eva02.params["image"]["position"][0] + eva02.params["image"]["class_token"]
    chex.assert_trees_all_equal(np.asarray(moved[:, 0]), np.broadcast_to(position, moved[:, 0].shape))
    assert (np.abs(moved - vanilla)[:, 1:].max(axis=-1) > 0.1).all()


def test_tokens_follow_the_compute_dtype(eva02):
    encoders, adaptation = Encoders(eva02.spec, jnp.bfloat16), {"tokens": draw_tokens(eva02.spec)}
    exact = Encoders(eva02.spec).image(eva02.params, eva02.images, adaptation)
    rough = encoders.image(eva02.params, eva02.images, adaptation)
    assert encoders.apply(eva02.params, eva02.images, adaptation, taps=("blocks",))["blocks"].dtype == jnp.bfloat16
    assert (1 - jnp.sum(exact * rough, axis=-1)).max() < 0.01
