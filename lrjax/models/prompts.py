"""Visual prompts: learned rows before the patches (VPT, arXiv 2203.12119, section 3.2, "shallow")."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Float

from lrjax.models.adapter import Adapter
from lrjax.types import Array, ArrayLike


@dataclasses.dataclass(frozen=True)
class Prompts(Adapter):
    """Rows that go before the patch rows at the input of the first block, without positions; they are not pooled."""

    name: ClassVar[str] = "visual prompts"

    rows: Float[ArrayLike, "P D"]

    def enter(self, x: Float[Array, "B S D"], *, before: int) -> Float[Array, "B _ D"]:
        """Inserts the rows."""
        rows = jnp.broadcast_to(self.rows.astype(x.dtype), (x.shape[0], *self.rows.shape))
        return jnp.concatenate([x[:, :before], rows, x[:, before:]], axis=1)

    def leave(self, x: Float[Array, "B S D"], *, before: int) -> Float[Array, "B _ D"]:
        """Takes them out."""
        return jnp.concatenate([x[:, :before], x[:, before + len(self.rows) :]], axis=1)
