"""Converted weights give the numbers of the PyTorch original, from the patch embedding up to the embeddings."""

from dataclasses import replace

import chex
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from checkpoints_conv import FORMATS, export
from lrjax.models.build import Encoders
from lrjax.models.layers import rope_table, run_blocks
from lrjax.models.zoo import get
from parity_helpers import (
    ATOL,
    assert_bfloat16_is_close,
    assert_close,
    assert_same_embeddings,
    embedded_image,
    first_block,
    hooked,
)
from torch_reference import import_open_clip, randomise


def rope_of(model):
    return jnp.asarray(rope_table(model.image.grid, model.image.rope_width)) if model.image.rope_width else None


def test_patch_embedding(reference):
    with torch.no_grad():
        expected = reference.module.visual.trunk.patch_embed(reference.torch_images).numpy()
    chex.assert_trees_all_close(reference.model.image.patch_embed(jnp.asarray(reference.images)), expected, atol=ATOL)


def test_class_token_and_positions(reference):
    trunk = reference.module.visual.trunk
    expected = hooked(trunk.blocks[:1], lambda: trunk(reference.torch_images), inputs=True)[0]
    chex.assert_trees_all_close(embedded_image(reference), expected, atol=ATOL)


@pytest.mark.parametrize("grid", [14, 16, 24])
def test_rope_table_is_within_one_rounding_of_timm(grid):
    import_open_clip()
    from timm.layers import RotaryEmbeddingCat

    embedding = RotaryEmbeddingCat(64, in_pixels=False, feat_shape=[grid, grid], ref_feat_shape=[16, 16])
    sines, cosines = embedding.get_embed().numpy().reshape(grid**2, 2, 64).swapaxes(0, 1)
    # The angles are equal; PyTorch's vectorised sine is not correctly rounded, ours is (float32 spacing below 1: 6e-8).
    chex.assert_trees_all_close(rope_table(grid, 64), np.stack([cosines, sines]), atol=6e-8, rtol=0)


def test_one_block(reference):
    model, trunk = reference.model, reference.module.visual.trunk
    x = np.random.default_rng(1).normal(size=(2, reference.spec.image.patches + 1, 48)).astype(np.float32)
    rope = trunk.rope.get_embed() if trunk.rope is not None else None
    with torch.no_grad():
        expected = trunk.blocks[0](torch.from_numpy(x), rope=rope).numpy()
    chex.assert_trees_all_close(first_block(model.image.blocks)(jnp.asarray(x), rope_of(model))[0], expected, atol=ATOL)


def test_every_image_block(reference):
    trunk = reference.module.visual.trunk
    expected = hooked(trunk.blocks, lambda: trunk(reference.torch_images))
    features = reference.block_outputs()
    assert features.shape == (3, 3, reference.spec.image.patches + 1, 48)
    chex.assert_trees_all_close(features, expected, atol=ATOL)


def test_image_tower(reference):
    with torch.no_grad():
        expected = reference.module.encode_image(reference.torch_images).numpy()
    chex.assert_trees_all_close(reference.model.image(jnp.asarray(reference.images))["embedding"], expected, atol=ATOL)


def test_every_text_block(reference):
    text, blocks = reference.module.text, reference.module.text.transformer.resblocks
    tokens = torch.from_numpy(reference.tokens).long()
    expected = hooked(blocks, lambda: text(tokens))
    embedded = hooked(blocks[:1], lambda: text(tokens), inputs=True)[0]
    outputs = run_blocks(reference.model.text.blocks, jnp.asarray(embedded), taps=("blocks",))[1]["blocks"]
    chex.assert_trees_all_close(outputs, expected, atol=ATOL)


def test_text_tower(reference):
    with torch.no_grad():
        expected = reference.module.encode_text(torch.from_numpy(reference.tokens).long()).numpy()
    chex.assert_trees_all_close(reference.model.text(jnp.asarray(reference.tokens)), expected, atol=ATOL)


def test_embeddings(reference):
    assert_same_embeddings(reference)


def test_logit_scale_is_identical(reference):
    assert reference.params["logit_scale"] == reference.module.logit_scale.item()
    assert reference.params["logit_scale"].dtype == np.float32


