"""LR-TK0 tokens: additive tables for the patch rows, one after patchify and one per block."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lrjax.errors import UserError
from lrjax.models.spec import ImageSpec, ResNetSpec
from lrjax.types import Array


def token_shape(spec: ImageSpec) -> tuple[int, int, int]:
    """Shape [L + 1, N, D] of the tokens of an image tower."""
    return spec.blocks.depth + 1, spec.patches, spec.blocks.width


def check_lr_tokens(spec: ImageSpec | ResNetSpec, tokens: Array | None) -> None:
    """Checks that tokens are those of an image tower; the scan would take the last table again if one were missing.

    Args:
        spec: the image tower.
        tokens: any array, or None, which fits every tower.

    Raises:
        UserError: they have another shape, or the tower is a ResNet.
    """
    if tokens is None:
        return
    if isinstance(spec, ResNetSpec):
        raise UserError("a ResNet has no patch rows to add LR tokens to; use a vision transformer")
    if tuple(tokens.shape) != token_shape(spec):
        raise UserError(
            f"LR tokens have the shape {list(tokens.shape)} but this backbone needs {list(token_shape(spec))}; use "
            "tokens that were trained for it, at the same input size"
        )


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
