"""The named predict functions of a loaded backbone: jitted, sharded, and all that evaluators see of a model."""

import copy
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Bool, Float32, UInt8

from lrjax.data.loader import Batch
from lrjax.data.tokenizers import Tokenizer
from lrjax.errors import UserError
from lrjax.models.build import Encoders, count_params, normalize_rows
from lrjax.models.zoo import Backbone
from lrjax.ops.preprocess import Stage, batch_view_taps, normalize, render_view
from lrjax.sharding import batch_sharding, put_batch, replicated
from lrjax.types import Array, ArrayLike, Tree

_TEXT_BATCH = 256

Constants = tuple[tuple[float, ...], tuple[float, ...]]


class Predictor:
    """A backbone with its parameters on a mesh.

    Args:
        row: the zoo row.
        params: parameter tree, placed on the mesh.
        tokenizer: the tokenizer of the row; None without a text tower.
        mesh: the mesh; batches are laid out over its axis "data".
        dtype: compute dtype.
        adaptation: what was trained for the backbone, see `adaptation.ADAPTERS`; empty for the vanilla model.
    """

    def __init__(
        self,
        row: Backbone,
        params: Tree,
        tokenizer: Tokenizer | None,
        mesh: Mesh,
        *,
        dtype: DTypeLike = jnp.float32,
        adaptation: Tree | None = None,
    ):
        self.row, self.params, self.tokenizer, self.mesh = row, params, tokenizer, mesh
        self.adaptation = {} if adaptation is None else adaptation
        self.encoders = Encoders(row.spec, dtype, mesh)
        batch, whole = batch_sharding(mesh), replicated(mesh)
        self._text = jax.jit(self.encoders.text, out_shardings=whole)
        self._views = jax.jit(_views, out_shardings=batch)
        self._image = jax.jit(self._embed_views, static_argnums=3, out_shardings=batch)

    def __repr__(self) -> str:
        parameters, dtype, devices = count_params(self.params), jnp.dtype(self.encoders.dtype), self.mesh.devices.flat
        return (
            f"<Predictor {self.row.name}: {parameters:,} parameters, {self.row.spec.image.size} px, {dtype}, "
            f"{len(devices)} device{'s' * (len(devices) > 1)} ({devices[0].platform})>"
        )

    def adapted(self, adaptation: Tree) -> "Predictor":
        """Returns a predictor of the same parameters and compiled functions with another adaptation."""
        other = copy.copy(self)
        other.adaptation = adaptation
        return other

    def _embed_views(
        self, params: Tree, adaptation: Tree, views: UInt8[Array, "B R size size 3"], constants: Constants
    ) -> Float32[Array, "B R E"]:
        def embed(images: Array) -> Array:
            images = normalize(images, *constants)
            return self.encoders.image(params, images, adaptation)

        # One view after the other: five at once take a third more of a CPU's time, and five times the memory.
        return jnp.swapaxes(jax.lax.map(embed, jnp.swapaxes(views, 0, 1)), 0, 1)

    @property
    def resamples(self) -> bool:
        """Whether views are best rendered on the devices.

        Not on a CPU: five views of 500 x 375 pixels take 9 ms of one core in Pillow and 15 in XLA.
        """
        return self.mesh.devices.flat[0].platform != "cpu"

    def views(self, batch: Batch) -> UInt8[Array, "B R size size 3"]:
        """Renders the views of a batch in the graph; those that are rendered already take their places.

        Args:
            batch: the rows of this process; all processes call this together.

        Returns:
            Those of all processes, on the mesh; compiled once per canvas side, and once more where only a part of the
            rows is rendered already.
        """
        side, some_rendered = _agreed_layout(batch)
        views, rows, size = batch.views, len(batch.mask), batch.specs[0].size
        if some_rendered and views is None:
            views = np.zeros((rows, len(batch.specs), size, size, 3), np.uint8)
        if side == 0:
            return put_batch(views, self.mesh)
        canvas = np.zeros((rows, 0, 0, 3), np.uint8) if batch.images is None else batch.images
        margin = side - canvas.shape[1]
        if margin:
            canvas = np.pad(canvas, ((0, 0), (0, margin), (0, margin), (0, 0)))
        sizes = np.where(batch.sizes == 0, side, batch.sizes)
        stages = tuple(batch_view_taps(sizes, spec, canvas=side) for spec in batch.specs)
        rendered = (views, batch.on_host) if some_rendered else None
        return self._views(*put_batch((canvas, stages, rendered), self.mesh))

    def image(
        self, views: UInt8[ArrayLike, "B R size size 3"], constants: Constants | None = None
    ) -> Float32[Array, "B R E"]:
        """Embeds views.

        Args:
            views: 0..255.
            constants: mean and deviation of the channels, on the 0..1 scale; None takes those of the weights.

        Returns:
            Embeddings, L2-normalised, laid out over the batch.
        """
        native = self.row.preprocess
        return self._image(self.params, self.adaptation, views, constants or (native.mean, native.std))

    def text(self, texts: list[str]) -> Float32[np.ndarray, "n E"]:
        """Embeds texts in batches of one fixed size.

        Args:
            texts: n texts.

        Returns:
            Embeddings, L2-normalised.

        Raises:
            UserError: an embedding is not finite, or there is no text tower.
        """
        if self.tokenizer is None:
            raise UserError(f"{self.row.name} has no text tower, so that texts have no embeddings; use another model")
        ids, sharding = self.tokenizer(texts), batch_sharding(self.mesh)
        size = -(-_TEXT_BATCH // self.mesh.size) * self.mesh.size
        ids = np.concatenate([ids, np.repeat(ids[:1], -len(ids) % size, axis=0)])
        embedded = []
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            # Every process has all texts, so that the rows of each device do not depend on the order of the mesh.
            placed = jax.make_array_from_callback(part.shape, sharding, part.__getitem__)
            embedded.append(np.asarray(self._text(self.params, placed)))
            finite = np.isfinite(embedded[-1][: len(texts) - start]).all(axis=1)
            check_finite(finite, self.row.name, lambda n, first=start: f"text {texts[first + n]!r}")
        return np.concatenate(embedded)[: len(texts)]

    def classifier(self, prompts: list[list[str]]) -> Float32[np.ndarray, "K E"]:
        """Embeds the classes of a data set: every prompt normalised, mean over prompts, normalised again.

        Args:
            prompts: K lists of prompts, of equal length T.

        Returns:
            One row per class, L2-normalised.

        Reference:
            CLIP (arXiv 2103.00020), section 3.1.4.
        """
        embedded = self.text([text for texts in prompts for text in texts])
        return np.asarray(normalize_rows(embedded.reshape(len(prompts), -1, embedded.shape[-1]).mean(axis=1)))


def check_finite(finite: Bool[np.ndarray, "n"], model: str, name: Callable[[int], str]) -> None:
    """Stops at embeddings that are not finite, which would count as wrong guesses.

    Args:
        finite: whether each embedding of a batch is.
        model: name of the model.
        name: the name of an input by its number in the batch.

    Raises:
        UserError: one is not.
    """
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise UserError(
            f"{model} embeds {len(bad)} of a batch of {len(finite)} as NaN or infinite, the first is {name(bad[0])}; "
            "its weights or tokens are damaged, or too large for the precision"
        )


def _agreed_layout(batch: Batch) -> tuple[int, bool]:
    """The largest canvas side over all processes, 0 without a canvas, and whether one of them has rendered views."""
    layout = np.array([0 if batch.images is None else batch.images.shape[1], batch.views is not None], np.int32)
    if jax.process_count() > 1:
        layout = multihost_utils.process_allgather(layout).max(axis=0)
    return int(layout[0]), bool(layout[1])


@functools.partial(jax.named_call, name="render_views")
def _views(canvas: Array, stages: Sequence[Sequence[Stage]], rendered: tuple[Array, Array] | None) -> Array:
    views = jnp.stack([render_view(canvas, view) for view in stages], axis=1)
    if rendered is None:
        return views
    done, on_host = rendered
    return jnp.where(on_host[:, None, None, None, None], done, views)
