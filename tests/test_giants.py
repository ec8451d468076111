"""The largest backbone, spread over eight devices: compiled from shapes alone, without a single parameter in memory."""

import math
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from lrjax.models import zoo
from lrjax.models.build import Encoders, abstract_params
from lrjax.sharding import FSDP, batch_sharding, make_mesh, put_batch, tree_shardings

DEVICES = 8


def at_depth(spec, depth):
    image, text = (replace(tower, blocks=replace(tower.blocks, depth=depth)) for tower in (spec.image, spec.text))
    return replace(spec, image=image, text=text)


def compiled(spec, tower, *, batch=64):
    """The forward pass of a tower for parameters that FSDP spreads, and the bytes of these parameters on a device."""
    mesh = make_mesh(DEVICES)
    params = abstract_params(spec)
    params = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        params,
        tree_shardings(params, mesh, FSDP),
    )
    shapes = {"image": (batch, spec.image.size, spec.image.size, 3), "text": (batch, spec.text.context)}
    dtype = {"image": jnp.float32, "text": jnp.int32}[tower]
    inputs = jax.ShapeDtypeStruct(shapes[tower], dtype, sharding=batch_sharding(mesh))
    embed = jax.jit(getattr(Encoders(spec, mesh=mesh), tower), out_shardings=batch_sharding(mesh))
    own = sum(4 * math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in jax.tree.leaves(params[tower]))
    return embed.lower(params, inputs).compile(), own, 4 * math.prod(shapes[tower]) // DEVICES


@pytest.mark.parametrize("depth", [2, None])
@pytest.mark.parametrize("tower", ["image", "text"])
def test_the_18b_forward_compiles_spread_over_eight_devices(tower, depth):
    spec = zoo.get("EVA-CLIP-18B").spec
    spec = spec if depth is None else at_depth(spec, depth)
    program, own, inputs = compiled(spec, tower)
    memory = program.memory_analysis()
    total = sum(4 * leaf.size for leaf in jax.tree.leaves(abstract_params(spec)[tower]))
    assert total / DEVICES <= own < 1.03 * total / DEVICES
    assert memory.argument_size_in_bytes == pytest.approx(own + inputs, rel=1e-3)
    # Gathered at a time are the parameters of one block, and of the last one, which is computed apart; not the stack.
    block = 4 * sum(leaf.size // leaf.shape[0] for leaf in jax.tree.leaves(abstract_params(spec)[tower]["blocks"]))
    assert memory.temp_size_in_bytes < 3 * block
    assert "all-reduce(" not in program.as_text()


def test_blocks_compute_a_part_of_the_batch_with_the_whole_of_each_kernel():
    program, *_ = compiled(at_depth(zoo.get("EVA-CLIP-18B").spec, 2), "image")
    gathered = re.findall(r"= f32\[([\d,]+)\]\S* all-gather\(", program.as_text())
    assert set(gathered) == {"5120,5120", "5120,25600", "25600,5120", "588,5120", "5120,1536"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EVA02-embedded", "ViT-B-16-SigLIP"])
def test_spread_parameters_give_the_same_embeddings(name):
    spec = at_depth(zoo.get(name).spec, 1)
    narrow = replace(spec.image.blocks, width=128, heads=2, hidden=256)
    heads = min(spec.image.pool_heads, 2)
    image = replace(spec.image, size=32, patch=16, blocks=narrow, embedding=128, pool_heads=heads)
    text = replace(spec.text, vocabulary=64, blocks=replace(spec.text.blocks, width=128, heads=2), embedding=128)
    spec, mesh, generator = replace(spec, image=image, text=text), make_mesh(DEVICES), np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(0, 0.1, leaf.shape).astype(np.float32), abstract_params(spec))
    batch = {
        "image": generator.normal(size=(DEVICES, 32, 32, 3)).astype(np.float32),
        "text": generator.integers(1, 64, (DEVICES, spec.text.context)).astype(np.int32),
    }
    spread, placed = tiny.place_tree(params, mesh, FSDP), put_batch(batch, mesh)
    for tower in ("image", "text"):
        expected = jax.jit(getattr(Encoders(spec), tower))(params, batch[tower])
        found = jax.jit(getattr(Encoders(spec, mesh=mesh), tower))(spread, placed[tower])
        np.testing.assert_allclose(found, expected, atol=2e-5)
