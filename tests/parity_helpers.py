"""A PyTorch model beside its conversion, and the comparisons of the two that every family shares."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from safetensors.torch import save_file

from checkpoints_conv import FORMATS, export
from lrjax.models.build import Encoders, abstract_params, normalize_rows
from lrjax.models.layers import run_blocks
from lrjax.models.lr_tokens import LrTokens
from lrjax.models.resnet import ResNetTower
from lrjax.models.spec import ModelSpec, ResNetSpec
from lrjax.models.towers import Model
from lrjax.models.zoo import get
from lrjax.weights.checkpoint import load_params
from torch_reference import Family, build_open_clip, randomise, tiny_open_clip

# Embeddings have unit length; activations inside the towers reach ~10, where float32 resolves 1e-6.
ATOL = 1e-5
# Tiny models are compiled much longer than they run.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

ROWS: dict[Family, str] = {
    "clip": "ViT-B-16:datacomp_xl_s13b_b90k",
    "clip_quick": "ViT-B-16:openai",
    "clipa": "ViT-L-14-CLIPA",
    "resnet": "RN50",
    "siglip": "ViT-B-16-SigLIP",
    "coca": "coca_ViT-B-32",
}


@functools.cache
def _graph(spec: ModelSpec) -> nnx.GraphDef:
    return nnx.graphdef(nnx.eval_shape(lambda: Model(spec, rngs=nnx.Rngs(0))))


@dataclass(frozen=True)
class Reference:
    """A PyTorch model, its converted parameters and inputs for both."""

    module: Any
    spec: ModelSpec
    params: dict[str, Any]
    images: np.ndarray  # float32 [B, size, size, 3]
    tokens: np.ndarray  # int32 [B, context]

    @property
    def model(self) -> Model:
        """The JAX model, to reach its parts."""
        return nnx.merge(_graph(self.spec), jax.tree.map(jnp.asarray, self.params))

    def block_outputs(self, lr_tokens: Any = None, params: Any = None) -> jax.Array:
        """The output of every image block, [L, B, N + 1, D], of these or other parameters."""
        model = self.model if params is None else replace(self, params=params).model
        adapters = () if lr_tokens is None else (LrTokens(lr_tokens),)
        return model.image(jnp.asarray(self.images), adapters=adapters, taps=("blocks",))["blocks"]

    @property
    def block_taps(self) -> tuple[str, ...]:
        """Names of the outputs of the blocks, or of the stages of a ResNet."""
        return ("blocks",) if self.spec.image.transformer else ResNetTower.taps

    @cached_property
    def run_image(self) -> Callable[..., "ImageOutputs"]:
        """The image tower as one program of (params, images), because compiling takes most of the time."""

        def total(images, params):
            found = nnx.merge(_graph(self.spec), params).image(images, taps=self.block_taps)
            tower, blocks = found["embedding"], [found[name] for name in self.block_taps]
            blocks = blocks[0] if len(blocks) == 1 else blocks
            return jnp.sum(normalize_rows(tower) * self.weights), (tower, blocks)

        run = quick_jit(jax.grad(total, has_aux=True))

        def outputs(params, images):
            gradient, (tower, blocks) = run(jnp.asarray(images), params)
            return ImageOutputs(tower, blocks, gradient)

        return outputs

    @cached_property
    def image_outputs(self) -> "ImageOutputs":
        return self.run_image(self.params, self.images)

    @property
    def weights(self) -> np.ndarray:
        """How the channels of the embeddings are weighted in the sum whose gradient is compared."""
        shape = len(self.images), self.spec.text.embedding
        return np.random.default_rng(3).normal(size=shape).astype(np.float32)

    @property
    def torch_images(self) -> torch.Tensor:
        return torch.from_numpy(self.images.transpose(0, 3, 1, 2).copy())

    @property
    def torch_tokens(self) -> torch.Tensor:
        return torch.from_numpy(self.tokens).long()


class ImageOutputs(NamedTuple):
    """Embeddings before normalisation, the output of every block, and the gradient with respect to the image."""

    tower: jax.Array
    blocks: Any
    gradient: jax.Array


def make_inputs(spec: ModelSpec, *, images: int = 3, texts: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws images, and token rows whose end of text, the highest id, stands at different places before padding."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(size=(images, spec.image.size, spec.image.size, 3))
    pixels = (pixels + 2 * generator.normal(size=(images, 1, 1, 3))).astype(np.float32)  # one tint per image
    tokens = generator.integers(1, spec.text.vocabulary - 1, (texts, spec.text.context), dtype=np.int32)
    for row, end in enumerate(np.linspace(2, spec.text.context - 1, texts).astype(int)):
        tokens[row, end], tokens[row, end + 1 :] = spec.text.vocabulary - 1, 0
    return pixels, tokens


def convert_module(module: torch.nn.Module, spec: ModelSpec, path: Any) -> dict[str, Any]:
    """Writes the state dict of a module as safetensors and loads that file as users do."""
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    row = replace(get("EVA02-embedded"), architecture="tiny", spec=spec)
    return load_params(row, path, target=abstract_params(spec))


def tiny_open_clip_spec(family: Family) -> ModelSpec:
    """Shrinks the row of the zoo that `tiny_open_clip` stands for, so that all but the sizes is the row's own."""
    spec = get(ROWS[family]).spec
    embedding = 48 if family == "siglip" else 24
    if isinstance(spec.image, ResNetSpec):
        image = replace(spec.image, size=64, layers=(3, 2, 4, 2), width=16, heads=8, embedding=embedding)
    else:
        pool = {"map": {"pool_heads": 2}, "query": {"queries": 5}}.get(spec.image.pool, {})
        blocks = replace(spec.image.blocks, width=48, depth=3, heads=2, hidden=192)
        image = replace(spec.image, size=32, patch=8, blocks=blocks, embedding=embedding, **pool)
    blocks = replace(spec.text.blocks, width=32, depth=2, heads=4, hidden=128)
    text = replace(spec.text, context=12, vocabulary=96, blocks=blocks, embedding=embedding)
    return replace(spec, image=image, text=text)


