"""LR-TK0 tokens: additive tables for the patch rows, one after patchify and one per block."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lrjax.models.spec import ImageSpec
from lrjax.types import Array


def token_shape(spec: ImageSpec) -> tuple[int, int, int]:
    """Shape [L + 1, N, D] of the tokens of an image tower."""
    return spec.blocks.depth + 1, spec.patches, spec.blocks.width


def init_lr_tokens(spec: ImageSpec, key: Array, *, std: float = 0.02) -> Array:
    """Draws initial tokens from a normal distribution.

    Args:
        spec: the image tower.
        key: random key.
        std: standard deviation; 0.02 for EVA. The official code truncates at +-2, a hundred deviations away.

    Returns:
        float32 [L + 1, N, D].

    Reference:
        LR0.FM (arXiv 2502.03950), section 5.
    """
    return std * jax.random.normal(key, token_shape(spec), jnp.float32)


def stack_tables(tables: Sequence[Array], spec: ImageSpec) -> Array:
    """Stacks the tables of the last blocks, with zeros for the earlier ones.

    Args:
        tables: at most L + 1 tables [N, D]; the last belongs to the last block.
        spec: the image tower.

    Returns:
        float32 [L + 1, N, D].

    Reference:
        LR0.FM (arXiv 2502.03950), table 14.
    """
    count, *shape = token_shape(spec)
    return jnp.concatenate([jnp.zeros((count - len(tables), *shape), jnp.float32), jnp.stack(tables)])
