"""Losses of multi-scale distillation, as pure functions of embeddings."""

import jax.numpy as jnp
import optax

from lrjax.models.build import similarities
from lrjax.types import Array


def clip_loss(a: Array, b: Array, scale: Array) -> Array:
    """Symmetric contrastive loss of paired embeddings over the whole (global) batch.

    Args:
        a: float32 [B, E], L2-normalised.
        b: float32 [B, E], L2-normalised; row i belongs to row i of `a`.
        scale: float32 [], factor of the cosines.

    Returns:
        float32 []: mean of the two cross-entropies of `scale * a @ b.T` with the diagonal as target.

    Reference:
        CLIP (arXiv 2103.00020), figure 3; LR0.FM (arXiv 2502.03950), section 5.
    """
    logits = similarities(scale * a, b)
    diagonal = jnp.arange(logits.shape[0])
    rows = optax.softmax_cross_entropy_with_integer_labels(logits, diagonal)
    columns = optax.softmax_cross_entropy_with_integer_labels(logits.T, diagonal)
    return (rows.mean() + columns.mean()) / 2


def consistency_loss(teacher: Array, students: Array, clear: Array, restored: Array) -> Array:
    """Sum over views of the squared distances from the teacher's embeddings and features on the HR image.

    Args:
        teacher: float32 [B, E], L2-normalised, without gradient.
        students: float32 [views, B, E], L2-normalised, on each LR version.
        clear: float32 [B, H, W, C], features of the HR images, without gradient.
        restored: float32 [views, B, H, W, C], features of each LR version.

    Returns:
        float32 []: per view the mean over images of the squared distance of the embeddings, and the mean over all
        entries of that of the features. The sources give both the same weight.

    Reference:
        LR0.FM (arXiv 2502.03950), table 4, and its official code; RobustSAM (arXiv 2406.09627), section 3.4.
    """
    distances = jnp.square(students - teacher[None]).sum(axis=-1).mean(axis=1)
    features = jnp.square(restored - clear[None]).mean(axis=(1, 2, 3, 4))
    return (distances + features).sum()


def caption_loss(students: Array, classifier: dict[str, Array], captions: Array) -> Array:
    """Sum over views of the cross-entropy of a linear classifier of the embeddings into the captions.

    Args:
        students: float32 [views, B, E], L2-normalised.
        classifier: "kernel" float32 [E, K] and "bias" float32 [K].
        captions: int [B], 0..K-1, the caption that each image was generated from.

    Returns:
        float32 [].

    Reference:
        LR0.FM (arXiv 2502.03950), table 5.
    """
    logits = similarities(students, classifier["kernel"].T) + classifier["bias"][None, None]
    losses = (optax.softmax_cross_entropy_with_integer_labels(view, captions).mean() for view in logits)
    return sum(losses, start=jnp.zeros(()))
