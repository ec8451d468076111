"""RobustSAM for classification: a class token that reads degraded images, and the modules that train it.

The class token of the backbone is replaced by a learned one, whose output goes through perceptrons before the head of
the backbone. While it is trained, denoising modules turn the patch rows of the degraded image, after the first block
and after the last norm, into what a teacher's modules make of those of the clear image.

Of the paper's two modules a classifier has no mask decoder, so the mask features are left out; that and the sizes below
follow the official LR0.FM code, as does this: the embedding does not use the denoised features, which reach the token
through the loss alone; the teacher's modules are the student's own without the denoising part, as they are at that
step; and new parameters begin as PyTorch's. Two choices are made here: batch norms use the statistics of all degraded
views of the global batch, not of one device, and none are stored, for nothing needs the modules after the training.

Reference: LR0.FM (arXiv 2502.03950), table 4; RobustSAM (arXiv 2406.09627), section 3.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from lrjax.errors import UserError
from lrjax.models.adapter import Adapter
from lrjax.models.spec import ImageSpec, TowerSpec
from lrjax.types import Array, Tree

_CELLS = 4  # per side, of the selection between the two convolutions
_REDUCTION = 16
_EPS = 1e-5


def init_robust_token(spec: ImageSpec, key: Array) -> Tree:
    """Draws the class token and the perceptrons that read it.

    Args:
        spec: the image tower.
        key: random key.

    Returns:
        "class_token" float32 [D] and "readout": five linear layers by number, "kernel" [D, D] and "bias" [D].
    """
    width, (token_key, *keys) = spec.blocks.width, jax.random.split(key, 6)
    return {
        "class_token": 0.02 * jax.random.normal(token_key, (width,)),
        "readout": {str(index): _init(one, (width, width)) for index, one in enumerate(keys)},
    }


@dataclasses.dataclass(frozen=True)
class RobustToken(Adapter):
    """A class token in the place of the backbone's, and what reads its output.

    Attributes:
        tree: of `init_robust_token`.
    """

    name: ClassVar[str] = "robust tokens"

    tree: Tree

    def check(self, spec: TowerSpec) -> None:
        """Refuses a tower without a class token that is read."""
        super().check(spec)
        if not spec.reads_class_token:
            raise UserError(f"{self.name} need a class token from which the embedding is read; use another model")

    def params(self, params: Tree) -> Tree:
        """Replaces the class token."""
        return params | {"class_token": self.tree["class_token"]}

    def pooled(self, x: Float[Array, "B D"]) -> Float[Array, "B D"]:
        """Maps the output of the robust class token to what the head of the backbone takes."""
        row = x.astype(jnp.float32)
        for _ in range(2):  # as in the official code
            row = _normalized(row, (-1,))
        for index in range(5):
            row = _linear(row, self.tree["readout"][str(index)])
            row = jax.nn.relu(row) if index in (0, 2, 3) else row
        return row.astype(x.dtype)


def init_denoisers(spec: ImageSpec, key: Array) -> Tree:
    """Draws the denoising modules of the first and of the last features, "first" and "last".

    Args:
        spec: the image tower.
        key: random key.

    Returns:
        Two trees of float32 arrays.
    """
    first, last = jax.random.split(key)
    return {"first": _init_denoiser(spec.blocks.width, first), "last": _init_denoiser(spec.blocks.width, last)}


def robust_features(
    denoisers: Tree, first: Float[Array, "B G G D"], last: Float[Array, "B G G D"], *, clear: bool
) -> Float32[Array, "B sides sides channels"]:
    """Combines the features of two depths, denoised if the image is not clear.

    Args:
        denoisers: of `init_denoisers`.
        first: patch rows after the first block.
        last: patch rows after the last norm.
        clear: whether the images are the teacher's, which are not denoised.

    Returns:
        Sides of 4 G, D // 8 channels.
    """
    early, late = (
        _denoise(denoisers[name], x.astype(jnp.float32), clear) for name, x in (("first", first), ("last", last))
    )
    return early + late


def _init_denoiser(width: int, key: Array) -> Tree:
    keys = iter(jax.random.split(key, 11))
    cells, squeezed = _CELLS**2 * width, max(1, 2 * width // _REDUCTION)
    return {
        "batch_norm": {"scale": jnp.ones(width), "bias": jnp.zeros(width)},
        "batch": _init(next(keys), (3, 3, width, width), bias=False),
        "instance": _init(next(keys), (3, 3, width, width), bias=False),
        "select": {
            "squeeze": _init(next(keys), (cells, max(1, cells // _REDUCTION)), bias=False),
            "batch": _init(next(keys), (max(1, cells // _REDUCTION), cells)),
            "instance": _init(next(keys), (max(1, cells // _REDUCTION), cells)),
        },
        "attention": {
            "squeeze": _init(next(keys), (2 * width, squeezed)),
            "excite": _init(next(keys), (squeezed, 2 * width)),
        },
        "magnitude": _init(next(keys), (2 * width, 2 * width)),
        "merge": _init(next(keys), (3, 3, 2 * width, width)),
        "double": _init(next(keys), (width, 2, 2, width), fan_in=4 * width),
        "norm": {"scale": jnp.ones(width), "bias": jnp.zeros(width)},
        "double_again": _init(next(keys), (width, 2, 2, width // 8), fan_in=width // 2),
    }


def _init(key: Array, shape: tuple[int, ...], *, bias: bool = True, fan_in: int | None = None) -> Tree:
    """A layer as PyTorch begins it: uniform within 1 / sqrt(fan-in), which for a transposed one counts outputs."""
    kernel_key, bias_key = jax.random.split(key)
    bound = (math.prod(shape[:-1]) if fan_in is None else fan_in) ** -0.5
    layer = {"kernel": jax.random.uniform(kernel_key, shape, jnp.float32, -bound, bound)}
    return layer | ({"bias": jax.random.uniform(bias_key, shape[-1:], jnp.float32, -bound, bound)} if bias else {})


def _denoise(module: Tree, x: Array, clear: bool) -> Array:
    if not clear:
        x = jnp.concatenate([x, _select(module, x)], axis=-1)
        weights = jax.nn.relu(_linear(x.mean(axis=(1, 2)), module["attention"]["squeeze"]))
        x = x * jax.nn.sigmoid(_linear(weights, module["attention"]["excite"]))[:, None, None]
        x = _convolve(_change_magnitude(x, module["magnitude"]), module["merge"])
    x = _affine(_normalized(_double(x, module["double"]), (-1,), 1e-6), module["norm"])
    return _double(jax.nn.gelu(x, approximate=False), module["double_again"])


def _select(module: Tree, x: Array) -> Array:
    """Weighs a convolution behind a batch norm and one behind an instance norm against each other, cell by cell."""
    batch = _convolve(jax.nn.leaky_relu(_affine(_normalized(x, (0, 1, 2)), module["batch_norm"])), module["batch"])
    instance = _convolve(jax.nn.leaky_relu(_normalized(x, (1, 2))), module["instance"])
    side, select = x.shape[1], module["select"]
    means = jnp.asarray(_cell_means(side))
    cells = jnp.einsum("ih,bhwc,jw->bijc", means, batch + instance, means)
    squeezed = jax.nn.relu(_linear(cells.reshape(len(x), -1), select["squeeze"]))
    scores = jnp.stack([_linear(squeezed, select[name]).reshape(cells.shape) for name in ("batch", "instance")])
    nearest = np.arange(side) * _CELLS // side
    share = jax.nn.softmax(scores, axis=0)[:, :, nearest][:, :, :, nearest]
    return batch * share[0] + instance * share[1]


def _cell_means(side: int) -> np.ndarray:
    """[cells, side] weights of PyTorch's adaptive average pooling, whose cells overlap where they do not fit."""
    cells = np.arange(_CELLS)[:, None]
    place = np.arange(side)[None]
    inside = (place >= cells * side // _CELLS) & (place < -(-(cells + 1) * side // _CELLS))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


def _change_magnitude(x: Array, layer: Tree) -> Array:
    """Mixes the channels of the Fourier magnitudes of x [B, H, W, C] and keeps the phases."""
    spectrum = jnp.fft.rfft2(x, axes=(1, 2))
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    some = power > 0
    magnitude = jnp.where(some, jnp.sqrt(jnp.where(some, power, 1.0)), 0.0)
    phase = jnp.where(some, spectrum / jnp.where(some, magnitude, 1.0), 1.0)  # the phase of nothing is 0
    return jnp.fft.irfft2(_linear(magnitude, layer) * phase, s=x.shape[1:3], axes=(1, 2))


def _double(x: Array, layer: Tree) -> Array:
    """Transposed convolution with a kernel of 2 and a stride of 2: [B, H, W, C] to [B, 2 H, 2 W, K]."""
    batch, height, width, _ = x.shape
    x = jnp.einsum("bhwc,cijk->bhiwjk", x, layer["kernel"])
    return _shift(x.reshape(batch, 2 * height, 2 * width, -1), layer["bias"])


def _convolve(x: Array, layer: Tree) -> Array:
    x = jax.lax.conv_general_dilated(x, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return _shift(x, layer["bias"]) if "bias" in layer else x


def _linear(x: Array, layer: Tree) -> Array:
    x = x @ layer["kernel"]
    return _shift(x, layer["bias"]) if "bias" in layer else x


def _shift(x: Array, bias: Array) -> Array:
    return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def _affine(x: Array, layer: Tree) -> Array:
    return _shift(x * layer["scale"].reshape((1,) * (x.ndim - 1) + (-1,)), layer["bias"])


def _normalized(x: Array, axes: tuple[int, ...], eps: float = _EPS) -> Array:
    centred = x - x.mean(axis=axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=axes, keepdims=True) + eps)
