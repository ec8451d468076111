"""LR-TK0 tokens: additive tables for the patch rows, one after patchify and one per block."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from lrjax.errors import UserError
from lrjax.models.adapter import Adapter
from lrjax.models.spec import ImageSpec, TowerSpec
from lrjax.types import Array, ArrayLike


def token_shape(spec: ImageSpec) -> tuple[int, int, int]:
    """Shape [L + 1, N, D] of the tokens of an image tower."""
    return spec.blocks.depth + 1, spec.patches, spec.blocks.width


@dataclasses.dataclass(frozen=True)
class LrTokens(Adapter):
    """Table 0 is added to the patch embeddings, table i + 1 to the patch rows at the input of block i.

    Reference:
        LR0.FM (arXiv 2502.03950), section 5.
    """

    name: ClassVar[str] = "LR tokens"

    tables: Float[ArrayLike, "tables N D"]

    def check(self, spec: TowerSpec) -> None:
        """Refuses a tower of another shape; the scan would take the last table again if one were missing."""
        super().check(spec)
        assert spec.transformer is not None
        if tuple(self.tables.shape) != token_shape(spec.transformer):
            raise UserError(
                f"LR tokens have the shape {list(self.tables.shape)} but this backbone needs "
                f"{list(token_shape(spec.transformer))}; use tokens that were trained for it, at the same input size"
            )

    def patches(self, x: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
        """Adds the first table."""
        return _add_to_patches(x, self.tables[0])

    def layers(self) -> Float[ArrayLike, "L N D"]:
        """The tables of the blocks."""
        return self.tables[1:]

    def block(self, x: Float[Array, "B S D"], layer: Float[ArrayLike, "N D"]) -> Float[Array, "B S D"]:
        """Adds the table of the block."""
        return _add_to_patches(x, layer)


def _add_to_patches(x: Float[Array, "B S D"], table: Float[ArrayLike, "N D"]) -> Float[Array, "B S D"]:
    """Adds a table to the last rows."""
    return x.at[:, x.shape[1] - table.shape[0] :].add(table.astype(x.dtype))


def init_lr_tokens(spec: ImageSpec, key: Array, *, std: float = 0.02) -> Float32[Array, "tables N D"]:
    """Draws initial tokens from a normal distribution.

    Args:
        spec: the image tower.
        key: random key.
        std: standard deviation; 0.02 for EVA. The official code truncates at +-2, a hundred deviations away.

    Returns:
        L + 1 tables.

    Reference:
        LR0.FM (arXiv 2502.03950), section 5.
    """
    return std * jax.random.normal(key, token_shape(spec), jnp.float32)


def stack_tables(tables: Sequence[Float[ArrayLike, "N D"]], spec: ImageSpec) -> Float32[Array, "_ N D"]:
    """Stacks the tables of the last blocks, with zeros for the earlier ones.

    Args:
        tables: at most L + 1; the last belongs to the last block.
        spec: the image tower.

    Returns:
        L + 1 tables.

    Reference:
        LR0.FM (arXiv 2502.03950), table 14.
    """
    count, *shape = token_shape(spec)
    return jnp.concatenate([jnp.zeros((count - len(tables), *shape), jnp.float32), jnp.stack(tables)])
