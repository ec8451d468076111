"""Top-k accuracy as masked booleans, so that counts stay exact when the last batch is padded."""

import jax
import jax.numpy as jnp

from lrjax.errors import UserError


def topk_correct(logits: jax.Array, labels: jax.Array, mask: jax.Array, k: int) -> jax.Array:
    """Tells for each row whether one of its labels is among the k largest logits.

    Equal logits rank by class index, the lowest first, as `argmax` does. A row with a NaN logit is never correct, and a
    label that is no class never among the largest.

    Args:
        logits: [B, K] scores, any float dtype.
        labels: [B] class indices, any integer dtype, 0..K-1, or [B, M] sets of them filled with -1.
        mask: [B] bool, False for padding.
        k: number of guesses, 1..K.

    Returns:
        [B] bool, False where masked; sum as int32 for an exact count.

    Raises:
        UserError: `k` is not in 1..K, or the labels are not integers.
    """
    classes = logits.shape[-1]
    if not 1 <= k <= classes:
        raise UserError(f"top-{k} accuracy is not defined for {classes} classes; choose k from 1 to {classes}")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(f"labels are {labels.dtype}, but must be integer class indices")
    indices = jnp.arange(classes, dtype=jnp.int32)[None, None, :]  # [1, 1, K]
    labels = labels.astype(jnp.int32).reshape(labels.shape[0], -1)  # [B, M]
    known = (labels >= 0) & (labels < classes)
    target = jnp.take_along_axis(logits, jnp.clip(labels, 0, classes - 1), axis=1)[..., None]
    logits = logits[:, None, :]
    ahead = (logits > target) | ((logits == target) & (indices < labels[..., None]))
    ranked = ahead.sum(axis=-1, dtype=jnp.int32) < k
    return (ranked & known).any(axis=1) & ~jnp.isnan(logits).any(axis=(1, 2)) & mask.astype(bool)
