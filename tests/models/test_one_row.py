"""The last block of a stack computes one row alone exactly as it does among all rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lrjax.models.layers import attend, rope_table, run_blocks, stack_blocks
from lrjax.models.lr_tokens import LrTokens
from lrjax.models.spec import TransformerSpec

pytestmark = pytest.mark.usefixtures("light_compilation")

SPEC = TransformerSpec(
    width=32, depth=3, heads=2, hidden=48, activation="gelu_erf", norm="layer", eps=1e-5, order="pre", qkv_bias="qkv",
    gated=False, sub_norm=False, rope=False, causal=False,
)  # fmt: skip
ROPE = dataclasses.replace(SPEC, rope=True, gated=True, sub_norm=True)
CAUSAL = dataclasses.replace(SPEC, causal=True)
POST = dataclasses.replace(SPEC, order="post")
ROWS = np.array([3, 0, 9, 6], np.int32)


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def all_rows_then(row, x):
    return x[:, row][:, None] if isinstance(row, int) else x[jnp.arange(len(x)), row][:, None]


@pytest.mark.parametrize(
    ("spec", "row", "remat"),
    [(ROPE, 0, "none"), (POST, 0, "none"), (CAUSAL, -1, "none"), (CAUSAL, ROWS, "none"), (CAUSAL, ROWS, "full")],
    ids=["rope", "post", "causal, last row", "causal, a row each", "causal, recomputed"],
)
def test_one_row(spec, row, remat):
    blocks, x, tokens = stack_blocks(spec, rngs=nnx.Rngs(0)), random(4, 10, 32), random(3, 9, 32, seed=1)
    rope = jnp.asarray(rope_table(3, 16)) if spec.rope else None
    row = row if isinstance(row, int) else jnp.asarray(row)
    mask = jnp.ones((4, 1, 1, 10), bool).at[1, 0, 0, 5:].set(False)
    graph, state = nnx.split(blocks)

    def run(state, x, tokens, row):
        adapters = (LrTokens(jnp.concatenate([tokens[:1], tokens])),)  # the first table is not for the blocks
        return run_blocks(nnx.merge(graph, state), x, rope=rope, mask=mask, adapters=adapters, row=row, remat=remat)[0]

    def whole(state, x, tokens):
        return all_rows_then(row, run(state, x, tokens, None))

    def alone(state, x, tokens):
        return run(state, x, tokens, row)

    def gradients(function):
        return jax.jit(jax.grad(lambda *given: (function(*given) ** 2).sum(), argnums=(0, 1, 2)))(state, x, tokens)

    np.testing.assert_allclose(alone(state, x, tokens), whole(state, x, tokens), atol=2e-6)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-4),
        gradients(alone),
        gradients(whole),
    )


def test_features_hold_all_rows_and_the_output_one():
    blocks, x = stack_blocks(SPEC, rngs=nnx.Rngs(0)), random(4, 10, 32)
    pooled, taps = run_blocks(blocks, x, row=0, taps=("blocks",))
    outputs = taps["blocks"]
    assert outputs.shape == (3, 4, 10, 32)
    np.testing.assert_array_equal(pooled, outputs[-1][:, :1])


def test_the_backward_pass_keeps_no_copy_of_the_parameters():
    blocks, x = stack_blocks(dataclasses.replace(SPEC, depth=12, hidden=4096), rngs=nnx.Rngs(0)), random(1, 10, 32)
    graph, state = nnx.split(blocks)

    def loss(x, state):
        return run_blocks(nnx.merge(graph, state), x, row=0)[0].sum()

    used = jax.jit(jax.grad(loss)).lower(x, state).compile().memory_analysis().temp_size_in_bytes
    assert used < 4 * 12 * 2 * 32 * 4096


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_that_of_jax(causal):
    q, k, v = (random(2, 7, 3, 8, seed=seed) for seed in range(3))
    mask = jnp.tril(jnp.ones((7, 7), bool))[None, None] if causal else None
    expected = jax.nn.dot_product_attention(q, k, v, is_causal=causal).reshape(2, 7, 24)
    np.testing.assert_allclose(attend(q, k, v, mask)[0], expected, atol=1e-6)
