"""Attention that makes one row of many: SigLIP's MAP head and CoCa's attentional pooler."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from lrjax.models.layers import CrossAttention, Mlp, make_norm
from lrjax.models.spec import ImageSpec
from lrjax.types import Array


class MapHead(nnx.Module):
    """Attention from one learned probe, then an MLP with its norm: x + mlp(norm(x)).

    Reference: Set Transformer (arXiv 1810.00825), section 3.2, as in SigLIP.
    """

    def __init__(self, spec: ImageSpec, *, rngs: nnx.Rngs):
        width = spec.blocks.width
        self.probe = nnx.Param(nnx.initializers.xavier_uniform()(rngs.params(), (1, width))[0])
        self.attention = CrossAttention(width, width, spec.pool_heads, rngs=rngs)
        self.norm = make_norm(spec.blocks, width, rngs=rngs)
        self.mlp = Mlp(spec.blocks, rngs=rngs)

    def __call__(self, rows: Float[Array, "B N D"]) -> Float[Array, "B D"]:
        """Makes one row."""
        probe = jnp.broadcast_to(self.probe[...].astype(rows.dtype), (rows.shape[0], 1, rows.shape[2]))
        x = self.attention(probe, rows)[:, 0]
        return x + self.mlp(self.norm(x).astype(x.dtype))


class QueryPooler(nnx.Module):
    """Attention from learned queries, of which only the first serves the embedding, so only it is computed.

    Reference: CoCa (arXiv 2205.01917), section 3.2.
    """

    def __init__(self, spec: ImageSpec, *, rngs: nnx.Rngs):
        self.queries = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (spec.queries, spec.embedding)))
        self.norm_queries = make_norm(spec.blocks, spec.embedding, rngs=rngs)
        self.norm_rows = make_norm(spec.blocks, spec.blocks.width, rngs=rngs)
        self.attention = CrossAttention(spec.embedding, spec.blocks.width, spec.pool_heads, rngs=rngs)

    def __call__(self, rows: Float[Array, "B S D"]) -> Float[Array, "B E"]:
        """Makes one row, of the width of the embedding."""
        query = self.norm_queries(self.queries[...][None, :1].astype(rows.dtype)).astype(rows.dtype)
        query = jnp.broadcast_to(query, (rows.shape[0], *query.shape[1:]))
        return self.attention(query, self.norm_rows(rows).astype(rows.dtype))[:, 0]
