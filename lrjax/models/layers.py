"""The one transformer: norm, attention, MLP, block and the scanned stack."""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Float32, Int

from lrjax.models.adapter import Adapter
from lrjax.models.spec import TransformerSpec
from lrjax.sharding import spread_rows
from lrjax.types import Array, ArrayLike

Row = int | Int[Array, "B"]
"""The number of a row, the same for all samples or one for each."""

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


def rope_table(
    grid: int, head_width: int, *, theta: float = 10_000.0, reference_grid: int = 16
) -> Float32[np.ndarray, "2 patches {head_width}"]:
    """Cosines and sines of EVA-02's rotary positions on a square grid of patches.

    Args:
        grid: patches per side g; positions are rescaled to `reference_grid`, the grid of pre-training.
        head_width: width of one attention head; the first half rotates with the row, the second with the column.
        theta: base of the frequencies.
        reference_grid: grid that the positions 0..reference_grid cover.

    Returns:
        Cosines and sines, equal for the two channels of each adjacent pair.

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


def apply_rope(x: Float[Array, "B S A width"], table: Float32[ArrayLike, "2 N width"]) -> Float[Array, "B S A width"]:
    """Rotates adjacent channel pairs (x0, x1) -> (x0 cos - x1 sin, x1 cos + x0 sin) of the patch rows.

    Args:
        x: rows before the last N (the class token) stay as they are.
        table: of `rope_table`.

    Returns:
        Rows of the dtype of `x`.
    """
    prefix = x.shape[1] - table.shape[1]
    patches = x[:, prefix:].astype(jnp.float32)
    pairs = patches.reshape(*patches.shape[:-1], -1, 2)
    turned = jnp.stack([-pairs[..., 1], pairs[..., 0]], axis=-1).reshape(patches.shape)
    cosines, sines = table[:, None, :, None, :]
    rotated = (patches * cosines + turned * sines).astype(x.dtype)
    return jnp.concatenate([x[:, :prefix], rotated], axis=1)


def take_row(x: Float[Array, "B S D"], row: Row) -> Float[Array, "B 1 D"]:
    """Takes one row of each sample.

    Args:
        x: the samples.
        row: index of the row, the same for all samples or one for each.
    """
    return x[:, row][:, None] if isinstance(row, int) else jnp.take_along_axis(x, row[:, None, None], axis=1)


def attend(
    q: Float[Array, "B Q A width"],
    k: Float[Array, "B S A width"],
    v: Float[Array, "B S A width"],
    mask: Bool[ArrayLike, "..."] | None = None,
) -> tuple[Float[Array, "B Q joined"], Float32[Array, "B A Q S"]]:
    """Softmax attention; logits and softmax are computed in float32.

    The heads are brought in front of the rows once. Beside products that leave them behind, encoding became 1 %
    (ViT-B-16), 5 % (EVA02-B-16) and 8 % (CLIP's texts) faster on a CPU.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: broadcastable to [B, A, Q, S]: which columns a row may see; None shows all.

    Returns:
        The heads side by side, of the dtype of `v`, and the weights.
    """
    batch, rows, heads, width = q.shape
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))
    logits = jnp.einsum("baqd,basd->baqs", q, k, preferred_element_type=jnp.float32) * width**-0.5
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(logits, axis=-1)
    joined = jnp.einsum("baqs,basd->baqd", weights.astype(v.dtype), v)
    return joined.transpose(0, 2, 1, 3).reshape(batch, rows, heads * width), weights


class Attention(nnx.Module):
    """Multi-head self-attention with optional rotary positions and a norm on the joined heads."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs):
        def linear(name: str) -> nnx.Linear:
            return nnx.Linear(spec.width, spec.width, use_bias=name in spec.qkv_bias, rngs=rngs)

        self.heads, self.causal = spec.heads, spec.causal
        self.q, self.k, self.v = linear("q"), linear("k"), linear("v")
        self.norm = make_norm(spec, spec.width, rngs=rngs) if spec.sub_norm else None
        self.out = nnx.Linear(spec.width, spec.width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B S D"],
        rope: Float32[ArrayLike, "2 N width"] | None = None,
        mask: Bool[ArrayLike, "..."] | None = None,
        row: Row | None = None,
    ) -> tuple[Float[Array, "B Q D"], Float32[Array, "B A Q S"]]:
        """Maps rows to rows, or to one of them, and gives the weights."""
        queries = x if row is None else take_row(x, row)
        q, k, v = (f(y).reshape(*y.shape[:2], self.heads, -1) for f, y in ((self.q, queries), (self.k, x), (self.v, x)))
        if rope is not None:
            # A single row is the class token, which has no rotary position.
            q, k = apply_rope(q, rope) if row is None else q, apply_rope(k, rope)
        if self.causal:
            columns = jnp.arange(x.shape[1])
            rows = columns[None] if row is None else jnp.reshape(jnp.asarray(row) % x.shape[1], (-1, 1))
            seen = rows[:, None, :, None] >= columns[None, None, None]
            mask = seen if mask is None else mask & seen
        joined, weights = attend(q, k, v, mask)
        return self.out(joined if self.norm is None else self.norm(joined).astype(x.dtype)), weights


class CrossAttention(nnx.Module):
    """Multi-head attention from queries to rows; all four projections have a bias."""

    def __init__(self, width: int, source_width: int, heads: int, *, output: int | None = None, rngs: nnx.Rngs):
        self.heads = heads
        self.q = nnx.Linear(width, width, rngs=rngs)
        self.k, self.v = (nnx.Linear(source_width, width, rngs=rngs) for _ in range(2))
        self.out = nnx.Linear(width, width if output is None else output, rngs=rngs)

    def __call__(self, queries: Float[Array, "B Q W"], rows: Float[Array, "B S D"]) -> Float[Array, "B Q E"]:
        q, k, v = (
            f(x).reshape(*x.shape[:2], self.heads, -1) for f, x in ((self.q, queries), (self.k, rows), (self.v, rows))
        )
        return self.out(attend(q, k, v)[0])


class Mlp(nnx.Module):
    """Two-layer perceptron, or SwiGLU when the spec is gated, with an optional norm on the hidden layer."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs):
        self.activation = spec.activation
        self.gate = nnx.Linear(spec.width, spec.hidden, rngs=rngs) if spec.gated else None
        self.up = nnx.Linear(spec.width, spec.hidden, rngs=rngs)
        self.norm = make_norm(spec, spec.hidden, rngs=rngs) if spec.sub_norm else None
        self.down = nnx.Linear(spec.hidden, spec.width, rngs=rngs)

    def __call__(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
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

    def __call__(
        self,
        x: Float[Array, "B S D"],
        rope: Float32[ArrayLike, "2 N width"] | None = None,
        mask: Bool[ArrayLike, "..."] | None = None,
        row: Row | None = None,
    ) -> tuple[Float[Array, "B Q D"], Float32[Array, "B A Q S"]]:
        """Maps rows to rows, or to one of them, and gives the attention's weights."""
        shortcut = x if row is None else take_row(x, row)
        if self.order == "post":
            attended, weights = self.attention(x, rope, mask, row)
            x = shortcut + self.norm1(attended).astype(x.dtype)
            return x + self.norm2(self.mlp(x)).astype(x.dtype), weights
        attended, weights = self.attention(self.norm1(x).astype(x.dtype), rope, mask, row)
        x = shortcut + attended
        return x + self.mlp(self.norm2(x).astype(x.dtype)), weights


def stack_blocks(spec: TransformerSpec, *, rngs: nnx.Rngs) -> Block:
    """Builds the blocks of a transformer as one block whose parameters carry a leading depth axis."""

    @nnx.split_rngs(splits=spec.depth)
    @nnx.vmap(in_axes=0, out_axes=0)
    def stack(rngs: nnx.Rngs) -> Block:
        return Block(spec, rngs=rngs)

    return stack(rngs)


BLOCK_TAPS = ("blocks", "attention")
"""What `run_blocks` gives when asked for: the outputs of all blocks, [L, B, S, D], and the weights of their attention,
float32 [L, B, A, S, S]."""


def run_blocks(
    blocks: Block,
    x: Float[Array, "B S D"],
    *,
    rope: Float32[ArrayLike, "2 N width"] | None = None,
    mask: Bool[ArrayLike, "..."] | None = None,
    adapters: Sequence[Adapter] = (),
    row: Row | None = None,
    taps: Collection[str] = (),
    remat: str = "none",
) -> tuple[Float[Array, "B Q D"], dict[str, Array]]:
    """Runs stacked blocks with one scan, which compiles one block whatever the depth.

    Args:
        blocks: of `stack_blocks`.
        x: the rows.
        rope: of `rope_table`, or None.
        mask: broadcastable to [B, A, S, S]: which columns a row may see, besides what `causal` forbids; or None.
        adapters: change the input of each block.
        row: the only row that is needed of the last block; None for all rows. With rotary positions it must be the
            class token.
        taps: which of `BLOCK_TAPS` are given as well.
        remat: what the backward pass recomputes: "none"; "selective", all but the products with weights, which takes a
            third of the memory; "full", whole blocks, which takes an eighth (Korthikanti et al., arXiv 2205.05198).

    Returns:
        The output, all rows or the one, and the taps.
    """
    graph, parameters = nnx.split(blocks)
    depth = jax.tree.leaves(parameters)[0].shape[0]
    # The last block computes one row where only one is needed: 6 % (ViT-B-16) to 8 % (EVA02-B-16) faster on a CPU.
    scanned = depth if row is None or taps else depth - 1
    layers = [adapter.layers() for adapter in adapters]

    def run_block(x: Array, index: int | Array, layers: Sequence[Any], row: Row | None = None) -> tuple[Array, Array]:
        own = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), parameters)
        block, x = nnx.merge(graph, own), spread_rows(x)
        for adapter, layer in zip(adapters, layers, strict=True):
            x = adapter.block(x, layer)
        x, weights = block(x, rope, mask, row)
        return spread_rows(x), weights

    def step(x: Array, layer: tuple) -> tuple[Array, dict[str, Array]]:
        x, weights = run_block(x, *layer)
        found = {"blocks": x, "attention": weights}
        return x, {name: found[name] for name in taps}

    # The parameters are cut by index, because leaving one layer out of what is scanned would copy all others.
    step = jax.checkpoint(step, policy=_KEPT[remat], prevent_cse=False)
    x, outputs = jax.lax.scan(step, x, (jnp.arange(scanned), jax.tree.map(lambda leaf: leaf[:scanned], layers)))
    if row is None:
        return x, outputs
    if taps:
        return take_row(x, row), outputs
    return run_block(x, depth - 1, jax.tree.map(lambda leaf: leaf[-1], layers), row)[0], {}


def _all_but_slices(primitive: Any, *_: Any, **__: Any) -> bool:
    """Keeps every value for the backward pass, but cuts the layers again instead of keeping a copy of all of them."""
    return primitive.name not in ("dynamic_slice", "squeeze")


_KEPT = {
    "none": _all_but_slices,
    "selective": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
"""By what is recomputed, which values are kept for the backward pass."""
