"""CLIP's modified ResNet: a convolutional stem, bottlenecks that pool instead of striding, attention pooling."""

from collections.abc import Collection, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from lrjax.models.adapter import Adapter
from lrjax.models.layers import CrossAttention
from lrjax.models.spec import ResNetSpec
from lrjax.models.tower import Tower
from lrjax.types import Array


class Convolution(nnx.Module):
    """Convolution without a bias, then batch norm with stored statistics.

    The two are one affine map, so the norm is folded into the kernel and costs no pass over the features.
    """

    def __init__(self, inputs: int, outputs: int, side: int, *, eps: float, stride: int = 1, rngs: nnx.Rngs):
        self.eps, self.stride = eps, stride
        initializer = nnx.initializers.he_normal(in_axis=(0, 1, 2))
        self.kernel = nnx.Param(initializer(rngs.params(), (side, side, inputs, outputs)))
        self.scale, self.variance = nnx.Param(jnp.ones((outputs,))), nnx.Param(jnp.ones((outputs,)))
        self.bias, self.mean = nnx.Param(jnp.zeros((outputs,))), nnx.Param(jnp.zeros((outputs,)))

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B _ _ channels"]:
        """Maps features to features, fewer by the stride; the border is padded with zeros."""
        kernel, scale, variance, bias, mean = (
            value[...].astype(jnp.float32) for value in (self.kernel, self.scale, self.variance, self.bias, self.mean)
        )
        factor = scale * jax.lax.rsqrt(variance + self.eps)
        margin = kernel.shape[0] // 2
        out = jax.lax.conv_general_dilated(
            x,
            (kernel * factor[None, None, None]).astype(x.dtype),
            window_strides=(self.stride, self.stride),
            padding=((margin, margin), (margin, margin)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return out + (bias - mean * factor).astype(x.dtype)[None, None, None]


def _average(x: Float[Array, "B H W C"], side: int) -> Float[Array, "B _ _ C"]:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // side, side, width // side, side, channels).mean(axis=(2, 4))


class Bottleneck(nnx.Module):
    """Three convolutions beside a shortcut; where it shrinks, an average pool stands before the last convolution."""

    def __init__(self, inputs: int, width: int, stride: int, *, eps: float, rngs: nnx.Rngs):
        self.stride = stride
        self.conv1 = Convolution(inputs, width, 1, eps=eps, rngs=rngs)
        self.conv2 = Convolution(width, width, 3, eps=eps, rngs=rngs)
        self.conv3 = Convolution(width, 4 * width, 1, eps=eps, rngs=rngs)
        self.shortcut = Convolution(inputs, 4 * width, 1, eps=eps, rngs=rngs) if inputs != 4 * width else None

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B _ _ _"]:
        out = jax.nn.relu(self.conv2(jax.nn.relu(self.conv1(x))))
        if self.stride > 1:
            out, x = _average(out, self.stride), _average(x, self.stride)
        return jax.nn.relu(self.conv3(out) + (x if self.shortcut is None else self.shortcut(x)))


class Stage(nnx.Module):
    """A bottleneck that changes the shape, and equal ones after it, stacked on a depth axis and scanned."""

    def __init__(self, inputs: int, width: int, depth: int, stride: int, *, eps: float, rngs: nnx.Rngs):
        @nnx.split_rngs(splits=depth - 1)
        @nnx.vmap(in_axes=0, out_axes=0)
        def stack(rngs: nnx.Rngs) -> Bottleneck:
            return Bottleneck(4 * width, width, 1, eps=eps, rngs=rngs)

        self.first = Bottleneck(inputs, width, stride, eps=eps, rngs=rngs)
        self.rest = stack(rngs)

    def __call__(self, x: Float[Array, "B H W C"], *, remat: str = "none") -> Float[Array, "B _ _ _"]:
        graph, parameters = nnx.split(self.rest)

        def step(x: Array, parameters: nnx.State) -> tuple[Array, None]:
            return nnx.merge(graph, parameters)(x), None

        return jax.lax.scan(step if remat == "none" else jax.checkpoint(step), self.first(x), parameters)[0]


class ResNetTower(Tower):
    """Image tower of CLIP's RN models.

    Reference: CLIP (arXiv 2103.00020), section 2.4.
    """

    taps: ClassVar[tuple[str, ...]] = ("stage1", "stage2", "stage3", "stage4")

    def __init__(self, spec: ResNetSpec, *, rngs: nnx.Rngs):
        width, eps = spec.width, spec.eps
        self.stem1 = Convolution(3, width // 2, 3, eps=eps, stride=2, rngs=rngs)
        self.stem2 = Convolution(width // 2, width // 2, 3, eps=eps, rngs=rngs)
        self.stem3 = Convolution(width // 2, width, 3, eps=eps, rngs=rngs)
        inputs = width
        for number, depth in enumerate(spec.layers):
            channels = width * 2**number
            stage = Stage(inputs, channels, depth, 1 if number == 0 else 2, eps=eps, rngs=rngs)
            setattr(self, f"stage{number + 1}", stage)
            inputs = 4 * channels
        self.position = nnx.Param(nnx.initializers.normal(inputs**-0.5)(rngs.params(), (spec.rows, inputs)))
        self.pool = CrossAttention(inputs, inputs, spec.heads, output=spec.embedding, rngs=rngs)

    def __call__(
        self,
        images: Float[Array, "B size size 3"],
        *,
        adapters: Sequence[Adapter] = (),
        taps: Collection[str] = (),
        remat: str = "none",
    ) -> dict[str, Array]:
        """Encodes normalised images; there are no adapters for it.

        Args:
            images: as for `Tower`, as are `adapters`.
            taps: "stage1" to "stage4", the outputs of the stages, [B, H, W, C].
            remat: anything but "none" recomputes bottlenecks in the backward pass.
        """
        x, found = images, {}
        for convolution in (self.stem1, self.stem2, self.stem3):
            x = jax.nn.relu(convolution(x))
        x = _average(x, 2)
        for name in self.taps:
            x = found[name] = getattr(self, name)(x, remat=remat)
        rows = x.reshape(x.shape[0], -1, x.shape[-1])
        rows = jnp.concatenate([rows.mean(axis=1, keepdims=True), rows], axis=1)
        rows = rows + self.position[...][None].astype(x.dtype)
        return {"embedding": self.pool(rows[:, :1], rows)[:, 0]} | {name: found[name] for name in taps}
