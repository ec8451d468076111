"""Resampled position tables against PyTorch and SciPy, and through the loader against open_clip."""

import copy
import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scipy.ndimage
import torch
from safetensors.torch import save_file

import foreign_models
from checkpoints_conv.positions import resample_positions, resize_matrix
from lrjax.errors import UserError
from lrjax.models import zoo
from lrjax.models.build import abstract_params
from lrjax.weights.checkpoint import load_params
from tiny import save_params
from torch_reference import import_open_clip, original_eva_keys, tiny_eva, tiny_open_clip

SIZES = [(7, 12), (14, 24), (16, 16), (24, 14), (13, 5), (5, 2), (3, 7), (2, 9), (9, 1)]


def draw(rows, width=6, dtype=np.float32):
    return np.random.default_rng(rows).normal(size=(rows, width)).astype(dtype)


def interpolate(table, grid, prefix, antialias):
    cells = torch.from_numpy(table[prefix:]).double()
    side = round(len(cells) ** 0.5)
    cells = cells.T.reshape(1, -1, side, side)
    resized = torch.nn.functional.interpolate(
        cells, size=(grid, grid), mode="bicubic", antialias=antialias, align_corners=False
    )
    return np.concatenate([table[:prefix], resized[0].flatten(1).T.numpy()])


@pytest.mark.parametrize("prefix", [0, 1, 3])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_bicubic_is_that_of_torch(old, new, antialias, prefix):
    table = draw(prefix + old**2, dtype=np.float64)
    found = resample_positions(table, new, prefix=prefix, kernel="bicubic_antialias" if antialias else "bicubic")
    np.testing.assert_allclose(found, interpolate(table, new, prefix, antialias), atol=1e-13)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_linear_corners_is_the_zoom_of_scipy(old, new):
    table = draw(old**2, dtype=np.float64)
    found = resample_positions(table, new, prefix=0, kernel="linear_corners")
    expected = scipy.ndimage.zoom(table.reshape(old, old, -1), (new / old, new / old, 1), order=1)
    np.testing.assert_allclose(found, expected.reshape(new * new, -1), atol=1e-13)


def test_weights_by_hand():
    # Keys' cubic a quarter of a sample off: W(1.25), W(0.25), W(0.75), W(1.75)
    plain = resize_matrix(6, 12, "bicubic")
    np.testing.assert_array_equal(plain[5, 1:5], [-0.10546875, 0.87890625, 0.26171875, -0.03515625])
    np.testing.assert_allclose(plain[0, :2], [-0.03515625 + 0.26171875 + 0.87890625, -0.10546875])
    wide = resize_matrix(6, 12, "bicubic_antialias")
    np.testing.assert_allclose(wide[5, 1:5], [-0.0703125, 0.8671875, 0.2265625, -0.0234375])
    np.testing.assert_allclose(wide[0, :2], np.asarray([0.8671875, -0.0703125]) / 0.796875)


def test_an_equal_size_changes_nothing():
    table = draw(17)
    for kernel in ("bicubic", "bicubic_antialias", "linear_corners"):
        assert resample_positions(table, 4, prefix=1, kernel=kernel) is table


def test_the_dtype_is_kept_and_mistakes_are_named():
    assert resample_positions(draw(17, dtype=np.float16), 3, prefix=1, kernel="bicubic").dtype == np.float16
    with pytest.raises(ValueError, match="17 rows are not 0 and a square grid"):
        resample_positions(draw(17), 3, prefix=0, kernel="bicubic")
    with pytest.raises(ValueError, match="'nearest'"):
        resample_positions(draw(16), 3, prefix=0, kernel="nearest")


@pytest.fixture
def tiny(monkeypatch):
    row = foreign_models.tiny_row("clip_quick")
    monkeypatch.setitem(zoo.BACKBONES, row.name, row)
    return row


def save(module, path):
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return path


