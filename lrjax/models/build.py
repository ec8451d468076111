"""Functional core: pure functions of parameter trees, built from a spec without allocating anything."""

import dataclasses
import functools
import math
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Float, Float32, Int

from lrjax.errors import UserError
from lrjax.models.adaptation import adapters_of
from lrjax.models.spec import ModelSpec
from lrjax.models.towers import Model
from lrjax.types import Array, ArrayLike, Tree


@functools.cache
def _abstract(spec: ModelSpec) -> tuple[nnx.GraphDef, Tree]:
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(spec, rngs=nnx.Rngs(0))))
    return graph, nnx.to_pure_dict(state)


def abstract_params(spec: ModelSpec) -> Tree:
    """Returns the parameter tree of a spec with `jax.ShapeDtypeStruct` leaves; nothing is allocated."""
    return _abstract(spec)[1]


def init_params(spec: ModelSpec, seed: int) -> Tree:
    """Returns freshly initialised float32 parameters of a spec as a nested dictionary."""

    @jax.jit
    def create() -> Tree:
        return nnx.to_pure_dict(nnx.state(Model(spec, rngs=nnx.Rngs(seed))))

    return create()


def count_params(tree: Tree) -> int:
    """Returns the number of parameters of a tree of arrays or abstract arrays; batch norm statistics are none."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return sum(math.prod(leaf.shape) for path, leaf in leaves if path[-1].key not in ("mean", "variance"))


def normalize_rows(x: Float[ArrayLike, "*rows E"]) -> Float32[Array, "*rows E"]:
    """L2-normalises the last axis in float32."""
    x = jnp.asarray(x, jnp.float32)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def similarities(a: Float[Array, "*rows E"], b: Float[ArrayLike, "K E"]) -> Float32[Array, "*rows K"]:
    """Multiplies rows with rows in float32 on every device and in every precision: near ties need all the digits.

    Args:
        a: rows.
        b: rows.

    Returns:
        The product of each row of `a` with each of `b`.
    """
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def exact_products(dtype: DTypeLike) -> AbstractContextManager:
    """A context in which products are traced; those of float32 are computed in float32 on every device.

    Unless told so, a TPU rounds the factors to bfloat16 and an NVIDIA GPU to TF32.

    Args:
        dtype: compute dtype. With another one than float32 products remain as jax is configured.
    """
    return jax.default_matmul_precision("highest") if jnp.dtype(dtype) == jnp.float32 else nullcontext()


@dataclasses.dataclass(frozen=True)
class Encoders:
    """The two encoders of a spec as pure functions of its parameter tree.

    Attributes:
        spec: the model.
        dtype: compute dtype of activations and matrix products; norms and softmax are computed in float32.
        mesh: devices over whose axis "data" the blocks keep the batch spread; None leaves the layout to the compiler.
    """

    spec: ModelSpec
    dtype: DTypeLike = jnp.float32
    mesh: Mesh | None = None

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        mesh = nullcontext() if self.mesh is None else jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh)
        with mesh, exact_products(self.dtype):
            yield

    def _merge(self, params: Tree) -> Model:
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, self.dtype), params)
        return nnx.merge(_abstract(self.spec)[0], cast)

    def apply(
        self,
        params: Tree,
        images: Float[ArrayLike, "B size size 3"],
        adaptation: Tree | None = None,
        *,
        taps: Collection[str] = (),
        remat: str = "none",
    ) -> dict[str, Array]:
        """Embeds normalised images, and gives what is computed on the way.

        Args:
            params: parameter tree of the spec.
            images: normalised with the mean and deviation of the backbone.
            adaptation: what was trained for the backbone, see `adaptation.ADAPTERS`; None for the vanilla model.
            taps: which of the `taps` of the tower are given, see `ImageTower` and `ResNetTower`.
            remat: what the backward pass recomputes, see `run_blocks`.

        Returns:
            "embedding", float32 [B, E], L2-normalised, and the taps.

        Raises:
            UserError: the adaptation is not one for the spec, or the tower has no such tap.
        """
        adapters = adapters_of(adaptation)
        for adapter in adapters:
            adapter.check(self.spec.image)
            params = params | {"image": adapter.params(params["image"])}
        tower, images = self._merge(params).image, jnp.asarray(images, self.dtype)
        if unknown := set(taps) - {*tower.taps}:
            raise UserError(f"the image tower has no tap {sorted(unknown)[0]!r}; use {', '.join(tower.taps)}")
        with self._tracing():
            found = tower(images, adapters=adapters, taps=taps, remat=remat)
            return found | {"embedding": normalize_rows(found["embedding"])}

    def image(
        self,
        params: Tree,
        images: Float[ArrayLike, "B size size 3"],
        adaptation: Tree | None = None,
        *,
        remat: str = "none",
    ) -> Float32[Array, "B E"]:
        """Embeds normalised images, as `apply` does; the embeddings are L2-normalised."""
        return self.apply(params, images, adaptation, remat=remat)["embedding"]

    def text(self, params: Tree, tokens: Int[ArrayLike, "B context"]) -> Float32[Array, "B E"]:
        """Embeds token ids.

        Args:
            params: parameter tree of the spec.
            tokens: of the tokenizer.

        Returns:
            Embeddings, L2-normalised.

        Raises:
            UserError: there is no text tower.
        """
        tower = self._merge(params).text
        if tower is None:
            raise UserError("the model has no text tower, so that texts have no embeddings; use one that has")
        with self._tracing():
            return normalize_rows(tower(jnp.asarray(tokens), dtype=self.dtype))