class RmsNorm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class RmsBlock(torch.nn.Module):
    def __init__(self, width, heads, hidden, *, post_norm):
        super().__init__()
        self.heads, self.post_norm = heads, post_norm
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.attn, self.mlp = torch.nn.Module(), torch.nn.Module()
        self.attn.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.attn.proj = torch.nn.Linear(width, width)
        self.mlp.fc1, self.mlp.fc2 = torch.nn.Linear(width, hidden), torch.nn.Linear(hidden, width)

    def attend(self, x):
        batch, rows, width = x.shape
        q, k, v = self.attn.qkv(x).reshape(batch, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(dim=-1)
        return self.attn.proj((weights @ v).transpose(1, 2).reshape(batch, rows, width))

    def transform(self, x):
        return self.mlp.fc2(functional.gelu(self.mlp.fc1(x)))

    def forward(self, x):
        if self.post_norm:
            x = x + self.norm1(self.attend(x))
            return x + self.norm2(self.transform(x))
        x = x + self.attend(self.norm1(x))
        return x + self.transform(self.norm2(x))


class RmsTower(torch.nn.Module):
    """The image tower of EVA-CLIP-8B and 18B under its authors' names: RMSNorm, no bias in qkv, none in the head."""

    def __init__(self, image, *, post_norm):
        super().__init__()
        width = image.blocks.width
        self.cls_token = torch.nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = torch.nn.Parameter(torch.empty(1, image.patches + 1, width))
        self.patch_embed = torch.nn.Module()
        self.patch_embed.proj = torch.nn.Conv2d(3, width, image.patch, stride=image.patch)
        self.blocks = torch.nn.ModuleList(
            RmsBlock(width, image.blocks.heads, image.blocks.hidden, post_norm=post_norm)
            for _ in range(image.blocks.depth)
        )
        self.norm = RmsNorm(width)
        self.head = torch.nn.Linear(width, image.embedding, bias=False)

    def rows(self, images):
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed

    def forward(self, images):
        x = self.rows(images)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


@pytest.fixture(params=["EVA-CLIP-8B", "EVA-CLIP-18B"])
def giant(request, eva02, load_reference, tmp_path):
    row = get(request.param).spec.image
    blocks = replace(row.blocks, width=48, depth=3, heads=2, hidden=80)
    spec = replace(eva02.spec, image=replace(row, size=56, blocks=blocks, embedding=24))
    twin = torch.nn.Module()
    twin.visual = RmsTower(spec.image, post_norm=request.param == "EVA-CLIP-18B")
    twin.text, twin.logit_scale = eva02.module.text, eva02.module.logit_scale
    randomise(twin.visual)
    return load_reference(twin, spec, tmp_path / "model.safetensors")


def test_giants_against_a_torch_twin(giant):
    attention = giant.params["image"]["blocks"]["attention"]
    assert all(attention[name].keys() == {"kernel"} for name in "qkv")
    assert giant.params["image"]["norm"].keys() == {"scale"}
    visual = giant.module.visual
    with torch.no_grad():
        rows, tower = visual.rows(giant.torch_images).numpy(), visual(giant.torch_images)
    chex.assert_trees_all_close(embedded_image(giant), rows, atol=ATOL)
    blocks = hooked(visual.blocks, lambda: visual(giant.torch_images))
    chex.assert_trees_all_close(giant.image_outputs.blocks, blocks, atol=ATOL)
    chex.assert_trees_all_close(giant.image_outputs.tower, tower.numpy(), atol=ATOL)
    embeddings = Encoders(giant.spec).image(giant.params, giant.images)
    assert_close(embeddings, functional.normalize(tower, dim=-1).numpy())


def test_bfloat16_is_within_one_percent_of_float32(eva02):
    assert_bfloat16_is_close(eva02)


PROMPTS = ["a photo of a cat.", "a blurry photo of the Eiffel tower at night.", "graffiti", "x " * 90]


@pytest.mark.slow
def test_full_size_eva02_b_16_and_back(load_reference, tmp_path):
    """All 12 + 12 blocks with random weights; peak memory 2.5 GB."""
    open_clip = import_open_clip()
    spec = get("EVA02-B-16").spec
    module = open_clip.create_model("EVA02-B-16", pretrained=None).eval()
    randomise(module)
    reference = load_reference(module, spec, tmp_path / "model.safetensors")
    tokens = open_clip.get_tokenizer("EVA02-B-16")(PROMPTS).numpy().astype(np.int32)
    reference = replace(reference, images=reference.images[:2], tokens=tokens)
    assert_same_embeddings(reference)

    def embed():
        with torch.no_grad():
            return module.encode_image(reference.torch_images), module.encode_text(torch.from_numpy(tokens).long())

    before = embed()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    exported = export(reference.params, FORMATS["open_clip_eva"].TABLE)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in exported.items()}, strict=True)
    assert all(torch.equal(old, new) for old, new in zip(before, embed(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EVA01-g-14", "EVA02-E-14"])
def test_true_width_at_reduced_depth(name, load_reference, tmp_path, monkeypatch):
    """The giants as open_clip configures them, two blocks per tower and a short vocabulary; peak memory about 3 GB."""
    open_clip = import_open_clip()
    import timm
    from open_clip.model import CustomTextCLIP

    config, create_model = open_clip.get_model_config(name), timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: create_model(*args, depth=2, **kwargs))
    text_config = config["text_cfg"] | {"layers": 2, "vocab_size": 512}
    module = CustomTextCLIP(config["embed_dim"], config["vision_cfg"], text_config).eval()
    randomise(module)
    spec = get(name).spec
    image, text = (replace(tower, blocks=replace(tower.blocks, depth=2)) for tower in (spec.image, spec.text))
    spec = replace(spec, image=image, text=replace(text, vocabulary=512))
    assert_same_embeddings(load_reference(module, spec, tmp_path / "model.safetensors"))