def make_open_clip_reference(family: Family, path: Path) -> Reference:
    """Builds a tiny open_clip model of a family and converts it through a safetensors file."""
    module, spec = tiny_open_clip(family), tiny_open_clip_spec(family)
    return Reference(module, spec, convert_module(module, spec, path), *make_inputs(spec))


def hooked(modules, call, *, inputs=False):
    """Returns what a call sends through every module: the outputs, or the first inputs."""
    seen = []
    handles = [
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0].numpy()))
        if inputs
        else module.register_forward_hook(lambda _, args, output: seen.append(output.numpy()))
        for module in modules
    ]
    with torch.no_grad():
        call()
    for handle in handles:
        handle.remove()
    return seen if len({one.shape for one in seen}) > 1 else np.stack(seen)


def first_block(stacked):
    graph, parameters = nnx.split(stacked)
    return nnx.merge(graph, jax.tree.map(lambda leaf: leaf[0], parameters))


def embedded_image(reference):
    """The rows that enter the first image block."""
    # Blocks whose parameters are all zero add nothing, so the first block's output is the embedding.
    image = reference.params["image"]
    params = {**reference.params, "image": {**image, "blocks": jax.tree.map(jnp.zeros_like, image["blocks"])}}
    return reference.run_image(params, reference.images).blocks[0]


def assert_close(embeddings, expected, atol=ATOL):
    assert np.ptp(expected, axis=0).max() > 0.01, "inputs all have the same embedding: the comparison proves nothing"
    chex.assert_trees_all_close(np.linalg.norm(embeddings, axis=-1), np.ones(len(expected)), atol=1e-6)
    chex.assert_trees_all_close(embeddings, expected, atol=atol, rtol=0)


def torch_embeddings(reference):
    """The L2-normalised embeddings of images and texts by PyTorch."""
    with torch.no_grad():
        image = reference.module.encode_image(reference.torch_images, normalize=True).numpy()
        text = reference.module.encode_text(reference.torch_tokens, normalize=True).numpy()
    return image, text


def assert_same_embeddings(reference):
    """Compares the L2-normalised embeddings of both towers, as one jitted program each."""
    encoders = Encoders(reference.spec)
    image, text = torch_embeddings(reference)
    assert_close(jax.jit(encoders.image)(reference.params, reference.images), image)
    assert_close(jax.jit(encoders.text)(reference.params, reference.tokens), text)