def test_another_size_is_that_of_open_clip(tiny, tmp_path):
    small = tiny_open_clip("clip_quick")
    path = save(small, tmp_path / "model.safetensors")
    row = zoo.at_size(tiny, 48)
    params = load_params(row, path, target=abstract_params(row.spec))

    large = copy.deepcopy(small)
    large.visual.grid_size = (6, 6)
    large.visual.positional_embedding = torch.nn.Parameter(torch.zeros(37, 48))
    state = dict(small.state_dict())
    import_open_clip().model.resize_pos_embed(state, large)
    large.load_state_dict(state, strict=True)
    foreign_models.assert_same_embeddings(large, params, row.spec)

    native = load_params(tiny, path, target=abstract_params(tiny.spec))
    assert native["image"]["position"].shape == (17, 48)
    save_params(native, tmp_path / "converted", metadata={"model": tiny.name, "sha256": "", "format": "open_clip_clip"})
    again = load_params(row, tmp_path / "converted", target=abstract_params(row.spec))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), again, params)
    half = load_params(row, path, target=abstract_params(row.spec), dtype="bfloat16")["image"]["position"]
    np.testing.assert_array_equal(half, params["image"]["position"].astype(half.dtype), strict=True)


def test_other_shapes_are_still_refused(tiny, tmp_path):
    module = tiny_open_clip("clip_quick")
    module.visual.positional_embedding = torch.nn.Parameter(torch.zeros(26, 48))
    path = save(module, tmp_path / "model.safetensors")
    for row in (tiny, zoo.at_size(tiny, 40), zoo.at_size(tiny, 48)):
        with pytest.raises(UserError, match=r"visual.positional_embedding' has shape \(26, 48\)"):
            load_params(row, path, target=abstract_params(row.spec))
    stranger = dataclasses.replace(zoo.at_size(tiny, 40), architecture="Stranger")
    load_params(stranger, path, target=abstract_params(stranger.spec))


def test_attention_pool_of_a_resnet(monkeypatch, tmp_path):
    row = foreign_models.tiny_row("resnet")
    monkeypatch.setitem(zoo.BACKBONES, row.name, row)
    module = tiny_open_clip("resnet")
    wide = zoo.at_size(row, 160)
    params = load_params(wide, save(module, tmp_path / "model.safetensors"), target=abstract_params(wide.spec))
    table = module.visual.attnpool.positional_embedding.detach().numpy()
    np.testing.assert_allclose(params["image"]["position"], interpolate(table, 5, 1, True), atol=1e-6)


@pytest.mark.parametrize("layout", ["eva_original", "open_clip_eva"])
def test_eva_files_are_resampled_as_their_own_software_does(layout, monkeypatch, tmp_path):
    module, sizes = tiny_eva("eva02")
    row = zoo.get("EVA02-B-16")
    image = dataclasses.replace(
        row.spec.image,
        size=sizes.image_size,
        patch=sizes.patch,
        embedding=sizes.embed,
        blocks=dataclasses.replace(
            row.spec.image.blocks, width=sizes.width, depth=sizes.depth, heads=sizes.heads, hidden=sizes.mlp_width
        ),
    )
    text = dataclasses.replace(
        row.spec.text,
        context=sizes.context,
        vocabulary=sizes.vocab,
        embedding=sizes.embed,
        blocks=dataclasses.replace(
            row.spec.text.blocks,
            width=sizes.text_width,
            depth=sizes.text_depth,
            heads=sizes.text_heads,
            hidden=sizes.text_mlp_width,
        ),
    )
    spec = dataclasses.replace(row.spec, image=image, text=text)
    row = dataclasses.replace(row, architecture="Tiny-EVA", tag="", spec=spec)
    monkeypatch.setitem(zoo.BACKBONES, row.name, row)
    state = module.state_dict()
    renamed = SimpleNamespace(state_dict=lambda: original_eva_keys(state) if layout == "eva_original" else state)
    wide = zoo.at_size(row, 96)
    params = load_params(wide, save(renamed, tmp_path / "model.safetensors"), target=abstract_params(wide.spec))
    table = state["visual.trunk.pos_embed"][0].numpy()
    expected = interpolate(table, 6, 1, antialias=layout == "open_clip_eva")
    np.testing.assert_allclose(params["image"]["position"], expected, atol=1e-6)
    assert np.abs(expected - interpolate(table, 6, 1, antialias=layout != "open_clip_eva")).max() > 1e-3
