"""SigLIP of big_vision: written by a writer that knows no table, read by one that knows none (open_clip's)."""

import dataclasses

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.torch import save_file

import foreign_models
from checkpoints_conv import FORMATS, export, find_table, open_checkpoint, recognise
from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from lrjax.weights.checkpoint import load_params
from torch_reference import tiny_open_clip

LAYOUTS = {False: "big_vision_siglip", True: "big_vision_siglip_scanned"}


@pytest.fixture(scope="module")
def row():
    return foreign_models.tiny_row("siglip", activation="gelu_tanh")


@pytest.fixture(scope="module")
def module(row):
    return foreign_models.tiny_hf(row.spec)


def load(row, path):
    return load_params(row, path, target=abstract_params(row.spec))


def write(arrays, path):
    np.savez(path, **arrays)
    return path


def assert_same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), first, second)


@pytest.mark.parametrize("scanned", LAYOUTS)
def test_both_layouts_give_the_tree_of_transformers_and_come_back(row, module, scanned, tmp_path):
    arrays = foreign_models.big_vision_arrays(module, row.spec, scanned=scanned)
    path = write(arrays, tmp_path / "model.npz")
    with open_checkpoint(path) as reader:
        assert reader.format == "npz"
        assert recognise(reader.keys()) == LAYOUTS[scanned]
    params = load(row, path)
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, tmp_path / "hf.safetensors")
    assert_same(params, load(row, tmp_path / "hf.safetensors"))
    exported = export(params, find_table(LAYOUTS[scanned], row.spec))
    assert exported.keys() == arrays.keys()
    for key, value in exported.items():
        np.testing.assert_array_equal(value, arrays[key], strict=True, err_msg=key)


def test_embeddings(row, module, tmp_path):
    params = load(row, write(foreign_models.big_vision_arrays(module, row.spec, scanned=True), tmp_path / "model.npz"))
    foreign_models.assert_same_embeddings(module, params, row.spec)


@pytest.mark.parametrize("scanned", LAYOUTS)
def test_open_clip_reads_what_is_exported(row, module, scanned, tmp_path):
    from open_clip.convert import load_big_vision_weights

    reader = tiny_open_clip("siglip")
    exact = foreign_models.tiny_row("siglip")
    params = load(
        exact, write(foreign_models.big_vision_arrays(module, row.spec, scanned=False), tmp_path / "model.npz")
    )
    exported = export(params, find_table(LAYOUTS[scanned], exact.spec))
    load_big_vision_weights(reader, str(write(exported, tmp_path / "back.npz")))
    assert reader.logit_bias.item() == params["logit_bias"]
    foreign_models.assert_same_embeddings(reader, params, exact.spec)


def test_another_number_of_heads_is_refused(row, module, tmp_path):
    path = write(foreign_models.big_vision_arrays(module, row.spec, scanned=False), tmp_path / "model.npz")
    blocks = dataclasses.replace(row.spec.image.blocks, heads=8)
    other = dataclasses.replace(
        row, spec=dataclasses.replace(row.spec, image=dataclasses.replace(row.spec.image, blocks=blocks))
    )
    with pytest.raises(UserError, match=r"query/kernel' has shape \(48, 2, 24\) but .* expects \(48, 8, 6\)"):
        load(other, path)
    with pytest.raises(UserError, match="name the model"):
        export(load(row, path), FORMATS["big_vision_siglip"].TABLE)


def test_bfloat16_arrays_keep_their_bits(row, module, tmp_path):
    arrays = foreign_models.big_vision_arrays(module, row.spec, scanned=True)
    halved = {key: value.astype(ml_dtypes.bfloat16) for key, value in arrays.items()}
    params = load(row, write(halved, tmp_path / "model.npz"))
    kernel = halved["params/img/Transformer/encoderblock/MlpBlock_0/Dense_0/kernel"].astype(np.float32)
    np.testing.assert_array_equal(params["image"]["blocks"]["mlp"]["up"]["kernel"], kernel)


def test_missing_and_surplus_entries_are_named(row, module, tmp_path):
    arrays = foreign_models.big_vision_arrays(module, row.spec, scanned=False)
    more = {**arrays, "params/txt/Encoder_0/pos_embedding": np.zeros((1, 12, 32))}
    with pytest.raises(UserError, match="'params/txt/Encoder_0/pos_embedding' has no target"):
        load(row, write(more, tmp_path / "more.npz"))
    del arrays["params/b"]
    with pytest.raises(UserError, match="looked for 'params/b'"):
        load(row, write(arrays, tmp_path / "less.npz"))