def assert_same_image_embeddings_and_gradient(reference):
    """Compares embeddings, and the gradients of a weighted sum of channels with respect to the image."""
    images = reference.torch_images.requires_grad_()
    embeddings = reference.module.encode_image(images, normalize=True)
    (embeddings * torch.from_numpy(reference.weights)).sum().backward()
    expected = images.grad.numpy().transpose(0, 2, 3, 1)

    found = reference.image_outputs
    assert_close(normalize_rows(found.tower), embeddings.detach().numpy())
    chex.assert_trees_all_close(found.gradient, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def assert_bfloat16_is_close(reference):
    """Compares bfloat16 with PyTorch's float32 by the cosine distance."""
    encoders = Encoders(reference.spec, jnp.bfloat16)
    found = (
        quick_jit(encoders.image)(reference.params, reference.images),
        quick_jit(encoders.text)(reference.params, reference.tokens),
    )
    for exact, rough in zip(torch_embeddings(reference), found, strict=True):
        assert rough.dtype == jnp.float32
        distance = 1 - np.sum(exact * np.asarray(rough), axis=-1)
        assert 1e-7 < distance.max() < 0.01


def assert_same_text(reference, text, blocks, *, mask=None):
    """Compares every text block, given PyTorch's input of the first one, and the normalised text embeddings."""
    with torch.no_grad():
        embeddings = reference.module.encode_text(reference.torch_tokens, normalize=True).numpy()
    embedded = hooked(blocks[:1], lambda: text(reference.torch_tokens), inputs=True)[0]
    expected = hooked(blocks, lambda: text(reference.torch_tokens))
    run = quick_jit(lambda x: run_blocks(reference.model.text.blocks, x, mask=mask, taps=("blocks",))[1]["blocks"])
    chex.assert_trees_all_close(run(embedded), expected, atol=ATOL)
    assert_close(quick_jit(Encoders(reference.spec).text)(reference.params, reference.tokens), embeddings)


def assert_exports_to(reference, layout, *, left_out="text_decoder."):
    """Loads the exported parameters into a second PyTorch model, which then computes the same bits."""
    exported = export(reference.params, FORMATS[layout].TABLE)
    state = reference.module.state_dict()
    rest = {key: value for key, value in state.items() if key.startswith(left_out)}
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    assert exported.keys() == state.keys() - rest.keys() - counters
    for key, value in exported.items():
        np.testing.assert_array_equal(value, state[key].numpy(), strict=True, err_msg=key)
    before = torch_embeddings(reference)
    with torch.no_grad():
        for parameter in reference.module.state_dict().values():
            parameter.zero_()
    loaded = {key: torch.from_numpy(value) for key, value in exported.items()}
    reference.module.load_state_dict(loaded | rest, strict=True)
    for old, new in zip(before, torch_embeddings(reference), strict=True):
        np.testing.assert_array_equal(old, new)


def assert_same_at_full_size(name, layout, tokens, path, *, quick_gelu=None, depth=None):
    """Compares a published architecture with random weights, and its export with the file it came from.

    PyTorch's model, its parameters in JAX and their export are never in memory all together.

    Args:
        name: row of the zoo.
        layout: of the file.
        tokens: int [2, context].
        path: where the file is written.
        quick_gelu: as in `build_open_clip`.
        depth: blocks of the image tower, where all of them would take too much memory.
    """
    row, changes = get(name), {}
    spec = row.spec
    if depth is not None:
        image = replace(spec.image, blocks=replace(spec.image.blocks, depth=depth))
        spec, changes = replace(spec, image=image), {"vision_cfg": {"layers": depth}}
    images, tokens = make_inputs(spec, images=2)[0], np.asarray(tokens, np.int32)
    inputs = Reference(None, spec, {}, images, tokens)
    expected, digests = _written(inputs, path, row.architecture, quick_gelu=quick_gelu, **changes)
    params = load_params(replace(row, spec=spec), path, target=abstract_params(spec))
    encoders = Encoders(spec)
    assert_close(jax.jit(encoders.image)(params, images), expected[0])
    assert_close(jax.jit(encoders.text)(params, tokens), expected[1])
    jax.clear_caches()
    assert {key: _digest(value) for key, value in export(params, FORMATS[layout].TABLE).items()} == digests


def _written(inputs, path, architecture, **changes):
    """Writes random weights of an architecture; their embeddings, and a digest of every tensor that JAX reads."""
    module = build_open_clip(architecture, **changes)
    randomise(module)
    state = {key: value for key, value in module.state_dict().items() if not key.startswith("text_decoder.")}
    save_file(state, path)
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    digests = {key: _digest(value.numpy()) for key, value in state.items() if key not in counters}
    return torch_embeddings(replace(inputs, module=module)), digests


def _digest(array):
    """Shape, type and bytes."""
    return array.shape, array.dtype.str, hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
