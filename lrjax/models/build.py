"""Functional core: pure functions of parameter trees, built from a spec without allocating anything."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from lrjax.models.lr_tokens import check_lr_tokens
from lrjax.models.spec import ModelSpec
from lrjax.models.towers import ImageTower, Model
from lrjax.types import Array, Tree


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


def normalize_rows(x: Array) -> Array:
    """L2-normalises the last axis in float32."""
    x = x.astype(jnp.float32)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def similarities(a: Array, b: Array) -> Array:
    """Multiplies rows with rows in float32 on every device and in every precision: near ties need all the digits.

    Args:
        a: float [..., N, E].
        b: float [K, E].

    Returns:
        float32 [..., N, K]: the product of each row of `a` with each of `b`.
    """
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def exact_products(dtype: jnp.dtype) -> AbstractContextManager:
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
    dtype: jnp.dtype = jnp.float32
    mesh: Mesh | None = None

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        mesh = nullcontext() if self.mesh is None else jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh)
        with mesh, exact_products(self.dtype):
            yield

    def _merge(self, params: Tree) -> Model:
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, self.dtype), params)
        return nnx.merge(_abstract(self.spec)[0], cast)

    def image(
        self,
        params: Tree,
        images: Array,
        lr_tokens: Array | None = None,
        *,
        prompts: Array | None = None,
        robust_token: Tree | None = None,
        remat: str = "none",
    ) -> Array:
        """Embeds normalised images.

        Args:
            params: parameter tree of the spec.
            images: float [B, size, size, 3], normalised with the mean and deviation of the backbone.
            lr_tokens: float [L + 1, N, D], or None for the vanilla model.
            prompts: float [P, D], or None, see `ImageTower`.
            robust_token: of `init_robust_token`, or None for the class token of the backbone.
            remat: what the backward pass recomputes, see `run_blocks`.

        Returns:
            float32 [B, E], L2-normalised.

        Raises:
            UserError: the tokens are not those of the spec.
        """
        check_lr_tokens(self.spec.image, lr_tokens)
        model, images = self._merge(params), jnp.asarray(images, self.dtype)
        with self._tracing():
            given = {"lr_tokens": lr_tokens, "prompts": prompts, "robust_token": robust_token, "remat": remat}
            return normalize_rows(model.image(images, **given)[0])

    def image_and_patches(
        self, params: Tree, images: Array, lr_tokens: Array | None = None, **options: Any
    ) -> tuple[Array, Array, Array]:
        """Embeds normalised images, and returns their patch rows after the first block and after the last norm.

        Args:
            params: as in `image`, as are `images` and `lr_tokens`.
            **options: those of `image`.

        Returns:
            float32 [B, E], L2-normalised, and twice [B, G, G, D].

        Raises:
            UserError: as `image`.
        """
        check_lr_tokens(self.spec.image, lr_tokens)
        model, images, grid = self._merge(params), jnp.asarray(images, self.dtype), self.spec.image.grid
        with self._tracing():
            tower = model.image
            assert isinstance(tower, ImageTower), "a ResNet has no patch rows"
            embeddings, outputs = tower(images, lr_tokens=lr_tokens, features=True, **options)
            assert outputs is not None
            first, last = (
                rows[:, -(grid**2) :].reshape(len(rows), grid, grid, -1) for rows in (outputs[0], outputs[-1])
            )
            return normalize_rows(embeddings), first, tower.norm(last)

    def text(self, params: Tree, tokens: Array) -> Array:
        """Embeds token ids, int32 [B, context], as float32 [B, E], L2-normalised."""
        model = self._merge(params)
        with self._tracing():
            return normalize_rows(model.text(tokens, dtype=self.dtype))
