from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from safetensors.torch import save_file

from lrjax.checkpoint import load_params
from lrjax.models.build import abstract_params
from lrjax.models.spec import ModelSpec
from lrjax.models.towers import Model
from lrjax.models.zoo import get
from torch_reference import Kind, TinySizes, tiny_eva

ROWS: dict[Kind, str] = {"eva02": "EVA02-B-16", "eva01": "EVA01-g-14", "eva_e": "EVA02-E-14"}


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
        graph = nnx.graphdef(nnx.eval_shape(lambda: Model(self.spec, rngs=nnx.Rngs(0))))
        return nnx.merge(graph, jax.tree.map(jnp.asarray, self.params))

    @property
    def torch_images(self) -> torch.Tensor:
        return torch.from_numpy(self.images.transpose(0, 3, 1, 2).copy())


def tiny_spec(sizes: TinySizes) -> ModelSpec:
    """Shrinks the row of the zoo that a tiny reference stands for, so that all but the sizes is the row's own."""
    spec = get(ROWS[sizes.kind]).spec
    image_blocks = replace(
        spec.image.blocks, width=sizes.width, depth=sizes.depth, heads=sizes.heads, hidden=sizes.mlp_width
    )
    text_blocks = replace(
        spec.text.blocks,
        width=sizes.text_width,
        depth=sizes.text_depth,
        heads=sizes.text_heads,
        hidden=sizes.text_mlp_width,
    )
    return ModelSpec(
        image=replace(spec.image, size=sizes.image_size, patch=sizes.patch, blocks=image_blocks, embedding=sizes.embed),
        text=replace(
            spec.text, context=sizes.context, vocabulary=sizes.vocab, blocks=text_blocks, embedding=sizes.embed
        ),
    )


def convert_module(module: torch.nn.Module, spec: ModelSpec, path: Any) -> dict[str, Any]:
    """Writes the state dict of a module as safetensors and loads that file as users do."""
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return load_params(SimpleNamespace(name="tiny"), path, target=abstract_params(spec))


def make_inputs(spec: ModelSpec, *, images: int = 3, texts: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws images, and token rows whose end of text, the highest id, stands at different places before padding."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(size=(images, spec.image.size, spec.image.size, 3)).astype(np.float32)
    tokens = generator.integers(1, spec.text.vocabulary - 1, (texts, spec.text.context), dtype=np.int32)
    for row, end in enumerate(np.linspace(2, spec.text.context - 1, texts).astype(int)):
        tokens[row, end], tokens[row, end + 1 :] = spec.text.vocabulary - 1, 0
    return pixels, tokens


def make_reference(kind: Kind, path: Any) -> Reference:
    """Builds a tiny open_clip reference and converts it through a safetensors file."""
    module, sizes = tiny_eva(kind)
    spec = tiny_spec(sizes)
    return Reference(module, spec, convert_module(module, spec, path), *make_inputs(spec))


@pytest.fixture(scope="session", params=sorted(ROWS))
def reference(request, tmp_path_factory):
    return make_reference(request.param, tmp_path_factory.mktemp(request.param) / "model.safetensors")


@pytest.fixture(scope="session")
def eva02(tmp_path_factory):
    return make_reference("eva02", tmp_path_factory.mktemp("eva02") / "model.safetensors")


@pytest.fixture(scope="session")
def load_reference():
    """Converts a PyTorch module of a given spec: a function of (module, spec, path)."""

    def load(module: torch.nn.Module, spec: ModelSpec, path: Any) -> Reference:
        return Reference(module, spec, convert_module(module, spec, path), *make_inputs(spec))

    return load
