"""Losses of multi-scale distillation, as pure functions of embeddings."""

import jax.numpy as jnp
import optax
from jaxtyping import Float32, Int

from lrjax.models.build import similarities
from lrjax.types import Array


def clip_loss(a: Float32[Array, "B E"], b: Float32[Array, "B E"], scale: Float32[Array, ""]) -> Float32[Array, ""]:
    """Symmetric contrastive loss of paired embeddings over the whole (global) batch.

    Args:
        a: L2-normalised.
        b: L2-normalised; row i belongs to row i of `a`.
        scale: factor of the cosines.

    Returns:
        Mean of the two cross-entropies of `scale * a @ b.T` with the diagonal as target.

    Reference:
        CLIP (arXiv 2103.00020), figure 3; LR0.FM (arXiv 2502.03950), section 5.
    """
    logits = similarities(scale * a, b)
    diagonal = jnp.arange(logits.shape[0])
    rows = optax.softmax_cross_entropy_with_integer_labels(logits, diagonal)
    columns = optax.softmax_cross_entropy_with_integer_labels(logits.T, diagonal)
    return (rows.mean() + columns.mean()) / 2


def consistency_loss(
    teacher: Float32[Array, "B E"],
    students: Float32[Array, "views B E"],
    clear: Float32[Array, "B H W C"],
    restored: Float32[Array, "views B H W C"],
) -> Float32[Array, ""]:
    """Sum over views of the squared distances from the teacher's embeddings and features on the HR image.

    Args:
        teacher: L2-normalised, without gradient.
        students: L2-normalised, on each LR version.
        clear: features of the HR images, without gradient.
        restored: features of each LR version.

    Returns:
        Per view the mean over images of the squared distance of the embeddings, and the mean over all
        entries of that of the features. The sources give both the same weight.

    Reference:
        LR0.FM (arXiv 2502.03950), table 4, and its official code; RobustSAM (arXiv 2406.09627), section 3.4.
    """
    distances = jnp.square(students - teacher[None]).sum(axis=-1).mean(axis=1)
    features = jnp.square(restored - clear[None]).mean(axis=(1, 2, 3, 4))
    return (distances + features).sum()


def caption_loss(
    students: Float32[Array, "views B E"], classifier: dict[str, Array], captions: Int[Array, "B"]
) -> Float32[Array, ""]:
    """Sum over views of the cross-entropy of a linear classifier of the embeddings into the captions.

    Args:
        students: L2-normalised.
        classifier: "kernel" float32 [E, K] and "bias" float32 [K].
        captions: 0..K-1, the caption that each image was generated from.

    Reference:
        LR0.FM (arXiv 2502.03950), table 5.
    """
    logits = similarities(students, classifier["kernel"].T) + classifier["bias"][None, None]
    losses = (optax.softmax_cross_entropy_with_integer_labels(view, captions).mean() for view in logits)
    return sum(losses, start=jnp.zeros(()))
