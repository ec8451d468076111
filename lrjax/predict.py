"""The named predict functions of a loaded backbone: jitted, sharded, and all that evaluators see of a model."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from lrjax.data.tokenizers import Tokenizer
from lrjax.models.adaptation import adapted_embeddings
from lrjax.models.build import Encoders, normalize_rows
from lrjax.models.zoo import Backbone
from lrjax.ops.preprocess import Stage, normalize, render_view
from lrjax.sharding import batch_sharding, replicated
from lrjax.types import Array, Tree

_TEXT_BATCH = 256


class Predictor:
    """A backbone with its parameters on a mesh.

    Args:
        row: the zoo row.
        params: parameter tree, placed on the mesh.
        tokenizer: the tokenizer of the row.
        mesh: the mesh; batches are laid out over its axis "data".
        dtype: compute dtype.
        adaptation: what was trained for the backbone, as in `models.adaptation`; empty for the vanilla model.
    """

    def __init__(
        self,
        row: Backbone,
        params: Tree,
        tokenizer: Tokenizer,
        mesh: Mesh,
        *,
        dtype: jnp.dtype = jnp.float32,
        adaptation: Tree | None = None,
    ):
        self.row, self.params, self.tokenizer, self.mesh = row, params, tokenizer, mesh
        self.adaptation = {} if adaptation is None else adaptation
        self.encoders = Encoders(row.spec, dtype, mesh)
        batch, whole = batch_sharding(mesh), replicated(mesh)
        self._text = jax.jit(self.encoders.text, out_shardings=whole)
        self._views = jax.jit(_render_views, out_shardings=batch)
        self._image = jax.jit(self._embed_views, out_shardings=batch)

    def adapted(self, adaptation: Tree) -> "Predictor":
        """Returns a predictor of the same parameters and compiled functions with another adaptation."""
        other = copy.copy(self)
        other.adaptation = adaptation
        return other

    def _embed_views(self, params: Tree, adaptation: Tree, views: Array) -> Array:
        images = normalize(views.reshape(-1, *views.shape[2:]), self.row.preprocess.mean, self.row.preprocess.std)
        return adapted_embeddings(self.encoders, adaptation, params, images).reshape(*views.shape[:2], -1)

    def views(self, canvas: Array, stages: tuple[tuple[Stage, ...], ...]) -> Array:
        """Renders the views of a batch in the graph.

        Args:
            canvas: uint8 [B, H, W, 3], 0..255, on the mesh.
            stages: per view the batched taps of `ops.preprocess.batch_view_taps`, on the mesh.

        Returns:
            uint8 [B, R, size, size, 3]; compiled once per canvas side.
        """
        return self._views(canvas, stages)

    def image(self, views: Array, lr_tokens: Array | None = None) -> Array:
        """Embeds views.

        Args:
            views: uint8 [B, R, size, size, 3], 0..255.
            lr_tokens: float [L + 1, N, D], which replace those of the adaptation; None leaves it as it is.

        Returns:
            float32 [B, R, E], L2-normalised, laid out over the batch.
        """
        adaptation = self.adaptation if lr_tokens is None else self.adaptation | {"tokens": lr_tokens}
        return self._image(self.params, adaptation, views)

    def text(self, texts: list[str]) -> np.ndarray:
        """Embeds texts in batches of one fixed size.

        Args:
            texts: n texts.

        Returns:
            float32 [n, E], L2-normalised.
        """
        ids, sharding = self.tokenizer(texts), batch_sharding(self.mesh)
        size = -(-_TEXT_BATCH // self.mesh.size) * self.mesh.size
        ids = np.concatenate([ids, np.repeat(ids[:1], -len(ids) % size, axis=0)])
        embedded = []
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            # Every process has all texts, so that the rows of each device do not depend on the order of the mesh.
            placed = jax.make_array_from_callback(part.shape, sharding, part.__getitem__)
            embedded.append(np.asarray(self._text(self.params, placed)))
        return np.concatenate(embedded)[: len(texts)]

    def classifier(self, prompts: list[list[str]]) -> np.ndarray:
        """Embeds the classes of a data set: every prompt normalised, mean over prompts, normalised again.

        Args:
            prompts: K lists of prompts, of equal length T.

        Returns:
            float32 [K, E], L2-normalised.

        Reference:
            CLIP (arXiv 2103.00020), section 3.1.4.
        """
        embedded = self.text([text for texts in prompts for text in texts])
        return np.asarray(normalize_rows(embedded.reshape(len(prompts), -1, embedded.shape[-1]).mean(axis=1)))


@functools.partial(jax.named_call, name="render_views")
def _render_views(canvas: Array, stages: tuple[tuple[Stage, ...], ...]) -> Array:
    return jnp.stack([render_view(canvas, view) for view in stages], axis=1)
