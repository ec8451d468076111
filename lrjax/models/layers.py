"""The one transformer: norm, attention, MLP, block and the scanned stack."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lrjax.models.spec import TransformerSpec
from lrjax.types import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_erf": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "silu": jax.nn.silu,
}


def make_norm(spec: TransformerSpec, width: int, *, rngs: nnx.Rngs) -> nnx.Module:
    """Builds the norm of a transformer; statistics are two-pass float32 as in PyTorch, whatever the compute dtype."""
    if spec.norm == "rms":
        return nnx.RMSNorm(width, epsilon=spec.eps, use_fast_variance=False, rngs=rngs)
    return nnx.LayerNorm(width, epsilon=spec.eps, use_fast_variance=False, rngs=rngs)


def rope_table(grid: int, head_width: int, *, theta: float = 10_000.0, reference_grid: int = 16) -> np.ndarray:
    """Cosines and sines of EVA-02's rotary positions on a square grid of patches.

    Args:
        grid: patches per side g; positions are rescaled to `reference_grid`, the grid of pre-training.
        head_width: width of one attention head; the first half rotates with the row, the second with the column.
        theta: base of the frequencies.
        reference_grid: grid that the positions 0..reference_grid cover.

    Returns:
        float32 [2, g * g, head_width]: cosines and sines, equal for the two channels of each adjacent pair.

    Reference:
        EVA-02 (arXiv 2303.11331), RoFormer (arXiv 2104.09864).
    """
    bands = head_width // 4
    # Angles are rounded to float32 like those of the models' training, which moves the sines of large ones by 5e-7.
    frequencies = 1 / theta ** (np.arange(bands, dtype=np.float32) / bands)
    positions = np.arange(grid, dtype=np.float32) / grid * reference_grid
    angles = np.repeat(np.outer(positions, frequencies), 2, axis=1)  # [g, head_width / 2]
    rows = np.broadcast_to(angles[:, None], (grid, grid, angles.shape[1]))
    columns = np.broadcast_to(angles[None], rows.shape)
    joined = np.concatenate([rows, columns], axis=-1).reshape(grid * grid, head_width).astype(np.float64)
    return np.stack([np.cos(joined), np.sin(joined)]).astype(np.float32)


def apply_rope(x: Array, table: Array) -> Array:
    """Rotates adjacent channel pairs (x0, x1) -> (x0 cos - x1 sin, x1 cos + x0 sin) of the patch rows.

    Args:
        x: [B, S, A, head_width]; rows before the last N (the class token) stay as they are.
        table: float32 [2, N, head_width] of `rope_table`.

    Returns:
        Array of the shape and dtype of `x`.
    """
    prefix = x.shape[1] - table.shape[1]
    patches = x[:, prefix:].astype(jnp.float32)
    pairs = patches.reshape(*patches.shape[:-1], -1, 2)
    turned = jnp.stack([-pairs[..., 1], pairs[..., 0]], axis=-1).reshape(patches.shape)
    cosines, sines = table[:, None, :, None, :]
    rotated = (patches * cosines + turned * sines).astype(x.dtype)
    return jnp.concatenate([x[:, :prefix], rotated], axis=1)


class Attention(nnx.Module):
    """Multi-head self-attention with optional rotary positions and a norm on the joined heads."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs):
        def linear(name: str) -> nnx.Linear:
            return nnx.Linear(spec.width, spec.width, use_bias=name in spec.qkv_bias, rngs=rngs)

        self.heads, self.causal = spec.heads, spec.causal
        self.q, self.k, self.v = linear("q"), linear("k"), linear("v")
        self.norm = make_norm(spec, spec.width, rngs=rngs) if spec.sub_norm else None
        self.out = nnx.Linear(spec.width, spec.width, rngs=rngs)

    def __call__(self, x: Array, rope: Array | None = None) -> Array:
        q, k, v = (f(x).reshape(*x.shape[:2], self.heads, -1) for f in (self.q, self.k, self.v))
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        joined = jax.nn.dot_product_attention(q, k, v, is_causal=self.causal).reshape(x.shape)
        return self.out(joined if self.norm is None else self.norm(joined).astype(x.dtype))


class Mlp(nnx.Module):
    """Two-layer perceptron, or SwiGLU when the spec is gated, with an optional norm on the hidden layer."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs):
        self.activation = spec.activation
        self.gate = nnx.Linear(spec.width, spec.hidden, rngs=rngs) if spec.gated else None
        self.up = nnx.Linear(spec.width, spec.hidden, rngs=rngs)
        self.norm = make_norm(spec, spec.hidden, rngs=rngs) if spec.sub_norm else None
        self.down = nnx.Linear(spec.hidden, spec.width, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        activation = ACTIVATIONS[self.activation]
        hidden = activation(self.up(x)) if self.gate is None else activation(self.gate(x)) * self.up(x)
        return self.down(hidden if self.norm is None else self.norm(hidden).astype(x.dtype))


class Block(nnx.Module):
    """Attention and MLP, each with its norm before it or on its output."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs):
        self.order = spec.order
        self.norm1 = make_norm(spec, spec.width, rngs=rngs)
        self.attention = Attention(spec, rngs=rngs)
        self.norm2 = make_norm(spec, spec.width, rngs=rngs)
        self.mlp = Mlp(spec, rngs=rngs)

    def __call__(self, x: Array, rope: Array | None = None) -> Array:
        if self.order == "post":
            x = x + self.norm1(self.attention(x, rope)).astype(x.dtype)
            return x + self.norm2(self.mlp(x)).astype(x.dtype)
        x = x + self.attention(self.norm1(x).astype(x.dtype), rope)
        return x + self.mlp(self.norm2(x).astype(x.dtype))


def stack_blocks(spec: TransformerSpec, *, rngs: nnx.Rngs) -> Block:
    """Builds the blocks of a transformer as one block whose parameters carry a leading depth axis."""

    @nnx.split_rngs(splits=spec.depth)
    @nnx.vmap(in_axes=0, out_axes=0)
    def stack(rngs: nnx.Rngs) -> Block:
        return Block(spec, rngs=rngs)

    return stack(rngs)


def run_blocks(
    blocks: Block,
    x: Array,
    *,
    rope: Array | None = None,
    lr_tokens: Array | None = None,
    features: bool = False,
    remat: bool = False,
) -> tuple[Array, Array | None]:
    """Runs stacked blocks with one scan, which compiles one block whatever the depth.

    Args:
        blocks: of `stack_blocks`.
        x: [B, S, D].
        rope: float32 [2, N, head_width], or None.
        lr_tokens: [L, N, D] added to the last N rows at the input of each block, or None.
        features: whether the output of every block is returned as well.
        remat: whether activations inside a block are recomputed in the backward pass.

    Returns:
        The output [B, S, D], and the outputs of all blocks [L, B, S, D] or None.
    """
    graph, parameters = nnx.split(blocks)

    def step(x: Array, layer: tuple) -> tuple[Array, Array | None]:
        parameters, tokens = layer
        x = nnx.merge(graph, parameters)(add_to_patches(x, tokens), rope)
        return x, x if features else None

    return jax.lax.scan(jax.checkpoint(step) if remat else step, x, (parameters, lr_tokens))


def add_to_patches(x: Array, tokens: Array | None) -> Array:
    """Adds tokens [N, D] to the last N rows of x [B, S, D]; None adds nothing."""
    if tokens is None:
        return x
    return x.at[:, x.shape[1] - tokens.shape[0] :].add(tokens.astype(x.dtype))
