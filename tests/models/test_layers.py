"""The parts of the transformer against PyTorch, hand-computed values and the unrolled loop."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch.nn import functional

from lrjax.models.build import Encoders, abstract_params, count_params, init_params, normalize_rows
from lrjax.models.layers import ACTIVATIONS, apply_rope, rope_table, run_blocks
from lrjax.models.lr_tokens import LrTokens
from lrjax.models.towers import PatchEmbed

TORCH_ACTIVATIONS = {
    "gelu_erf": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": functional.silu,
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_equal_torch(name):
    x = np.linspace(-12, 12, 2001, dtype=np.float32)
    chex.assert_trees_all_close(ACTIVATIONS[name](x), TORCH_ACTIVATIONS[name](torch.from_numpy(x)).numpy(), atol=2e-6)


def test_activations_differ_from_each_other():
    values = {name: float(activation(jnp.float32(1.5))) for name, activation in ACTIVATIONS.items()}
    # 1.5 * Phi(1.5), its tanh approximation, 1.5 * sigmoid(2.553), 1.5 * sigmoid(1.5)
    expected = {"gelu_erf": 1.399789, "gelu_tanh": 1.399572, "quick_gelu": 1.391662, "silu": 1.226362}
    assert values == pytest.approx(expected, abs=2e-6)


def test_rope_table_values_by_hand():
    cosines, sines = rope_table(2, 8)  # positions 0 and 8, frequencies 1 and 1/100, rows first, then columns
    np.testing.assert_array_equal(cosines[0], np.ones(8))
    np.testing.assert_array_equal(sines[0], np.zeros(8))
    low_row = [np.sin(8.0)] * 2 + [np.sin(0.08)] * 2
    np.testing.assert_allclose(sines[1], [0] * 4 + low_row, atol=1e-6)
    np.testing.assert_allclose(sines[2], low_row + [0] * 4, atol=1e-6)
    np.testing.assert_allclose(cosines[3], [np.cos(8.0)] * 2 + [np.cos(0.08)] * 2 + cosines[1][4:].tolist(), atol=1e-6)


def test_apply_rope_turns_adjacent_pairs_and_skips_the_class_token():
    table = np.stack([np.full((1, 4), 0.6), np.full((1, 4), 0.8)]).astype(np.float32)
    x = jnp.asarray([[[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, 4.0]]])[None]  # class token and one patch, one head
    turned = apply_rope(x, jnp.asarray(table))
    np.testing.assert_array_equal(turned[0, 0, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(turned[0, 1, 0], [0.6 - 1.6, 1.2 + 0.8, 1.8 - 3.2, 2.4 + 2.4], atol=1e-6)


def test_rope_makes_scores_depend_on_the_distance_only():
    grid, table = 4, rope_table(4, 16)
    generator = np.random.default_rng(0)
    q, k = (
        np.asarray(apply_rope(jnp.broadcast_to(vector, (1, grid**2, 1, 16)), jnp.asarray(table)))
        for vector in generator.normal(size=(2, 16)).astype(np.float32)
    )
    scores = (q[0, :, 0] @ k[0, :, 0].T).reshape(grid, grid, grid, grid)
    np.testing.assert_allclose(scores[1, 1, 2, 3], scores[0, 0, 1, 2], atol=1e-4)
    np.testing.assert_allclose(scores[3, 2, 1, 1], scores[2, 3, 0, 2], atol=1e-4)
    assert abs(scores[1, 1, 2, 3] - scores[1, 1, 3, 2]) > 1e-3


def test_patch_embedding_is_a_strided_convolution_also_at_a_ragged_size():
    layer = PatchEmbed(4, 5, use_bias=True, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.arange(5.0)
    images = np.random.default_rng(0).normal(size=(2, 13, 9, 3)).astype(np.float32)
    expected = functional.conv2d(
        torch.from_numpy(images.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(np.array(layer.kernel[...].transpose(3, 2, 0, 1))),
        torch.arange(5.0),
        stride=4,
    )
    expected = expected.flatten(2).transpose(1, 2).numpy()
    assert expected.shape == (2, 6, 5)
    chex.assert_trees_all_close(layer(jnp.asarray(images)), expected, atol=1e-5)


def test_scan_equals_the_unrolled_loop(reference):
    stacked, image = reference.model.image.blocks, reference.spec.image
    x = jax.random.normal(jax.random.key(0), (2, image.patches + 1, image.blocks.width))
    tokens = jax.random.normal(jax.random.key(1), (image.blocks.depth, image.patches, image.blocks.width))
    rope = jnp.asarray(rope_table(image.grid, image.blocks.width // image.blocks.heads)) if image.blocks.rope else None
    adapter = LrTokens(jnp.concatenate([tokens[:1], tokens]))  # the first table is not for the blocks
    scanned, taps = run_blocks(stacked, x, rope=rope, adapters=(adapter,), taps=("blocks", "attention"))
    outputs, weights = taps["blocks"], taps["attention"]
    graph, parameters = nnx.split(stacked)
    for index in range(image.blocks.depth):
        block = nnx.merge(graph, jax.tree.map(lambda leaf, index=index: leaf[index], parameters))
        x, seen = block(adapter.block(x, tokens[index]), rope)
        chex.assert_trees_all_close(weights[index], seen, atol=1e-5)
        chex.assert_trees_all_close(outputs[index], x, atol=1e-5)
    chex.assert_trees_all_equal(outputs[-1], scanned)


@pytest.mark.slow
def test_remat_changes_neither_the_embedding_nor_its_gradient(eva02):
    encoders = Encoders(eva02.spec)

    @functools.partial(jax.jit, static_argnums=1)
    @jax.value_and_grad
    def loss(params, remat):
        return encoders.image(params, eva02.images, remat=remat)[:, 0].sum()

    # XLA fuses the programs differently: equal up to float32 rounding.
    plain = loss(eva02.params, "none")
    for remat in ("selective", "full"):
        chex.assert_trees_all_close(loss(eva02.params, remat), plain, atol=1e-6, rtol=1e-5)
    assert max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(plain[1]["image"])) > 1e-3


def test_features_are_returned_only_when_asked_for(eva02):
    image = eva02.spec.image
    assert eva02.model.image(jnp.asarray(eva02.images)).keys() == {"embedding"}
    features = eva02.block_outputs()
    assert features.shape == (image.blocks.depth, 3, image.patches + 1, image.blocks.width)


def test_text_rows_see_earlier_rows_only(eva02):
    encoders, tokens = Encoders(eva02.spec), eva02.tokens.copy()
    before = encoders.text(eva02.params, tokens)
    ends = tokens.argmax(axis=1)
    assert (ends[:-1] < tokens.shape[1] - 1).all()
    for row, end in enumerate(ends):
        tokens[row, end + 1 :] = 7
    chex.assert_trees_all_equal(encoders.text(eva02.params, tokens), before)
    tokens[:, 1] = 8
    assert (np.abs(encoders.text(eva02.params, tokens) - before).max(axis=1) > 1e-3).all()


def test_initial_parameters_have_the_abstract_shapes_and_the_published_temperature(eva02):
    params, abstract = init_params(eva02.spec, 0), abstract_params(eva02.spec)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, abstract)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, eva02.params)
    assert count_params(params) == sum(parameter.numel() for parameter in eva02.module.parameters())
    np.testing.assert_allclose(np.exp(params["logit_scale"]), 1 / 0.07, rtol=1e-6)
    kernels = params["image"]["blocks"]["mlp"]["up"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1]), "blocks start with equal parameters"


def test_rows_are_normalised_in_float32():
    rows = normalize_rows(jnp.asarray([[3.0, 4.0], [-5.0, 12.0]], jnp.bfloat16))
    assert rows.dtype == jnp.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [-5 / 13, 12 / 13]], rtol=1e-6)
