"""What is trained beside a frozen backbone, and how images are embedded with it."""

import jax
import jax.numpy as jnp

from lrjax.models.build import Encoders
from lrjax.types import Array, Tree


def adapted_embeddings(
    encoders: Encoders, adaptation: Tree, params: Tree, images: Array, *, remat: str = "none"
) -> Array:
    """Embeds normalised images with a backbone and its adaptation.

    Args:
        encoders: of the backbone.
        adaptation: any of "tokens" float [L + 1, N, D] (LR tokens), "prompts" float [P, D] (visual prompts),
            "robust_token", of `init_robust_token`, and "blocks", parameters that replace those of the last blocks, by
            the number of the block.
        params: parameter tree of the backbone.
        images: float [B, size, size, 3], as for `Encoders.image`.
        remat: what the backward pass recomputes, see `run_blocks`.

    Returns:
        float32 [B, E], L2-normalised.
    """
    params, tokens, options = _arguments(adaptation, params)
    return encoders.image(params, images, tokens, remat=remat, **options)


def adapted_patches(
    encoders: Encoders, adaptation: Tree, params: Tree, images: Array, *, remat: str = "none"
) -> tuple[Array, Array, Array]:
    """Embeds images as `adapted_embeddings` and returns their patch rows too, see `Encoders.image_and_patches`.

    Args:
        encoders: as in `adapted_embeddings`, as are the others.
    """
    params, tokens, options = _arguments(adaptation, params)
    return encoders.image_and_patches(params, images, tokens, remat=remat, **options)


def _arguments(adaptation: Tree, params: Tree) -> tuple[Tree, Array | None, Tree]:
    options = {name: adaptation.get(name) for name in ("prompts", "robust_token")}
    return replace_blocks(params, adaptation.get("blocks", {})), adaptation.get("tokens"), options


def last_blocks(params: Tree, count: int) -> dict[str, Tree]:
    """Returns float32 copies of the parameters of the last `count` blocks of the image tower, by block number."""
    blocks = params["image"]["blocks"]
    depth = jax.tree.leaves(blocks)[0].shape[0]
    return {
        str(index): jax.tree.map(lambda leaf, index=index: leaf[index].astype(jnp.float32), blocks)
        for index in range(depth - count, depth)
    }


def replace_blocks(params: Tree, blocks: dict[str, Tree]) -> Tree:
    """Returns a parameter tree whose last image blocks are those of `last_blocks`; none changes nothing."""
    if not blocks:
        return params
    first = min(map(int, blocks))
    ordered = [blocks[str(first + index)] for index in range(len(blocks))]
    last = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ordered)
    image = params["image"]
    merged = jax.tree.map(
        lambda whole, part: jnp.concatenate([whole[:first], part.astype(whole.dtype)]), image["blocks"], last
    )
    return params | {"image": image | {"blocks": merged}}
