"""What is trained beside a frozen backbone: a tree with a part for each adapter, as it is stored."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from lrjax.models.adapter import Adapter
from lrjax.models.lr_tokens import LrTokens
from lrjax.models.prompts import Prompts
from lrjax.models.robust_token import RobustToken
from lrjax.types import Tree


@dataclasses.dataclass(frozen=True)
class LastBlocks(Adapter):
    """Parameters that take the place of those of the last blocks.

    Attributes:
        blocks: of `last_blocks`.
    """

    name: ClassVar[str] = "blocks"

    blocks: Mapping[str, Tree]

    def params(self, params: Tree) -> Tree:
        """Puts them in."""
        first = min(map(int, self.blocks))
        ordered = [self.blocks[str(first + index)] for index in range(len(self.blocks))]
        last = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ordered)
        merged = jax.tree.map(
            lambda whole, part: jnp.concatenate([whole[:first], part.astype(whole.dtype)]), params["blocks"], last
        )
        return params | {"blocks": merged}


ADAPTERS: Mapping[str, Callable[[Any], Adapter]] = {
    "blocks": LastBlocks,
    "prompts": Prompts,
    "robust_token": RobustToken,
    "tokens": LrTokens,
}
"""What the parts of an adaptation are: "tokens" float [L + 1, N, D] (LR tokens), "prompts" float [P, D],
"robust_token", of `init_robust_token`, and "blocks", of `last_blocks`."""


def adapters_of(adaptation: Tree | None) -> tuple[Adapter, ...]:
    """Returns the adapters of a tree with any of the parts of `ADAPTERS`; None has none."""
    return tuple(ADAPTERS[name](part) for name, part in sorted((adaptation or {}).items()))


def last_blocks(params: Tree, count: int) -> dict[str, Tree]:
    """Returns float32 copies of the parameters of the last `count` blocks of the image tower, by block number."""
    blocks = params["image"]["blocks"]
    depth = jax.tree.leaves(blocks)[0].shape[0]
    return {
        str(index): jax.tree.map(lambda leaf, index=index: leaf[index].astype(jnp.float32), blocks)
        for index in range(depth - count, depth)
    }
